"""Cancel: from the moment it is answered nothing captures, and the end is proven."""

from collections.abc import Callable

import pytest

from domain import events as e
from domain.metadata import Sealed
from domain.order import commands as c
from tests.domain import story as s

REASON = Sealed("key_1", b"box")


def test_a_pending_order_is_cancelled_at_once() -> None:
    life = s.story().when(c.Cancel(reason=REASON)).then(e.OrderCancelled, reason=REASON)
    assert life.now.status == "cancelled"
    life.when(c.Cancel()).then_nothing()


def test_what_was_never_sent_is_fenced_and_cancelled_at_once() -> None:
    life = s.story(s.pay())
    life.when(c.Cancel()).then(e.CancelRequested, e.AttemptFenced, e.OrderCancelled)
    life.when(s.referenced()).then_nothing()


OPEN: dict[str, Callable[[], s.Story]] = {
    "referenced": s.in_flight,
    "unknown": lambda: s.in_flight().must(s.unknown("authorize", "att_1")),
    "challenged": lambda: s.in_flight().must(s.challenged()),
    "declined": lambda: s.in_flight().must(s.declined()),
}


@pytest.mark.parametrize("state", OPEN)
def test_s7_an_open_attempt_is_closed_before_the_order_is_cancelled(state: str) -> None:
    life = OPEN[state]().when(c.Cancel(reason=REASON)).then(e.CancelRequested)
    assert life.now.status != "cancelled"
    assert life.steps() == [("fence", "att_1")]
    life.when(c.Cancel()).then_nothing()
    life.when(s.pay("att_2")).then_refused("invalid_status")
    life.when(s.fail_over()).then_nothing()
    life.when(s.fenced()).then(e.AttemptFenced, e.OrderCancelled, reason=REASON)
    assert life.steps() == []


@pytest.mark.parametrize("state", OPEN)
def test_s7_a_hold_that_comes_after_the_cancel_is_voided_not_captured(state: str) -> None:
    life = OPEN[state]().must(c.Cancel())
    life.when(s.authorized()).then(e.OrderAuthorized, e.VoidRequested, idempotency_key="void:att_1")
    assert life.steps() == [("void", "att_1")]
    life.when(s.capture()).then_refused("invalid_status")
    life.when(c.RecordVoided(attempt_id="att_1")).then(e.OrderVoided, e.OrderCancelled)


@pytest.mark.parametrize("state", OPEN)
def test_s7_a_capture_that_comes_after_the_cancel_is_stray_and_refunded(state: str) -> None:
    life = OPEN[state]().must(c.Cancel())
    life.when(s.captured(None)).then(
        e.AttemptFenced, e.OrderCancelled, e.StrayPaymentFound, e.RefundRequested, kind="stray"
    )
    assert life.now.status == "cancelled"
    assert life.amounts() == (0, 0, 0)
    life.when(s.refunded("ref_stray_att_1")).then(e.OrderRefunded, kind="stray")
    assert life.steps() == []


def test_a_decline_after_the_cancel_ends_in_cancelled() -> None:
    life = s.in_flight().must(c.Cancel())
    life.when(s.declined(closed=True)).then(e.OrderDeclined, e.OrderCancelled)


def test_an_order_that_waits_for_the_customer_is_cancelled_at_once() -> None:
    life = s.in_flight(hosted=True).must(s.declined(closed=True, retry_class="later"))
    life.when(c.Cancel()).then(e.CancelRequested, e.OrderCancelled)


def test_an_order_between_two_attempts_is_cancelled_at_once() -> None:
    life = s.in_flight().must(s.declined(closed=True))
    life.when(c.Cancel()).then(e.CancelRequested, e.OrderCancelled)
    life.when(s.fail_over()).then_nothing()


def test_a_held_order_is_voided() -> None:
    life = s.held().when(c.Cancel()).then(e.CancelRequested, e.VoidRequested, amount=s.usd(1000))
    life.when(s.unknown("void", "att_1")).then(e.OutcomeUnknown)
    assert life.steps() == [("lookup_void", "att_1")]
    life.when(c.RecordVoided(attempt_id="att_1")).then(e.OrderVoided, e.OrderCancelled)
    live = life.now.live
    assert live is not None
    assert (live.status, live.held) == ("voided", s.usd(0))
    life.when(c.RecordVoided(attempt_id="att_1")).then_nothing()


