"""Attempts: one at a time, closed before the next, and proven closed before an end."""

from datetime import timedelta
from typing import Any

import pytest

from domain import events as e
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.rules import ATTEMPTS_MAX
from domain.order.steps import steps
from domain.routing import Failover
from tests.domain import story as s


def test_an_order_begins_pending_and_waits_for_the_merchant() -> None:
    order = s.Story().when(s.create()).then(e.OrderCreated, amount=s.usd(1000)).now
    assert order.status == "pending"
    assert s.story().steps() == []


def test_a_session_waits_until_it_expires() -> None:
    life = s.story(hosted=True)
    assert life.steps() == [("expire_session", s.ORDER)]
    life.when(c.ExpireSession()).then(e.OrderExpired, cause="session")
    assert life.now.status == "expired"
    assert life.steps() == []


def test_pay_writes_the_intent_with_all_that_is_sent() -> None:
    life = (
        s.story()
        .when(s.pay(token="pm_card_visa"))
        .then(
            e.OrderRouted,
            attempt_id="att_1",
            number=1,
            processor="stripe",
            account="acct_1",
            credential_version=1,
            idempotency_key="pay:att_1",
            amount=s.usd(1000),
            token="pm_card_visa",
        )
    )
    live = life.now.live
    assert live is not None
    assert live.correlation_id == "corr_1"
    assert life.now.status == "processing"
    assert life.steps() == [("authorize", "att_1")]


def test_pay_without_a_candidate_says_why() -> None:
    s.story().when(s.pay(processor=None)).then_refused("no_processor")


def test_a_second_pay_is_refused_while_the_first_is_open_or_done() -> None:
    for life in (s.in_flight(), s.held(), s.taken(), s.story(c.Cancel())):
        life.when(s.pay("att_2")).then_refused("invalid_status")


def test_automatic_capture_is_asked_for_in_the_same_append_as_the_hold() -> None:
    life = (
        s.in_flight()
        .when(s.authorized())
        .then(
            e.OrderAuthorized,
            e.CaptureRequested,
            capture_id="cap_of_att_1",
            amount=s.usd(1000),
            remainder="released",
            idempotency_key="capture:cap_of_att_1",
        )
    )
    assert life.steps() == [("capture", "cap_of_att_1")]
    life.when(s.captured()).then(e.OrderCaptured, amount=s.usd(1000), remaining=s.usd(0))
    assert life.now.status == "captured"
    assert life.steps() == []


def test_manual_capture_is_left_to_the_merchant() -> None:
    life = s.in_flight(capture_method="manual").when(s.authorized()).then(e.OrderAuthorized)
    assert life.now.status == "authorized"
    assert life.steps() == []


def test_a_challenge_waits_for_the_customer_until_its_deadline() -> None:
    life = s.in_flight().when(s.challenged()).then(e.OrderChallenged)
    assert life.now.status == "requires_action"
    assert life.steps() == [("challenge", "att_1")]
    life.when(s.fenced(code="authentication_timeout")).then(
        e.AttemptFenced, e.OrderFailed, code="authentication_timeout"
    )


def test_doubt_about_an_object_that_moves_no_money_is_closed_and_failed_over() -> None:
    life = s.story(s.pay(), s.unknown("authorize", "att_1"))
    assert life.steps() == [("fence", "att_1")]
    life.when(s.fenced(proof="not_sent")).then(e.AttemptFenced)
    life.when(s.referenced()).then_nothing()
    life.when(s.fail_over()).then(e.OrderRouted, attempt_id="att_2")


def test_a_reference_that_comes_after_the_doubt_is_kept() -> None:
    life = s.story(s.pay(), s.unknown("authorize", "att_1"))
    life.when(s.referenced()).then(e.ProcessorReferenced)
    life.when(s.referenced()).then_nothing()


def test_a_decline_that_is_closed_ends_the_order() -> None:
    life = (
        s.in_flight()
        .when(s.declined(closed=True, retry_class="stop"))
        .then(
            e.OrderDeclined,
            e.OrderFailed,
            code="generic_decline",
            retry_class="stop",
            message="No.",
        )
    )
    assert life.now.status == "failed"
    assert life.steps() == []


def test_a_decline_ends_nothing_before_it_is_closed() -> None:
    life = s.in_flight().when(s.declined(retry_class="stop")).then(e.OrderDeclined, next="end")
    assert life.now.status == "processing"
    assert life.steps() == [("fence", "att_1")]
    life.when(s.fenced()).then(e.AttemptFenced, e.OrderFailed, code="generic_decline")


