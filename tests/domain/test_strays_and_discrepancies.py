"""Money against our will goes back; figures that are not ours wait for a person, and only once."""

import pytest

from domain import events as e
from domain.order import commands as c
from domain.order.rules import STRAY_REFUNDS_MAX
from tests.domain import story as s


def two_holds() -> s.Story:
    """A manual order whose money is held, and a second payment of the same attempt."""
    life = s.held()
    life.when(s.authorized(payment_id="pay_2")).then(e.StrayPaymentFound, state="held")
    return life


def test_voiding_a_stray_hold_leaves_ours_alone() -> None:
    life = two_holds()
    assert life.steps() == [("void_stray", "pay_2")]
    life.when(c.RecordVoided(attempt_id="att_1", payment_id="pay_2")).then(
        e.OrderVoided, payment_id="pay_2"
    )
    assert (life.now.status, life.steps(), life.now.releases) == ("authorized", [], ())
    life.when(c.RecordVoided(attempt_id="att_1", payment_id="pay_2")).then_nothing()
    life.when(s.capture()).then(e.CaptureRequested)


def test_a_stray_hold_that_lapses_leaves_ours_alone() -> None:
    life = (
        two_holds()
        .when(c.RecordExpired(attempt_id="att_1", payment_id="pay_2"))
        .then(e.AuthorizationExpired, payment_id="pay_2")
    )
    assert life.now.status == "authorized"


def test_voiding_our_hold_leaves_the_stray_open() -> None:
    life = two_holds()
    life.when(c.RecordVoided(attempt_id="att_1", payment_id="pay_att_1")).then(
        e.OrderVoided, e.OrderCancelled
    )
    assert life.steps() == [("void_stray", "pay_2")]


def test_a_void_of_a_payment_that_nobody_knows_adds_nothing() -> None:
    s.held().when(c.RecordVoided(attempt_id="att_1", payment_id="pay_9")).then_nothing()
    s.held().when(c.RecordExpired(attempt_id="att_1", payment_id="pay_9")).then_nothing()


def test_r5_a_stray_hold_that_is_captured_becomes_a_stray_capture() -> None:
    life = two_holds()
    life.when(s.captured(None, payment_id="pay_2")).then(
        e.StrayPaymentFound, e.RefundRequested, payment_id="pay_2", kind="stray"
    )
    assert life.steps() == [("refund", "ref_stray_att_1")]
    life.when(s.captured(None, payment_id="pay_2")).then_nothing()


def stray_capture() -> s.Story:
    life = s.in_flight().must(s.declined(closed=True, retry_class="stop"))
    return life.must(s.captured(None))


def test_the_merchant_cannot_refund_a_stray_payment() -> None:
    stray_capture().when(s.refund(100)).then_refused("invalid_status")


def test_a_stray_refund_changes_no_amount_of_the_order() -> None:
    life = stray_capture().must(s.refunded("ref_stray_att_1"))
    assert (life.now.status, life.amounts(), life.steps()) == ("failed", (0, 0, 0), [])


def test_a_refused_stray_refund_is_tried_again_and_then_left_to_a_person() -> None:
    life = stray_capture()
    for number in range(STRAY_REFUNDS_MAX):
        refund_id = life.now.refunds[-1].id
        life.when(c.RecordRefundFailed(refund_id=refund_id, code="no")).then(e.RefundFailed)
        if number < STRAY_REFUNDS_MAX - 1:
            assert life.steps() == [("refund_stray", "pay_att_1")]
            again = c.RefundStray(payment_id="pay_att_1", refund_id=f"ref_again_{number}")
            life.when(again).then(e.RefundRequested, kind="stray", amount=s.usd(1000))
            life.when(again).then_nothing()
    assert life.steps() == []
    assert life.now.strays[0].open


def test_a_stray_refund_that_came_back_is_sent_again() -> None:
    life = stray_capture().must(s.refunded("ref_stray_att_1"))
    life.when(c.RecordRefundFailed(refund_id="ref_stray_att_1", code="closed_account")).then(
        e.RefundReversed, kind="stray"
    )
    assert life.steps() == [("refund_stray", "pay_att_1")]


def test_r6_a_refund_by_the_processor_goes_to_the_payment_that_it_is_of() -> None:
    life = s.taken().must(s.captured(None, payment_id="pay_2"))
    life.when(s.refunded(None, payment_id="pay_2")).then(
        e.OrderRefunded, kind="stray", payment_id="pay_2"
    )
    assert (life.now.status, life.amounts()) == ("captured", (1000, 1000, 0))
    life.when(c.RecordRefundFailed(refund_id="ref_stray_att_1", code="refunded")).then(
        e.RefundFailed
    )
    assert life.steps() == []


def test_each_of_two_strays_is_sent_back_by_itself() -> None:
    life = s.taken().must(s.captured(None, payment_id="pay_2", refund_id="ref_2"))
    life.must(s.captured(None, payment_id="pay_3", processor_id="ch_3", refund_id="ref_3"))
    life.must(s.refunded("ref_2", payment_id="pay_2"))
    assert [stray.open for stray in life.now.strays] == [False, True]
    assert life.steps() == [("refund", "ref_3")]


