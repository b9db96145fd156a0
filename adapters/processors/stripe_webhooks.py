"""Stripe's webhooks: whose they are, and what they point at. Pure."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from adapters.processors.stripe_problems import Json
from commands.processor import Hint

TOLERANCE_S: Final = 300


def verify(raw: bytes, headers: Mapping[str, str], secrets: Sequence[str], now: float) -> None:
    """Check that one of the secrets signed the body within five minutes of `now`, unix seconds.

    Raises:
        Exception: anything, where it did not.
    """
    header = next(v for k, v in headers.items() if k.lower() == "stripe-signature")
    parts = [part.strip().partition("=") for part in header.split(",")]
    (stamp,) = [value for name, _, value in parts if name == "t"]
    if abs(now - int(stamp)) > TOLERANCE_S:
        raise ValueError("too old, or from the future")
    given = [value.encode() for name, _, value in parts if name == "v1"]
    signed = stamp.encode() + b"." + raw
    good = False
    for secret in filter(None, secrets):
        wanted = hmac.digest(secret.encode(), signed, hashlib.sha256).hex().encode()
        for signature in given:
            good |= hmac.compare_digest(wanted, signature)
    if not good:
        raise ValueError("no signature fits")


_TELLS: Final[dict[str, Literal["opened", "authorized", "captured"]]] = {
    "payment_intent.created": "opened",
    "payment_intent.amount_capturable_updated": "authorized",
    "charge.succeeded": "authorized",
    "payment_intent.succeeded": "captured",
    "charge.captured": "captured",
}


def hints(event: Json) -> list[Hint]:
    """Return the PaymentIntent that an event is about; none for what is about no payment."""
    thing = event["data"]["object"]
    is_intent = thing.get("object") == "payment_intent"
    reference = thing["id"] if is_intent else thing.get("payment_intent")
    if isinstance(reference, dict):
        reference = reference["id"]
    if not reference:
        return []
    ours = thing.get("metadata") or {}
    hint = Hint(
        reference=str(reference),
        attempt_id=ours.get("attempt_id"),
        event_id=str(event["id"]),
        kind=str(event["type"]),
        order_id=ours.get("order_id"),
        payment_id=_charge(thing),
        tells=_TELLS.get(str(event["type"]), "other"),
    )
    return [hint]


def _charge(thing: Json) -> str | None:
    if thing.get("object") == "charge":
        return str(thing["id"])
    charge = thing.get("charge") or thing.get("latest_charge")
    return charge if isinstance(charge, str) else None