def test_failover_waits_until_the_declined_attempt_is_closed() -> None:
    life = s.in_flight().must(s.declined())
    life.when(s.fail_over()).then_nothing()
    life.when(s.fenced()).then(e.AttemptFenced)
    assert life.steps() == [("fail_over", "att_1")]
    life.when(s.fail_over()).then(e.OrderRouted, processor="razorpay", number=2)
    life.when(s.fail_over("att_3")).then_nothing()


def test_failover_stops_after_its_hops() -> None:
    life = s.in_flight().must(s.declined(closed=True), s.fail_over())
    life.when(s.declined("att_2", closed=True)).then(e.OrderDeclined, e.OrderFailed)


def test_failover_without_a_candidate_ends_the_order_with_its_decline() -> None:
    life = s.in_flight().must(s.declined(closed=True))
    life.when(s.fail_over(processor=None)).then(e.OrderFailed, code="generic_decline")


def test_failover_follows_an_attempt_that_was_never_sent() -> None:
    life = s.story(s.pay()).when(s.fenced(proof="not_sent")).then(e.AttemptFenced)
    life.when(s.fail_over()).then(e.OrderRouted, attempt_id="att_2")


def test_failover_that_is_off_fails_an_unreachable_processor() -> None:
    life = s.story(s.pay())
    life.when(s.fenced(proof="not_sent", failover=s.NO_FAILOVER)).then(
        e.AttemptFenced, e.OrderFailed, code="processor_unavailable"
    )


@pytest.mark.parametrize("retry_class", ["stop", "fix_input", "authenticate", "later"])
def test_failover_takes_its_classes_only(retry_class: str) -> None:
    s.in_flight().when(s.declined(closed=True, retry_class=retry_class)).then(
        e.OrderDeclined, e.OrderFailed
    )


def test_a_processor_that_was_named_is_not_failed_over() -> None:
    life = s.story(s.pay(explicit="stripe"))
    life.when(s.declined(closed=True)).then(e.OrderDeclined, e.OrderFailed)


def test_failover_is_bounded_whatever_the_policy_says() -> None:
    life, endless = s.story(s.pay("att_1")), Failover(hops_max=1000)
    for number in range(2, ATTEMPTS_MAX + 1):
        life.must(s.declined(f"att_{number - 1}", closed=True, failover=endless))
        life.must(s.fail_over(f"att_{number}"))
    life.must(s.declined(f"att_{ATTEMPTS_MAX}", closed=True, failover=endless))
    assert len(life.now.attempts) == ATTEMPTS_MAX
    assert life.now.status == "failed"


def test_a_session_gives_the_customer_another_try() -> None:
    life = s.in_flight(hosted=True)
    life.when(s.declined(closed=True, retry_class="fix_input")).then(
        e.OrderDeclined, next="customer"
    )
    assert life.now.status == "requires_action"
    assert life.steps() == [("expire_session", s.ORDER)]
    life.when(s.pay("att_2")).then(e.OrderRouted, number=2)


def test_a_session_ends_after_the_last_try() -> None:
    life = s.story(hosted=True)
    for number in range(1, ATTEMPTS_MAX + 1):
        life.must(s.pay(f"att_{number}"))
        life.must(s.declined(f"att_{number}", closed=True, retry_class="later"))
    assert life.now.status == "failed"


def test_a_session_does_not_expire_while_a_payment_is_open() -> None:
    s.in_flight(hosted=True).when(c.ExpireSession()).then_nothing()
    s.taken(hosted=True).when(c.ExpireSession()).then_nothing()


def test_doubt_is_looked_up_and_never_followed_by_another_attempt() -> None:
    life = s.in_flight().when(s.unknown("authorize", "att_1")).then(e.OutcomeUnknown)
    assert life.steps() == [("lookup_authorize", "att_1")]
    life.when(s.fail_over()).then_nothing()
    life.when(s.unknown("authorize", "att_1")).then_nothing()
    life.when(s.authorized()).then(e.OrderAuthorized, e.CaptureRequested)


@pytest.mark.parametrize("name", ["unknown", "challenged", "authorized", "declined"])
def test_s1_not_sent_is_no_proof_once_something_was(name: str) -> None:
    facts: dict[str, c.OrderCommand] = {
        "unknown": s.unknown("authorize", "att_1"),
        "challenged": s.challenged(),
        "authorized": s.authorized(),
        "declined": s.declined(),
    }
    life = s.in_flight(capture_method="manual").must(facts[name])
    life.when(s.fenced(proof="not_sent")).then_nothing()