def test_part_of_a_stray_that_went_back_leaves_the_rest_owed() -> None:
    life = stray_capture().must(s.refunded(None, 300))
    life.must(c.RecordRefundFailed(refund_id="ref_stray_att_1", code="no"))
    life.when(c.RefundStray(payment_id="pay_att_1", refund_id="ref_rest")).then(
        e.RefundRequested, amount=s.usd(700)
    )


@pytest.mark.parametrize(("minor", "currency"), [(900, "USD"), (1000, "EUR"), (1000, "XXX")])
def test_another_amount_or_currency_waits_for_a_person(minor: int, currency: str) -> None:
    life = (
        s.in_flight()
        .when(s.authorized(minor=minor, currency=currency))
        .then(e.DiscrepancyFound, ours=s.usd(1000), theirs_minor=minor, theirs_currency=currency)
    )
    life.when(s.authorized(minor=minor, currency=currency)).then_nothing()
    assert life.now.quarantine == ("att_1",)
    assert life.steps() == []
    life.when(s.resolve("att_9")).then_refused("invalid_status")
    life.when(s.resolve("att_1")).then(e.DiscrepancyResolved)
    life.when(s.resolve("att_1")).then_refused("invalid_status")


def test_a_settled_authorization_is_closed_and_said_again_adds_nothing() -> None:
    life = s.in_flight().must(s.authorized(minor=900), s.resolve("att_1"))
    assert life.steps() == [("fence", "att_1")]
    life.when(s.authorized(minor=900)).then_nothing()
    life.when(s.authorized(minor=800)).then(e.DiscrepancyFound)


def test_money_of_an_unknown_currency_that_is_not_wanted_waits_for_a_person() -> None:
    life = s.in_flight().must(s.declined(closed=True, retry_class="stop"))
    life.when(s.authorized(currency="XXX")).then(e.DiscrepancyFound, subject="pay_att_1")
    life.when(s.captured(None, currency="XXX", payment_id="pay_2")).then(e.DiscrepancyFound)
    life.when(s.captured(None, currency="XXX", payment_id="pay_2")).then_nothing()


def test_a_capture_of_another_amount_is_ours_once_a_person_says_so() -> None:
    life = s.held().must(s.capture(600))
    life.when(s.captured("cap_1", 500)).then(e.DiscrepancyFound, subject="cap_1", ours=s.usd(600))
    assert life.steps() == []
    life.must(s.resolve("cap_1"))
    assert life.steps() == [("capture", "cap_1")]
    life.when(s.captured("cap_1", 500)).then(e.OrderCaptured, amount=s.usd(600))


def test_an_unasked_capture_of_too_much_is_not_asked_for_again() -> None:
    life = s.in_flight().when(s.captured(None, 1100)).then(e.DiscrepancyFound, ours=s.usd(1000))
    life.when(s.resolve("att_1")).then(e.DiscrepancyResolved)
    life.when(s.captured(None, 1100)).then(e.OrderAuthorized, e.OrderCaptured, amount=s.usd(1000))


def test_in_quarantine_lookups_go_on_and_nothing_new_is_asked() -> None:
    life = s.taken().must(s.refund(400), s.unknown("refund", "ref_1"))
    life.must(s.refunded("ref_1", 300))
    assert life.steps() == [("lookup_refund", "ref_1")]
    life.when(s.refund(100, "ref_2")).then_refused("order_quarantined")
    life.when(s.refunded("ref_1", 400)).then(e.OrderRefunded)


def test_in_quarantine_no_attempt_starts_and_nothing_is_captured() -> None:
    life = s.held().must(s.refunded(None, 100))
    life.when(s.capture()).then_refused("order_quarantined")
    life = s.in_flight().must(s.declined(closed=True), s.refunded(None, 100))
    life.when(s.fail_over()).then_nothing()
    life = s.in_flight(hosted=True).must(s.declined(closed=True, retry_class="later"))
    life.must(s.refunded(None, 100)).when(s.pay("att_2")).then_refused("order_quarantined")


def test_in_quarantine_a_decline_ends_the_order() -> None:
    life = s.in_flight().must(s.refunded(None, 100))
    life.when(s.declined(closed=True)).then(e.OrderDeclined, e.OrderFailed)


def test_a_hold_that_came_in_quarantine_is_captured_when_it_is_over() -> None:
    life = s.in_flight().must(s.authorized(minor=900))
    life.when(s.authorized()).then(e.OrderAuthorized)
    life.when(s.resolve("att_1")).then(
        e.DiscrepancyResolved, e.CaptureRequested, capture_id="cap_resolved"
    )


def test_a_hold_that_came_in_quarantine_is_voided_after_a_cancel() -> None:
    life = s.in_flight().must(c.Cancel(), s.authorized(minor=900))
    life.must(s.authorized())
    life.when(s.resolve("att_1")).then(e.DiscrepancyResolved, e.VoidRequested)


def test_a_void_that_is_under_way_is_not_asked_for_again_after_quarantine() -> None:
    life = s.held().must(c.Cancel(), s.refunded(None, 100))
    life.when(s.resolve("att_1")).then(e.DiscrepancyResolved)


def test_one_of_two_discrepancies_settled_is_not_enough() -> None:
    life = s.taken().must(s.refund(400), s.refunded("ref_1", 300), s.refunded(None, 2000))
    assert len(life.now.quarantine) == 2
    life.must(s.resolve("ref_1")).when(s.refund(1, "ref_2")).then_refused("order_quarantined")
