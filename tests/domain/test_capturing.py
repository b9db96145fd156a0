"""Captures: one permission, never more than is held, and what becomes of the rest."""

from datetime import timedelta

import pytest

from domain import events as e
from domain.order import commands as c
from domain.order.steps import steps
from tests.domain import story as s

LATER = s.START + timedelta(days=7)


def test_capture_takes_all_that_is_held_unless_told() -> None:
    life = s.held().when(s.capture()).then(e.CaptureRequested, amount=s.usd(1000))
    life.when(s.captured("cap_1")).then(e.OrderCaptured, processor_id="ch_cap_1_att_1")
    assert life.now.status == "captured"


@pytest.mark.parametrize("minor", [1001, 5000])
def test_capture_may_not_exceed_the_authorization(minor: int) -> None:
    s.held().when(s.capture(minor)).then_refused("capture_exceeds_authorization")


def test_capture_needs_a_hold() -> None:
    for life in (s.story(), s.in_flight(), s.taken(), s.held().must(c.Cancel())):
        life.when(s.capture()).then_refused("invalid_status")


def test_a_second_capture_waits_for_the_first() -> None:
    life = s.held().must(s.capture(400, final=False, several=True))
    life.when(s.capture(100, "cap_2", several=True)).then_refused("invalid_status")


def test_r8_part_of_a_hold_is_captured_only_where_the_processor_can() -> None:
    s.held().when(s.capture(600, partial=False)).then_refused("partial_capture_unsupported")
    s.held().when(s.capture(600, final=False)).then_refused("partial_capture_unsupported")


def test_s14_a_final_partial_capture_is_no_discrepancy_and_releases_the_rest() -> None:
    life = s.held().when(s.capture(600)).then(e.CaptureRequested, remainder="released")
    life.when(s.captured("cap_1", 600)).then(
        e.OrderCaptured, amount=s.usd(600), released=s.usd(400), remaining=s.usd(0)
    )
    assert life.now.status == "captured"
    assert life.amounts() == (1000, 600, 0)
    life.when(s.captured(None, 600)).then_nothing()
    assert life.now.quarantine == ()


def several() -> s.Story:
    """600 of 1000 captured, the rest kept."""
    life = s.held().must(s.capture(600, final=False, several=True))
    return life.must(s.captured("cap_1", 600, remaining_expires_at=LATER))


def test_a_kept_remainder_is_captured_later() -> None:
    life = several()
    live = life.now.live
    assert live is not None
    assert (live.held, live.capture_before) == (s.usd(400), LATER)
    assert life.steps() == [("expire", "att_1")]
    life.when(s.capture(401, "cap_2")).then_refused("capture_exceeds_authorization")
    life.must(s.capture(None, "cap_2"))
    # Some processors name all captures of a payment alike: our own id decides.
    life.when(s.captured("cap_2", 400, processor_id="ch_cap_1_att_1")).then(e.OrderCaptured)
    assert life.amounts() == (1000, 1000, 0)
    assert life.steps() == []


def test_a_kept_remainder_lapses_when_the_hold_would_have() -> None:
    life = s.in_flight(capture_method="manual").must(s.authorized(capture_before=LATER))
    life.must(s.capture(600, final=False, several=True), s.captured("cap_1", 600))
    live = life.now.live
    assert live is not None
    assert live.capture_before == LATER


def test_s15_a_kept_remainder_that_lapses_leaves_the_order_captured() -> None:
    life = (
        several()
        .when(c.RecordExpired(attempt_id="att_1"))
        .then(e.AuthorizationExpired, amount=s.usd(400))
    )
    assert life.now.status == "captured"
    assert life.steps() == []
    life.when(c.RecordExpired(attempt_id="att_1")).then_nothing()


def test_s15_a_kept_remainder_that_is_refused_as_lapsed_leaves_the_order_captured() -> None:
    life = several().must(s.capture(None, "cap_2"))
    life.when(c.RecordCaptureFailed(capture_id="cap_2", code="expired", hold="expired")).then(
        e.CaptureFailed, released=s.usd(400)
    )
    assert life.now.status == "captured"


def test_s6_a_capture_refused_because_the_hold_lapsed_expires_the_order() -> None:
    life = s.in_flight().must(s.authorized(), s.unknown("capture", "cap_of_att_1"))
    assert life.steps() == [("lookup_capture", "cap_of_att_1")]
    life.when(c.RecordExpired(attempt_id="att_1")).then_nothing()
    life.when(c.RecordVoided(attempt_id="att_1")).then_nothing()
    life.when(
        c.RecordCaptureFailed(capture_id="cap_of_att_1", code="expired", hold="expired")
    ).then(e.CaptureFailed, e.OrderExpired, cause="authorization")
    live = life.now.live
    assert live is not None
    assert (life.now.status, live.status, live.held) == ("expired", "expired", s.usd(0))
    assert life.steps() == []


def test_a_refused_capture_leaves_the_hold_with_the_merchant() -> None:
    life = s.in_flight().must(s.authorized(capture_before=LATER))
    life.when(c.RecordCaptureFailed(capture_id="cap_of_att_1", code="no")).then(e.CaptureFailed)
    assert life.now.status == "authorized"
    assert life.steps() == [("warn_expiring", "att_1")]
    life.when(s.capture(None, "cap_2")).then(e.CaptureRequested, capture_id="cap_2")


