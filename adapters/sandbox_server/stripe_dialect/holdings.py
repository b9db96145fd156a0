"""What a Stripe account has: its own object, its balance, and its charges."""

from collections.abc import Callable
from typing import Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.stripe_dialect import intents
from adapters.sandbox_server.stripe_dialect.errors import missing
from adapters.sandbox_server.stripe_dialect.forms import known, metadata, text
from adapters.sandbox_server.stripe_dialect.objects import MOVEMENT
from adapters.sandbox_server.wire import Json

_NOTHING: Final = {"card": 0}


def account(call: Call) -> Json:
    """Answer `GET /v1/account`: the key's own."""
    return {
        "id": call.account,
        "object": "account",
        "business_profile": {"name": "Loop sandbox"},
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "created": call.now,
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


def balance(call: Call) -> Json:
    """Answer `GET /v1/balance`: what has moved and was not paid out."""
    moved = [
        movement
        for movement in call.store.newest(MOVEMENT, call.account)
        if movement["type"] != "payout" and movement["_payout"] is None
    ]

    def sums(fits: Callable[[Json], bool]) -> list[Json]:
        found: dict[str, int] = {movement["currency"]: 0 for movement in moved}
        for movement in filter(fits, moved):
            found[movement["currency"]] += movement["net"]
        return [
            {"amount": found[name], "currency": name, "source_types": {"card": found[name]}}
            for name in sorted(found)
        ] or [{"amount": 0, "currency": "usd", "source_types": _NOTHING}]

    return {
        "object": "balance",
        "available": sums(lambda movement: movement["available_on"] <= call.now),
        "livemode": False,
        "pending": sums(lambda movement: movement["available_on"] > call.now),
    }


def update_charge(call: Call) -> Json:
    """Answer `POST /v1/charges/:id`."""
    known(call.params, ("metadata", "description", "receipt_email"))
    charge = call.store.get(intents.CHARGE, call.id, call.account)
    if charge is None:
        raise missing("charge", call.id, param="charge")
    charge["metadata"] = metadata(call.params, charge["metadata"])
    for name in ("description", "receipt_email"):
        charge[name] = text(call.params, name) or charge[name]
    call.store.save(intents.CHARGE, charge)
    return charge