def test_a_hold_that_cannot_be_voided_lapses_under_watch() -> None:
    life = s.held().must(c.Cancel())
    life.when(c.RecordVoidFailed(attempt_id="att_1", code="not_possible")).then(
        e.VoidFailed, e.AttemptFenced, e.OrderCancelled
    )
    assert life.steps() == [("watch_hold", "att_1")]
    life.when(c.RecordExpired(attempt_id="att_1")).then(e.AuthorizationExpired)
    assert life.steps() == []


def test_a_hold_that_lapses_after_the_cancel_ends_in_cancelled() -> None:
    life = s.held().must(c.Cancel())
    life.when(c.RecordExpired(attempt_id="att_1")).then(e.AuthorizationExpired, e.OrderCancelled)


def test_r9_r19_without_a_void_the_capture_is_withheld_and_the_hold_stays_in_the_books() -> None:
    life = (
        s.held()
        .when(c.Cancel(can_void=False))
        .then(e.CancelRequested, e.AttemptFenced, e.OrderCancelled)
    )
    live = life.now.live
    assert live is not None
    assert (live.status, live.proof, live.held) == ("fenced", "capture_withheld", s.usd(1000))
    assert life.steps() == [("watch_hold", "att_1")]
    life.when(c.RecordVoided(attempt_id="att_1")).then(e.OrderVoided, amount=s.usd(1000))
    assert life.steps() == []


def test_r5_a_withheld_hold_that_is_captured_anyway_leaves_the_books_and_is_refunded() -> None:
    life = s.held().must(c.Cancel(can_void=False))
    life.when(s.captured(None)).then(e.OrderVoided, e.StrayPaymentFound, e.RefundRequested)
    assert life.steps() == [("refund", "ref_stray_att_1")]
    assert life.now.status == "cancelled"


def test_a_hold_that_is_captured_instead_of_voided_is_refunded_and_the_order_cancelled() -> None:
    life = s.held().must(c.Cancel())
    life.when(s.captured(None)).then(
        e.OrderVoided, e.OrderCancelled, e.StrayPaymentFound, e.RefundRequested
    )


CLOSED: dict[str, Callable[[], s.Story]] = {
    "captured": s.taken,
    "capture requested": lambda: s.in_flight().must(s.authorized()),
    "capture unknown": lambda: s.in_flight().must(
        s.authorized(), s.unknown("capture", "cap_of_att_1")
    ),
    "failed": lambda: s.in_flight().must(s.declined(closed=True, retry_class="stop")),
    "expired": lambda: s.held().must(c.RecordExpired(attempt_id="att_1")),
}


@pytest.mark.parametrize("state", CLOSED)
def test_what_is_taken_or_over_cannot_be_cancelled(state: str) -> None:
    CLOSED[state]().when(c.Cancel()).then_refused("invalid_status")


def test_cancel_waits_for_the_operator_while_in_quarantine() -> None:
    life = s.in_flight().must(s.authorized(minor=900))
    life.when(c.Cancel()).then_refused("order_quarantined")


def test_a_discrepancy_after_the_cancel_ends_in_cancelled_once_settled() -> None:
    life = s.in_flight().must(c.Cancel())
    life.when(s.authorized(minor=900)).then(e.DiscrepancyFound)
    assert life.steps() == []
    life.must(s.resolve("att_1"))
    assert life.steps() == [("fence", "att_1")]
    life.when(s.fenced()).then(e.AttemptFenced, e.OrderCancelled)


def test_s12_a_cancel_in_the_processors_dashboard_needs_no_intent() -> None:
    s.held().when(c.RecordVoided(attempt_id="att_1")).then(e.OrderVoided, e.OrderCancelled)
    s.in_flight().when(c.RecordVoided(attempt_id="att_1")).then(
        e.AttemptFenced, e.OrderFailed, code="cancelled_at_processor"
    )
