"""Refunds, disputes and balance of the Stripe dialect."""

from typing import Any

import pytest
import stripe

from tests.adapters.sandbox_server.stripe_shop import captured, create, held, kinds
from tests.sandbox_server import SandboxServer


def test_refunds_in_parts(sandbox: SandboxServer, shop: Any) -> None:
    pi = captured(shop)
    first = shop.refunds.create(
        {"payment_intent": pi.id, "amount": 300, "metadata": {"refund_id": "r1"}}
    )
    second = shop.refunds.create({"charge": pi.latest_charge})

    assert (first.amount, second.amount) == (300, 700)
    listed = shop.refunds.list({"payment_intent": pi.id}).data
    assert [refund.id for refund in listed] == [second.id, first.id]
    assert listed[1].metadata.refund_id == "r1"
    assert shop.charges.retrieve(pi.latest_charge).refunded
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 1000
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.refunds.create({"payment_intent": pi.id})
    assert refused.value.code == "charge_already_refunded"


def test_refunds_stay_below_what_was_captured(shop: Any) -> None:
    pi = shop.payment_intents.capture(held(shop).id, {"amount_to_capture": 600})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.refunds.create({"payment_intent": pi.id, "amount": 601})
    assert refused.value.param == "amount"


@pytest.mark.parametrize("make", [create, held])
def test_what_was_not_captured_is_not_refunded(shop: Any, make: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        shop.refunds.create({"payment_intent": make(shop).id})


def test_a_refunds_own_amount_may_carry_a_fault(sandbox: SandboxServer, shop: Any) -> None:
    pi = captured(shop, 20_000)
    params = {"payment_intent": pi.id, "amount": 5004}
    with pytest.raises(stripe.APIConnectionError):
        shop.refunds.create(params, {"idempotency_key": "r"})
    assert shop.refunds.create(params, {"idempotency_key": "r"}).amount == 5004
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 5004


def test_a_captures_own_amount_may_carry_a_fault(sandbox: SandboxServer, shop: Any) -> None:
    pi = held(shop, 20_000)
    with pytest.raises(stripe.APIError):
        shop.payment_intents.capture(pi.id, {"amount_to_capture": 5002})
    assert sandbox.books()["orders"]["ord_1"]["captured"] == 5002


def test_disputed_money_cannot_be_refunded(sandbox: SandboxServer, shop: Any) -> None:
    pi = captured(shop)
    sandbox.trigger("dispute", payment=pi.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.refunds.create({"payment_intent": pi.id})
    assert refused.value.code == "charge_disputed"


def test_an_inquiry_moves_no_money_and_lets_refunds_through(
    sandbox: SandboxServer, shop: Any
) -> None:
    pi = captured(shop)
    dispute = sandbox.trigger("dispute", payment=pi.id, kind="inquiry")
    assert (dispute["status"], dispute["balance_transactions"]) == ("warning_needs_response", [])
    assert shop.refunds.create({"payment_intent": pi.id}).status == "succeeded"


def test_giving_a_dispute_up(sandbox: SandboxServer, shop: Any) -> None:
    pi = captured(shop)
    dispute = sandbox.trigger("dispute", payment=pi.id)
    assert shop.disputes.close(dispute["id"]).status == "lost"
    assert kinds(shop)[-3:] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
    ]
    assert sandbox.books()["orders"]["ord_1"]["disputed"] == 1000


@pytest.mark.parametrize(("text", "status"), [("winning", "won"), ("losing", "lost")])
def test_evidence_decides(sandbox: SandboxServer, shop: Any, text: str, status: str) -> None:
    dispute = sandbox.trigger("dispute", payment=captured(shop).id)
    evidence = {"uncategorized_text": f"{text}_evidence"}
    shop.disputes.update(dispute["id"], {"evidence": evidence})
    assert shop.disputes.retrieve(dispute["id"]).status == status
    assert ("charge.dispute.funds_reinstated" in kinds(shop)) == (status == "won")


def test_the_balance_adds_up(sandbox: SandboxServer, shop: Any) -> None:
    pi = captured(shop)
    shop.refunds.create({"payment_intent": pi.id, "amount": 400})
    sandbox.trigger("dispute", payment=captured(shop, order="ord_2").id)

    moved = shop.balance_transactions.list({"limit": 100}).data
    assert sorted((one.type, one.amount, one.fee, one.net) for one in moved) == [
        ("adjustment", -1000, 1500, -2500),
        ("charge", 1000, 59, 941),
        ("charge", 1000, 59, 941),
        ("refund", -400, 0, -400),
    ]
    [charged] = shop.balance_transactions.list({"source": pi.latest_charge}).data
    assert shop.balance_transactions.retrieve(charged.id).source == pi.latest_charge


def test_a_refund_may_be_made_to_fail(sandbox: SandboxServer, shop: Any) -> None:
    refund = shop.refunds.create({"payment_intent": captured(shop).id})
    sandbox.trigger("refund_failed", refund=refund.id)
    assert shop.refunds.retrieve(refund.id).status == "failed"
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 0


def test_the_dashboard_knows_no_merchants_ids(sandbox: SandboxServer, shop: Any) -> None:
    pi = held(shop)
    sandbox.trigger("dashboard_capture", payment=pi.id, amount=700)
    sandbox.trigger("dashboard_refund", payment=pi.id, amount=200)
    other = held(shop, order="ord_2")
    sandbox.trigger("dashboard_cancel", payment=other.id)

    [refund] = shop.refunds.list({"payment_intent": pi.id}).data
    assert (refund.amount, refund.metadata.to_dict()) == (200, {})
    assert shop.payment_intents.retrieve(pi.id).amount_received == 700
    assert shop.payment_intents.retrieve(other.id).status == "canceled"


def test_events_are_filtered_by_type_and_time(sandbox: SandboxServer, shop: Any) -> None:
    create(shop)
    sandbox.advance(100)
    pi = captured(shop, order="ord_2")
    found = shop.events.list({"type": "payment_intent.created", "created": {"gte": pi.created}})
    assert [event.data.object.id for event in found.data] == [pi.id]
    assert shop.events.retrieve(found.data[0].id).data.object.status == "requires_payment_method"
    several = {"types": ["charge.captured", "payment_intent.succeeded"]}
    assert len(shop.events.list(several).data) == 2


def test_an_early_fraud_warning(sandbox: SandboxServer, shop: Any) -> None:
    pi = captured(shop)
    sandbox.trigger("early_fraud_warning", payment=pi.id)
    assert kinds(shop)[-1] == "radar.early_fraud_warning.created"
