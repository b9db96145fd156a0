"""PaymentIntents: what they are made of and how they change, without HTTP."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.outcomes import of_amount
from adapters.sandbox_server.stripe_dialect import disputes, events, objects
from adapters.sandbox_server.stripe_dialect.errors import missing, refused
from adapters.sandbox_server.stripe_dialect.objects import public
from adapters.sandbox_server.wire import Json, words

KIND: Final = "stripe.payment_intent"
CHARGE: Final = "stripe.charge"
OPEN: Final = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)


def load(call: Call, intent_id: str, *, param: str = "intent", status: int = 404) -> Json:
    """Give the account's PaymentIntent.

    Raises:
        StripeError: `resource_missing`.
    """
    found = call.store.get(KIND, intent_id, call.account)
    if found is None:
        raise missing("payment_intent", intent_id, param=param, status=status)
    return found


def save(call: Call, pi: Json, *happened: str) -> None:
    """Store a changed PaymentIntent and tell what happened."""
    call.store.save(KIND, pi)
    for kind in happened:
        tell(call, pi, kind, pi)


def tell(call: Call, pi: Json, kind: str, thing: Json) -> None:
    """Make an event about a PaymentIntent or something that belongs to it."""
    events.emit(call, kind, thing, payment=pi["id"], delivery=of_amount(pi["amount"]).delivery)


def money(call: Call, pi: Json, op: str, amount: int) -> None:
    """Write a movement into the books."""
    order_ref = pi["metadata"].get("order_id")
    call.money("stripe", op, pi["id"], order_ref, amount, pi["currency"])


def unexpected(pi: Json, verb: str, statuses: tuple[str, ...]) -> Exception:
    """Give the error of a PaymentIntent that is not in a state for this."""
    message = (
        f"This PaymentIntent's status is {pi['status']}: it could not be {verb}. Only a "
        f"PaymentIntent with one of the following statuses may be {verb}: {', '.join(statuses)}."
    )
    return refused(message, code="payment_intent_unexpected_state", payment_intent=public(pi))


def new(call: Call, **given: Any) -> Json:
    """Give a PaymentIntent that has not been confirmed."""
    intent_id = stripe_id("pi_")
    secret = f"{intent_id}_secret_{stripe_id('')}"
    blank = dict.fromkeys(
        words(
            "application application_fee_amount canceled_at cancellation_reason customer "
            "description last_payment_error latest_charge next_action on_behalf_of payment_method "
            "processing receipt_email review setup_future_usage shipping statement_descriptor "
            "statement_descriptor_suffix transfer_data transfer_group"
        )
    )
    fresh: Json = {
        "id": intent_id,
        "object": "payment_intent",
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "client_secret": secret,
        "created": call.now,
        "livemode": False,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        "_multicapture": False,
        "_return_url": None,
        "_authenticated": False,
        "_declines": 0,
    }
    return fresh | blank | given


def charge_of(call: Call, pi: Json) -> Json:
    """Give the charge of a PaymentIntent that has one."""
    found = call.store.get(CHARGE, pi["latest_charge"])
    assert found is not None, pi["id"]
    return found


def hold(call: Call, pi: Json, method: Json) -> None:
    """Authorize, and capture at once unless the capture is manual."""
    at_once = pi["capture_method"] != "manual"
    charge = objects.charge(call, pi, method, captured=at_once)
    pi.update(latest_charge=charge["id"], next_action=None, processing=None)
    money(call, pi, "authorized", pi["amount"])
    if at_once:
        money(call, pi, "captured", pi["amount"])
        pi.update(status="succeeded", amount_received=pi["amount"])
    else:
        pi.update(status="requires_capture", amount_capturable=pi["amount"])
        call.box.schedule("stripe.expire", call, pi["id"], objects.HOLD_S)
    call.store.add(CHARGE, charge, account=call.account, parent=pi["id"])
    if at_once:
        _moves(call, charge, pi["amount"])
    tell(call, pi, "charge.succeeded", charge)
    done = "payment_intent.succeeded" if at_once else "payment_intent.amount_capturable_updated"
    save(call, pi, done)
    if at_once:
        disputes.may_follow(call, pi, charge)


def take(call: Call, pi: Json, amount: int, *, final: bool) -> None:
    """Capture held money; the last capture releases the rest."""
    charge = charge_of(call, pi)
    rest = pi["amount_capturable"] - amount
    last = final or rest == 0
    pi["amount_received"] += amount
    pi["amount_capturable"] = 0 if last else rest
    charge.update(amount_captured=pi["amount_received"], captured=True)
    money(call, pi, "captured", amount)
    _moves(call, charge, amount)
    if last:
        pi["status"] = "succeeded"
        call.box.unschedule("stripe.expire", pi["id"])
        if rest:
            money(call, pi, "released", rest)
    call.store.save(CHARGE, charge)
    tell(call, pi, "charge.captured" if last else "charge.updated", charge)
    save(call, pi, "payment_intent.succeeded" if last
         else "payment_intent.amount_capturable_updated")  # fmt: skip
    if last:
        disputes.may_follow(call, pi, charge)


def _moves(call: Call, charge: Json, amount: int) -> None:
    """Move the balance, at once or as late as the account's option says."""
    after_s: float = call.box.option("stripe_balance_after_s")
    if after_s:
        call.box.schedule("stripe.balance", call, charge["id"], after_s, amount=amount)
    else:
        _move(call, charge, amount)


def _move(call: Call, charge: Json, amount: int) -> None:
    movement = objects.balance_transaction(call, "charge", charge, amount)
    charge["balance_transaction"] = charge["balance_transaction"] or movement["id"]
    call.store.save(CHARGE, charge)


def moved(call: Call, asked: Json) -> None:
    """Move the balance for a capture, late (timer)."""
    charge = call.store.get(CHARGE, call.id)
    assert charge is not None, call.id
    _move(call, charge, asked["amount"])
    pi = call.store.get(KIND, charge["payment_intent"])
    assert pi is not None, charge["payment_intent"]
    tell(call, pi, "charge.updated", charge)


def close(call: Call, pi: Json, reason: str | None) -> None:
    """Cancel for ever; what is held is released, what was captured stays captured."""
    held = pi["amount_capturable"]
    call.box.unschedule("stripe.expire", pi["id"])
    call.box.unschedule("stripe.settle", pi["id"])
    if held:
        money(call, pi, "released", held)
    pi.update(amount_capturable=0, next_action=None, processing=None)
    if pi["amount_received"]:
        pi["status"] = "succeeded"
        save(call, pi, "payment_intent.succeeded")
        return
    money(call, pi, "voided", 0)
    pi.update(status="canceled", canceled_at=call.now, cancellation_reason=reason)
    save(call, pi, "payment_intent.canceled")


def expire(call: Call, _: Json) -> None:
    """Release a hold whose window is over (timer)."""
    pi = load(call, call.id)
    if pi["status"] == "requires_capture":
        charge = charge_of(call, pi)
        if not charge["captured"]:
            tell(call, pi, "charge.expired", charge)
        close(call, pi, "automatic")