def test_s4_a_payment_in_the_old_tab_counts_while_its_attempt_is_not_closed() -> None:
    life = s.in_flight().must(s.declined())
    life.when(s.authorized()).then(e.OrderAuthorized, e.CaptureRequested)
    life.when(s.fenced()).then_nothing()
    life.when(s.fail_over()).then_nothing()


def test_s4_a_payment_in_the_old_tab_is_stray_after_failover() -> None:
    life = s.in_flight().must(s.declined(closed=True), s.fail_over(), s.authorized("att_2"))
    life.when(s.captured(None)).then(e.StrayPaymentFound, e.RefundRequested, kind="stray")
    assert life.amounts() == (1000, 0, 0)
    life.when(s.captured("cap_of_att_2", attempt="att_2")).then(e.OrderCaptured)
    assert life.amounts() == (1000, 1000, 0)


def test_s5_an_authorization_beats_the_deadlines_fence() -> None:
    for proof in ("cancelled_at_processor", "capture_withheld", "not_sent"):
        any_proof: Any = proof
        life = s.in_flight().must(s.challenged(), s.authorized())
        life.when(s.fenced(proof=any_proof, code="authentication_timeout")).then_nothing()
        assert life.now.status == "authorized"


def test_a_manual_hold_is_not_withheld_by_a_deadline_that_came_too_late() -> None:
    life = s.in_flight(capture_method="manual").must(s.challenged(), s.authorized())
    life.when(s.fenced(proof="capture_withheld", code="authentication_timeout")).then_nothing()


def test_r1_a_deadline_without_a_cancel_is_closed_by_withholding() -> None:
    life = s.in_flight().must(s.challenged())
    life.when(s.fenced(proof="capture_withheld", code="authentication_timeout")).then(
        e.AttemptFenced, e.OrderFailed, code="authentication_timeout"
    )
    life.when(s.authorized()).then(e.StrayPaymentFound, state="held")
    assert life.steps() == [("void_stray", "pay_att_1")]


def test_s8_the_request_that_routed_an_attempt_names_all_its_calls() -> None:
    life = s.in_flight().must(s.authorized(), s.captured(), s.refund())
    live = life.now.live
    assert live is not None
    assert live.correlation_id == s.metadata(1).correlation_id


def test_r2_a_second_payment_in_an_open_checkout_counts_and_closes_it() -> None:
    for life in (s.in_flight().must(s.challenged()), s.in_flight().must(s.declined())):
        life.when(s.authorized(payment_id="pay_2")).then(e.OrderAuthorized, e.CaptureRequested)
        life.when(s.declined()).then_nothing()
        life.when(s.challenged()).then_nothing()
        live = life.now.live
        assert live is not None
        assert (live.payment_id, live.failure) == ("pay_2", None)


def test_r3_a_late_authorization_never_revives_a_failed_order() -> None:
    life = s.in_flight().must(s.declined(closed=True, failover=s.NO_FAILOVER))
    life.when(s.authorized()).then(e.StrayPaymentFound, state="held", amount=s.usd(1000))
    assert life.now.status == "failed"
    assert life.amounts() == (0, 0, 0)
    life.when(s.authorized()).then_nothing()
    life.when(c.RecordVoided(attempt_id="att_1")).then(e.OrderVoided, payment_id="pay_att_1")
    assert life.steps() == []


def test_r15_a_fence_is_refused_once_the_capture_is_asked_for() -> None:
    life = s.in_flight().must(s.authorized())
    proofs: tuple[e.Proof, ...] = ("not_sent", "cancelled_at_processor", "capture_withheld")
    for proof in proofs:
        life.when(s.fenced(proof=proof)).then_nothing()
    life.when(c.Cancel()).then_refused("invalid_status")


def test_s22_an_outcome_that_takes_its_time_writes_nothing() -> None:
    life = s.in_flight()
    assert life.steps() == [("authorize", "att_1")]
    assert life.tags() == ["created", "routed", "processor_referenced"]


def test_deadlines_are_the_logs_times() -> None:
    life = s.in_flight().must(s.unknown("authorize", "att_1"))
    order = life.now
    from_state = [step.at for step in steps(order)]
    live = order.live
    assert live is not None
    assert from_state == [live.updated_at + timedelta(seconds=5)]


@pytest.mark.parametrize("kind", ["a", "b"])
def test_a_command_is_decided_the_same_twice(kind: str) -> None:
    life = s.in_flight() if kind == "a" else s.held()
    command = s.authorized("att_1", payment_id="pay_x")
    assert decide(life.order, command) == decide(life.order, command)
