"""`/v1/refunds`: they succeed at once, take their time, or succeed and then fail."""

from typing import Final

from adapters.sandbox_server.box import Call, spoil, strike
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.outcomes import PLAIN, SETTLE_S, Outcome, of_amount
from adapters.sandbox_server.stripe_dialect import disputes, intents, methods, objects
from adapters.sandbox_server.stripe_dialect.errors import (
    failure,
    invalid,
    missing,
    refused,
    scope_of,
)
from adapters.sandbox_server.stripe_dialect.expand import rendered
from adapters.sandbox_server.stripe_dialect.forms import choice, integer, known, metadata, text
from adapters.sandbox_server.wire import Answer, Json, json_answer, words

KIND: Final = "stripe.refund"
_CREATING: Final = frozenset(words("payment_intent charge amount reason metadata currency"))
_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")


def create(call: Call) -> Answer:
    """Answer `POST /v1/refunds`."""
    params = call.params
    known(params, _CREATING)
    reason = choice(params, "reason", _REASONS, None)
    asked = integer(params, "amount")
    data = metadata(params)
    pi = _intent(call)
    if not pi["amount_received"]:
        message = f"This PaymentIntent ({pi['id']}) does not have a successful charge to refund."
        raise refused(message, param="payment_intent")
    charge = intents.charge_of(call, pi)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = left if asked is None else asked
    _check(call, charge, amount, left)
    coded = of_amount(amount) if amount != pi["amount"] else PLAIN
    stored = strike(call, coded, scope_of(f"refund {pi['id']}", amount), failure)
    if stored:
        return stored
    refund = make(call, pi, charge, amount, reason=reason, metadata=data)
    return spoil(coded, json_answer(200, rendered(call, refund)), failure)


def make(
    call: Call, pi: Json, charge: Json, amount: int, *, reason: str | None, metadata: Json
) -> Json:
    """Refund without asking; the card or the amount say how it goes."""
    refund_id = stripe_id("re_")
    fate = _fate(call, pi, charge).refund
    pending = fate == "pending"
    refund: Json = {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "pending" if pending else "refund"},
                                "type": "card"},
        "metadata": metadata,
        "payment_intent": pi["id"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if pending else "succeeded",
        "transfer_reversal": None,
    }  # fmt: skip
    if pending:
        refund["pending_reason"] = "processing"
    movement = objects.balance_transaction(call, "refund", refund, -amount, fee=0)
    refund["balance_transaction"] = movement["id"]
    call.store.add(KIND, refund, account=call.account, parent=pi["id"])
    intents.money(call, pi, "refunded", amount)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount"]
    call.store.save(intents.CHARGE, charge)
    if fate:
        call.box.schedule("stripe.refund", call, refund_id, SETTLE_S)
    intents.tell(call, pi, "refund.created", refund)
    intents.tell(call, pi, "charge.refunded", charge)
    return refund


def settle(call: Call, _: Json) -> None:
    """End a refund as its card or amount says (timer)."""
    refund = load(call)
    pi = intents.load(call, refund["payment_intent"])
    if refund["status"] == "pending":
        refund.update(status="succeeded", destination_details={"card": {"type": "refund"},
                                                               "type": "card"})  # fmt: skip
        refund.pop("pending_reason", None)
        call.store.save(KIND, refund)
        intents.tell(call, pi, "refund.updated", refund)
        return
    fails(call, refund)


def fails(call: Call, refund: Json, reason: str = "expired_or_canceled_card") -> None:
    """Let a refund come back; one that has failed stays failed."""
    if refund["status"] in ("failed", "canceled"):
        return
    pi = intents.load(call, refund["payment_intent"])
    movement = objects.balance_transaction(call, "refund_failure", refund, refund["amount"], fee=0)
    refund.update(
        status="failed", failure_reason=reason, failure_balance_transaction=movement["id"]
    )
    call.store.save(KIND, refund)
    intents.money(call, pi, "refund_failed", refund["amount"])
    charge = intents.charge_of(call, pi)
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    call.store.save(intents.CHARGE, charge)
    intents.tell(call, pi, "refund.failed", refund)
    intents.tell(call, pi, "refund.updated", refund)


def load(call: Call) -> Json:
    """Give the refund that the call names.

    Raises:
        StripeError: `resource_missing`.
    """
    found = call.store.get(KIND, call.id, call.account)
    if found is None:
        raise missing("refund", call.id, param="id")
    return found


def update(call: Call) -> Json:
    """Answer `POST /v1/refunds/:id`."""
    known(call.params, ("metadata",))
    refund = load(call)
    refund["metadata"] = metadata(call.params, refund["metadata"])
    call.store.save(KIND, refund)
    return refund


def cancel(call: Call) -> Json:
    """Answer `POST /v1/refunds/:id/cancel`: a card's refund needs nothing of the customer."""
    refund = load(call)
    raise refused(f"Refund {refund['id']} is not in a state that can be canceled.")


def _intent(call: Call) -> Json:
    intent_id = text(call.params, "payment_intent")
    if intent_id:
        return intents.load(call, intent_id, param="payment_intent", status=404)
    charge_id = text(call.params, "charge")
    if not charge_id:
        message = "One of the following params should be provided: `payment_intent` or `charge`."
        raise invalid(message, code="parameter_missing", param="payment_intent")
    charge = call.store.get(intents.CHARGE, charge_id, call.account)
    if charge is None:
        raise missing("charge", charge_id, param="charge")
    return intents.load(call, charge["payment_intent"])


def _check(call: Call, charge: Json, amount: int, left: int) -> None:
    if not disputes.is_refundable(call, charge):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise refused(message, code="charge_disputed")
    if left < 1:
        message = f"Charge {charge['id']} has already been refunded."
        raise refused(message, code="charge_already_refunded")
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, code="parameter_invalid_integer", param="amount")
    if amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise refused(message, param="amount")


def _fate(call: Call, pi: Json, charge: Json) -> Outcome:
    method = call.store.get(methods.KIND, charge["payment_method"])
    token = methods.card_of(method).outcome if method else PLAIN
    return token if token.refund else of_amount(pi["amount"])