def test_a_refused_capture_that_did_happen_counts() -> None:
    life = s.in_flight().must(s.authorized())
    life.must(c.RecordCaptureFailed(capture_id="cap_of_att_1", code="no"))
    life.when(s.captured()).then(e.OrderCaptured)
    assert life.now.status == "captured"


def test_a_refused_capture_that_did_happen_is_stray_after_the_end() -> None:
    life = s.in_flight().must(s.authorized())
    life.must(c.RecordCaptureFailed(capture_id="cap_of_att_1", code="no"), c.Cancel())
    life.must(c.RecordVoided(attempt_id="att_1"))
    life.when(s.captured()).then(e.StrayPaymentFound, e.RefundRequested)
    assert life.now.status == "cancelled"


def test_two_captures_of_one_hold_that_both_happened_are_a_discrepancy() -> None:
    life = s.in_flight().must(s.authorized())
    life.must(c.RecordCaptureFailed(capture_id="cap_of_att_1", code="no"), s.capture(None, "cap_2"))
    life.when(s.captured()).then(e.OrderCaptured, e.CaptureFailed, capture_id="cap_2")
    life.when(s.captured("cap_2")).then(e.DiscrepancyFound, ours=s.usd(0), theirs_minor=1000)
    life.must(s.resolve("cap_2"))
    life.when(s.captured("cap_2")).then_nothing()
    assert life.amounts() == (1000, 1000, 0)
    assert life.steps() == []


def test_r7_a_capture_said_twice_counts_once() -> None:
    life = s.taken()
    life.when(s.captured()).then_nothing()
    life.when(s.captured(None, processor_id="ch_cap_of_att_1_att_1")).then_nothing()
    # Our own payment under another of its names is not stray.
    life.when(s.captured(None, processor_id="pay_att_1")).then_nothing()


def test_our_payment_captured_beyond_what_it_can_be_is_a_discrepancy() -> None:
    s.taken().when(s.captured(None, 1500, processor_id="ch_more")).then(
        e.DiscrepancyFound, ours=s.usd(1000), theirs_minor=1500
    )


def test_s12_a_capture_in_the_processors_dashboard_needs_no_intent() -> None:
    life = (
        s.held()
        .when(s.captured(None, 700))
        .then(e.OrderCaptured, capture_id="cap_new_att_1", amount=s.usd(700), released=s.usd(300))
    )
    assert life.now.status == "captured"
    assert life.steps() == []


def test_a_capture_of_what_was_never_said_to_be_held_brings_its_hold_along() -> None:
    life = s.in_flight().when(s.captured(None)).then(e.OrderAuthorized, e.OrderCaptured)
    assert life.amounts() == (1000, 1000, 0)


def test_the_merchant_is_warned_once_before_a_hold_lapses() -> None:
    life = s.in_flight(capture_method="manual").must(s.authorized(capture_before=LATER))
    (step,) = steps(life.now)
    assert (step.operation, step.at) == ("warn_expiring", LATER - timedelta(hours=24))
    life.when(c.WarnExpiring(attempt_id="att_1")).then(e.AuthorizationExpiring)
    life.when(c.WarnExpiring(attempt_id="att_1")).then_nothing()
    (step,) = steps(life.now)
    assert (step.operation, step.at) == ("expire", LATER)
    life.when(c.RecordExpired(attempt_id="att_1")).then(
        e.AuthorizationExpired, e.OrderExpired, cause="authorization"
    )
    life.when(s.capture()).then_refused("invalid_status")


def test_r4_a_capture_of_the_first_attempt_is_not_the_second_ones() -> None:
    """Both attempts report a capture while the second one's is awaited."""
    life = s.in_flight().must(s.declined(closed=True), s.fail_over(), s.authorized("att_2"))
    life.when(s.captured(None)).then(e.StrayPaymentFound, e.RefundRequested, attempt_id="att_1")
    pending = life.now.pending_capture
    assert pending is not None
    assert pending.id == "cap_of_att_2"


def test_r6_a_second_payment_of_one_attempt_is_stray() -> None:
    life = s.in_flight().must(s.authorized())
    life.when(s.captured(None, payment_id="pay_2")).then(e.StrayPaymentFound, e.RefundRequested)
    life.when(s.authorized(payment_id="pay_3")).then(e.StrayPaymentFound, state="held")
    life.when(s.captured()).then(e.OrderCaptured)
    assert life.amounts() == (1000, 1000, 0)


def test_a_capture_under_an_id_that_a_restored_log_has_lost_answers_the_awaited_one() -> None:
    life = s.in_flight().must(s.authorized())
    life.when(s.captured("cap_lost")).then(e.OrderCaptured, capture_id="cap_of_att_1")
    life.when(s.captured("cap_lost")).then_nothing()
    assert (life.amounts(), life.steps()) == ((1000, 1000, 0), [])


def test_a_capture_of_less_under_a_lost_id_is_a_discrepancy_of_the_awaited_one() -> None:
    life = s.in_flight().must(s.authorized())
    life.when(s.captured("cap_lost", 600)).then(e.DiscrepancyFound, subject="cap_of_att_1")
