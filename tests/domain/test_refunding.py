"""Refunds and disputes: never more goes back than was taken, and what came back counts again."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from domain import events as e
from domain.order import commands as c
from domain.order.steps import steps
from tests.domain import story as s


def test_refund_takes_all_that_is_left_unless_told() -> None:
    life = s.taken().must(s.refund(300), s.refunded("ref_1", 300))
    assert life.now.status == "partially_refunded"
    life.when(s.refund(None, "ref_2")).then(
        e.RefundRequested,
        amount=s.usd(700),
        payment_id="pay_att_1",
        kind="merchant",
        idempotency_key="refund:ref_2",
    )
    assert life.steps() == [("refund", "ref_2")]
    life.when(s.refunded("ref_2", 700)).then(e.OrderRefunded)
    assert life.now.status == "refunded"
    life.when(s.refund(None, "ref_3")).then_refused("refund_exceeds_captured")


def test_refund_may_not_exceed_captured() -> None:
    s.taken().when(s.refund(1001)).then_refused("refund_exceeds_captured")
    s.held().when(s.refund(1)).then_refused("invalid_status")
    s.story().when(s.refund()).then_refused("invalid_status")


def test_refund_counts_what_is_pending_and_what_is_in_doubt() -> None:
    life = s.taken().must(s.refund(600))
    life.when(s.refund(401, "ref_2")).then_refused("refund_exceeds_captured")
    life.must(s.unknown("refund", "ref_1"))
    assert life.steps() == [("lookup_refund", "ref_1")]
    life.when(s.refund(401, "ref_2")).then_refused("refund_exceeds_captured")
    life.when(s.refund(400, "ref_2")).then(e.RefundRequested)


def test_refund_that_failed_may_be_asked_for_again() -> None:
    life = s.taken().must(s.refund(600))
    life.when(c.RecordRefundFailed(refund_id="ref_1", code="no")).then(e.RefundFailed)
    life.when(c.RecordRefundFailed(refund_id="ref_1", code="no")).then_nothing()
    life.when(s.refund(1000, "ref_2")).then(e.RefundRequested)


def test_refund_of_a_partial_capture_ends_at_what_was_captured() -> None:
    life = s.held().must(s.capture(600), s.captured("cap_1", 600))
    life.when(s.refund(601)).then_refused("refund_exceeds_captured")
    life.must(s.refund(), s.refunded("ref_1", 600))
    assert life.now.status == "refunded"


def test_s10_a_refund_said_again_counts_once() -> None:
    life = s.taken().must(s.refund(400), s.refunded("ref_1", 400))
    life.when(s.refunded("ref_1", 400)).then_nothing()
    life.when(s.refunded(None, 400, processor_id="re_ref_1_400")).then_nothing()
    assert life.amounts() == (1000, 1000, 400)


def test_s13_a_refund_that_came_back_takes_refunded_to_captured() -> None:
    life = s.taken().must(s.refund(), s.refunded())
    assert life.now.status == "refunded"
    life.when(c.RecordRefundFailed(refund_id="ref_1", code="closed_account")).then(
        e.RefundReversed, amount=s.usd(1000), code="closed_account"
    )
    assert life.now.status == "captured"
    life.when(c.RecordRefundFailed(refund_id="ref_1", code="closed_account")).then_nothing()
    life.when(s.refunded()).then_nothing()
    life.when(s.refund(None, "ref_2")).then(e.RefundRequested, amount=s.usd(1000))


def test_s12_a_refund_in_the_processors_dashboard_needs_no_intent() -> None:
    life = (
        s.taken()
        .when(s.refunded(None, 250))
        .then(e.OrderRefunded, refund_id="ref_new", kind="merchant", amount=s.usd(250))
    )
    assert life.now.status == "partially_refunded"
    life.when(s.refunded(None, 250)).then_nothing()


def test_s12_more_refunded_than_was_taken_is_a_discrepancy() -> None:
    life = s.taken().when(s.refunded(None, 1001)).then(e.DiscrepancyFound, ours=s.usd(1000))
    life.must(s.resolve("att_1"))
    life.when(s.refunded(None, 1001)).then_nothing()


def test_a_refund_that_succeeds_beyond_what_was_left_is_told_and_questioned() -> None:
    life = s.taken().must(s.refund(600), s.refunded(None, 1000))
    life.when(s.refunded("ref_1", 600)).then(
        e.OrderRefunded, e.DiscrepancyFound, subject="ref_1", ours=s.usd(0), theirs_minor=600
    )
    life.when(s.refunded("ref_1", 600)).then_nothing()


def test_a_refused_refund_that_did_happen_counts() -> None:
    life = s.taken().must(s.refund(600), c.RecordRefundFailed(refund_id="ref_1", code="no"))
    life.when(s.refunded("ref_1", 600)).then(e.OrderRefunded)
    assert life.amounts() == (1000, 1000, 600)


def test_s11_money_withdrawn_by_a_dispute_is_not_refunded_on_top() -> None:
    life = s.taken().when(s.dispute(1000)).then(e.DisputeOpened, e.DisputeFundsWithdrawn)
    assert life.now.status == "captured"
    life.when(s.refund()).then_refused("refund_exceeds_captured")
    life.when(s.refund(1)).then_refused("refund_exceeds_captured")


def test_s11_a_dispute_of_a_part_leaves_the_rest_refundable() -> None:
    life = s.taken().must(s.dispute(600, minor=600))
    life.when(s.refund(401)).then_refused("refund_exceeds_captured")
    life.when(s.refund(400)).then(e.RefundRequested)


def test_a_dispute_that_was_won_gives_the_money_back() -> None:
    life = s.taken().must(s.dispute(1000))
    life.when(s.dispute(0, "won")).then(e.DisputeFundsReinstated, e.DisputeClosed, outcome="won")
    assert life.now.refundable == 1000
    life.when(s.dispute(0, "won")).then_nothing()


def test_the_money_of_a_dispute_may_come_back_after_it_was_won() -> None:
    life = s.taken().must(s.dispute(1000)).when(s.dispute(1000, "won")).then(e.DisputeClosed)
    assert life.now.refundable == 0
    life.when(s.dispute(0, "won")).then(e.DisputeFundsReinstated, amount=s.usd(1000))
    assert life.now.refundable == 1000


def test_money_that_a_dispute_took_and_gave_back_between_two_looks_moved_twice() -> None:
    both = replace(s.dispute(0, "won"), reinstated_minor=1000)
    life = (
        s.taken()
        .when(both)
        .then(e.DisputeOpened, e.DisputeFundsWithdrawn, e.DisputeFundsReinstated, e.DisputeClosed)
    )
    assert life.now.refundable == 1000
    life.when(both).then_nothing()
    life.when(s.dispute(0, "won")).then_nothing()


def test_money_that_a_dispute_took_again_is_withdrawn_again() -> None:
    life = s.taken().must(s.dispute(1000), replace(s.dispute(0), reinstated_minor=1000))
    life.when(replace(s.dispute(400), reinstated_minor=1000)).then(
        e.DisputeFundsWithdrawn, amount=s.usd(400)
    )
    life.when(replace(s.dispute(0), reinstated_minor=1400)).then(
        e.DisputeFundsReinstated, amount=s.usd(400)
    )


def test_a_dispute_that_was_lost_stays_withdrawn() -> None:
    life = (
        s.taken()
        .when(s.dispute(1000, "lost"))
        .then(e.DisputeOpened, e.DisputeFundsWithdrawn, e.DisputeClosed, lost_amount=s.usd(1000))
    )
    life.when(s.refund(1)).then_refused("refund_exceeds_captured")
    assert life.steps() == []


def test_a_dispute_is_known_by_the_processors_id_too() -> None:
    life = s.taken().must(s.dispute())
    life.when(replace(s.dispute(300), dispute_id="dsp_2")).then(
        e.DisputeFundsWithdrawn, dispute_id="dsp_1", amount=s.usd(300)
    )
    life.when(replace(s.dispute(300), dispute_id="dsp_2")).then_nothing()


def test_a_refund_before_the_dispute_can_leave_less_than_nothing_refundable() -> None:
    life = s.taken().must(s.refund(700), s.refunded("ref_1", 700), s.dispute(1000))
    assert life.now.refundable == -700
    life.when(s.refund()).then_refused("refund_exceeds_captured")


def test_s18_a_fee_is_recorded_once_however_late() -> None:
    fee = c.RecordFee(attempt_id="att_1", of="capture", subject="cap_of_att_1", amount=s.usd(59))
    life = s.taken().when(fee).then(e.FeeRecorded, processor="stripe", amount=s.usd(59))
    life.when(fee).then_nothing()
    life.when(replace(fee, of="dispute", subject="dsp_1")).then(e.FeeRecorded)


def test_a_fee_is_known_by_the_processors_id_of_what_it_is_for() -> None:
    life = s.taken().must(s.refund(300), s.refunded("ref_1", 300), s.dispute(700))
    for of, reference, subject in (
        ("capture", "ch_cap_of_att_1_att_1", "cap_of_att_1"),
        ("refund", "re_ref_1_300", "ref_1"),
        ("dispute", "dp_1", "dsp_1"),
    ):
        fee = c.RecordFee(attempt_id="att_1", of=of, reference=reference, amount=s.usd(9))  # type: ignore[arg-type]
        life.when(fee).then(e.FeeRecorded, of=of, subject=subject)
        life.when(replace(fee, reference=None, subject=subject)).then_nothing()
        back = replace(fee, reversal=True, amount=s.usd(-9))
        life.when(back).then(e.FeeRecorded, subject=f"{subject}:reversed", amount=s.usd(-9))
        life.when(replace(fee, reference="of nobody")).then_nothing()
        life.when(replace(fee, subject="other", amount=s.usd(0))).then_nothing()


def test_a_fee_that_is_expected_is_looked_up_until_it_is_known() -> None:
    life = s.in_flight().must(s.authorized(), replace(s.captured(), fee_expected=True))
    assert life.steps() == [("lookup_fee", "cap_of_att_1")]
    fee = c.RecordFee(attempt_id="att_1", of="capture", subject="cap_of_att_1", amount=s.usd(59))
    assert life.must(fee).steps() == []
    assert s.taken().steps() == []


def test_r13_the_account_of_the_attempt_is_pinned() -> None:
    life = s.taken()
    live = life.now.live
    assert live is not None
    assert (live.account, live.credential_version) == ("acct_1", 1)


@pytest.mark.parametrize("operation", ["authorize", "capture", "void", "refund"])
def test_doubt_about_what_nobody_waits_for_adds_nothing(operation: e.Operation) -> None:
    life = s.taken().must(s.refund(), s.refunded())
    subject = {"capture": "cap_of_att_1", "refund": "ref_1"}.get(operation, "att_1")
    life.when(s.unknown(operation, subject)).then_nothing()


def test_lookups_of_doubt_begin_after_five_seconds() -> None:
    life = s.taken().must(s.refund(), s.unknown("refund", "ref_1"))
    (step,) = steps(life.now)
    assert step.at == life.now.refunds[0].updated_at + timedelta(seconds=5)
