"""What a confirmation does: challenge, decline, processing or success, as token and amount say."""

from typing import Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.outcomes import SETTLE_S, Outcome, together
from adapters.sandbox_server.stripe_dialect import intents, methods, objects
from adapters.sandbox_server.stripe_dialect.errors import decline
from adapters.sandbox_server.stripe_dialect.objects import public
from adapters.sandbox_server.wire import Json

DECLINES_MAX: Final = 25
"""Stripe calls its own limit variable; after it the PaymentIntent is cancelled."""


def outcome_of(pi: Json, method: Json) -> Outcome:
    """Give how this payment goes."""
    return together(methods.card_of(method).outcome, pi["amount"])


def authorize(
    call: Call, pi: Json, method: Json, *, off_session: bool = False, no_action: bool = False
) -> Json | None:
    """Carry a confirmation out.

    `off_session`: the customer is not there. `no_action`: an authentication would be a decline.

    Returns:
        The error of a decline; None if there is none.
    """
    outcome = outcome_of(pi, method)
    pi.update(payment_method=method["id"], last_payment_error=None)
    asked = outcome.challenge not in (None, "optional") and not pi["_authenticated"]
    if outcome.challenge == "off_session" and off_session:
        asked = False
    if asked and (off_session or no_action):
        return _declined(call, pi, method, "authentication_required")
    if asked:
        _challenge(call, pi)
        return None
    return _settle(call, pi, method, outcome)


def challenged(call: Call, pi: Json, *, approved: bool) -> None:
    """Go on after the customer's authentication."""
    method = call.store.get(methods.KIND, pi["payment_method"])
    assert method is not None, pi["id"]
    if not approved:
        _declined(call, pi, method, "authentication_failure")
        return
    pi["_authenticated"] = True
    if pi["confirmation_method"] == "manual":
        pi.update(status="requires_confirmation", next_action=None)
        intents.save(call, pi)
        return
    _settle(call, pi, method, outcome_of(pi, method))


def settle(call: Call, _: Json) -> None:
    """End the processing (timer)."""
    pi = intents.load(call, call.id)
    if pi["status"] != "processing":
        return
    method = call.store.get(methods.KIND, pi["payment_method"])
    assert method is not None, pi["id"]
    if outcome_of(pi, method).settles == "fails":
        _declined(call, pi, method, "processing_error")
    else:
        intents.hold(call, pi, method)


def _settle(call: Call, pi: Json, method: Json, outcome: Outcome) -> Json | None:
    if outcome.challenge == "decline":
        return _declined(call, pi, method, "generic_decline")
    if outcome.challenge == "error":
        return _declined(call, pi, method, "processing_error")
    if outcome.decline:
        return _declined(call, pi, method, outcome.decline)
    if outcome.settles:
        pi.update(status="processing", next_action=None)
        call.box.schedule("stripe.settle", call, pi["id"], SETTLE_S)
        intents.save(call, pi, "payment_intent.processing")
        return None
    intents.hold(call, pi, method)
    return None


def _challenge(call: Call, pi: Json) -> None:
    url = f"{call.box.base_url}/3ds/{pi['id']}?client_secret={pi['client_secret']}"
    pi["status"] = "requires_action"
    if pi["_return_url"]:
        redirect = {"return_url": pi["_return_url"], "url": url}
        pi["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
    else:
        pi["next_action"] = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url},
        }
    intents.save(call, pi, "payment_intent.requires_action")


def _declined(call: Call, pi: Json, method: Json, code: str) -> Json:
    """Write a decline down; give its error."""
    charge_id = None
    if code not in ("authentication_required", "authentication_failure"):
        charge = objects.charge(call, pi, method, captured=False)
        objects.fail(charge, decline(code))
        call.store.add(intents.CHARGE, charge, account=call.account, parent=pi["id"])
        pi["latest_charge"] = charge_id = charge["id"]
        intents.tell(call, pi, "charge.failed", charge)
    error = decline(code, charge=charge_id, payment_method=public(method))
    pi["_declines"] += 1
    pi.update(
        status="requires_payment_method",
        last_payment_error=error,
        next_action=None,
        payment_method=None,
        processing=None,
        _authenticated=False,
    )
    intents.save(call, pi, "payment_intent.payment_failed")
    if pi["_declines"] >= DECLINES_MAX:
        intents.close(call, pi, "automatic")
    return error
