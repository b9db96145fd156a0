"""Stripe's disputes: they open, take money out of the balance, and are won or lost."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.outcomes import of_amount
from adapters.sandbox_server.stripe_dialect import events, methods, objects
from adapters.sandbox_server.stripe_dialect.errors import missing, refused
from adapters.sandbox_server.stripe_dialect.forms import metadata, nested
from adapters.sandbox_server.wire import Json

KIND: Final = "stripe.dispute"
OPENS_S: Final = 1
DECIDED_S: Final = 60
EVIDENCE_S: Final = 9 * 86_400
_FEE: Final = 1500
_ENDED: Final = ("won", "lost", "warning_closed", "prevented")


def may_follow(call: Call, pi: Json, charge: Json) -> None:
    """Set the timer of the dispute that card or amount ask for."""
    method = call.store.get(methods.KIND, charge["payment_method"])
    card = methods.card_of(method).outcome.dispute if method else None
    kind = card or of_amount(pi["amount"]).dispute
    if kind:
        call.box.schedule("stripe.dispute", call, charge["id"], OPENS_S, how=kind)


def opens(call: Call, asked: Json) -> None:
    """Open a dispute on a charge (timer)."""
    charge = call.store.get("stripe.charge", call.id)
    assert charge is not None, call.id
    begin(call, charge, asked["how"], amount=asked.get("amount"))


def begin(call: Call, charge: Json, kind: str, *, amount: int | None = None) -> Json:
    """Open a dispute; an inquiry moves no money."""
    inquiry = kind == "inquiry"
    dispute: Json = {
        "id": stripe_id("du_"),
        "object": "dispute",
        "amount": amount or charge["amount_captured"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": call.now + EVIDENCE_S,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "inquiry" if inquiry else "chargeback"},
            "type": "card",
        },
        "reason": "product_not_received" if kind == "not_received" else "fraudulent",
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    call.store.add(KIND, dispute, account=call.account, parent=charge["id"])
    charge["disputed"] = True
    call.store.save("stripe.charge", charge)
    _tell(call, "created", dispute)
    if not inquiry:
        _move(call, dispute, -dispute["amount"], _FEE, "funds_withdrawn")
    if kind in ("won", "lost"):
        call.box.schedule("stripe.dispute_ends", call, dispute["id"], DECIDED_S, status=kind)
    return dispute


def ends(call: Call, asked: Json) -> None:
    """Decide a dispute (timer)."""
    decide(call, load(call), asked["status"])


def decide(call: Call, dispute: Json, status: str) -> None:
    """End a dispute: `won` brings the money back; nothing happens to one that has ended."""
    if dispute["status"] in _ENDED:
        return
    inquiry = dispute["status"].startswith("warning")
    dispute["status"] = "warning_closed" if inquiry else status
    call.store.save(KIND, dispute)
    _tell(call, "closed", dispute)
    if status == "won" and not inquiry:
        _move(call, dispute, dispute["amount"], -_FEE, "funds_reinstated")


def is_refundable(call: Call, charge: Json) -> bool:
    """Tell whether no dispute stands in a refund's way."""
    standing = ("won", "warning_needs_response", "warning_under_review", "warning_closed")
    return all(one["status"] in standing for one in call.store.children(KIND, charge["id"]))


def load(call: Call) -> Json:
    """Give the dispute that the call names.

    Raises:
        StripeError: `resource_missing`.
    """
    found = call.store.get(KIND, call.id, call.account)
    if found is None:
        raise missing("dispute", call.id, param="dispute")
    return found


def close(call: Call) -> Json:
    """Answer `POST /v1/disputes/:id/close`: the merchant gives in."""
    dispute = load(call)
    if dispute["status"] in _ENDED:
        raise refused("This dispute is already closed.")
    decide(call, dispute, "lost")
    return dispute


def update(call: Call) -> Json:
    """Answer `POST /v1/disputes/:id`: evidence, decided by its text as in Stripe's test mode."""
    dispute = load(call)
    evidence = nested(call.params, "evidence")
    if evidence and dispute["status"] in _ENDED:
        raise refused("This dispute is already closed.")
    dispute["metadata"] = metadata(call.params, dispute["metadata"])
    dispute["evidence"] |= evidence
    if evidence:
        details = dispute["evidence_details"]
        details.update(has_evidence=True, submission_count=details["submission_count"] + 1)
        inquiry = dispute["status"].startswith("warning")
        dispute["status"] = "warning_under_review" if inquiry else "under_review"
    call.store.save(KIND, dispute)
    _tell(call, "updated", dispute)
    said = evidence.get("uncategorized_text", "")
    if said in ("winning_evidence", "losing_evidence"):
        decide(call, dispute, "won" if said == "winning_evidence" else "lost")
    return dispute


def _move(call: Call, dispute: Json, amount: int, fee: int, happened: str) -> None:
    movement = objects.balance_transaction(call, "adjustment", dispute, amount, fee=fee)
    dispute["balance_transactions"].append(movement)
    call.store.save(KIND, dispute)
    intent = call.store.get("stripe.payment_intent", dispute["payment_intent"])
    order_ref = intent["metadata"].get("order_id") if intent else None
    op = "withdrawn" if amount < 0 else "reinstated"
    currency = dispute["currency"]
    call.money("stripe", op, dispute["payment_intent"], order_ref, abs(amount), currency)
    _tell(call, happened, dispute)


def _tell(call: Call, happened: str, dispute: Json) -> None:
    delivery: Any = None
    intent = call.store.get("stripe.payment_intent", dispute["payment_intent"])
    if intent:
        delivery = of_amount(intent["amount"]).delivery
    events.emit(
        call,
        f"charge.dispute.{happened}",
        dispute,
        payment=dispute["payment_intent"],
        delivery=delivery,
    )
