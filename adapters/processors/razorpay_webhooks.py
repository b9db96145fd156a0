"""Razorpay's webhooks: whose they are, and what they point at. Pure."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from adapters.processors.razorpay_answers import Json
from commands.processor import Hint

_TELLS: Final[dict[str, Literal["authorized", "captured"]]] = {
    "payment.authorized": "authorized",
    "payment.captured": "captured",
    "order.paid": "captured",
}


def verify(raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Check that one of the secrets signed the body.

    Raises:
        Exception: anything, where it did not.
    """
    given = next(v for k, v in headers.items() if k.lower() == "x-razorpay-signature").encode()
    good = False
    for secret in filter(None, secrets):
        wanted = hmac.digest(secret.encode(), raw, hashlib.sha256).hex().encode()
        good |= hmac.compare_digest(wanted, given)
    if not good:
        raise ValueError("no signature fits")


def hints(raw: bytes) -> list[Hint]:
    """Return the order that an event is about; its id in the header is not signed and not used."""
    event = msgspec.json.decode(raw)
    things = {name: part["entity"] for name, part in event["payload"].items()}
    payment, order = things.get("payment", {}), things.get("order", {})
    reference = payment.get("order_id") or order.get("id")
    if not reference:
        return []
    noted = [thing.get("notes") for thing in (payment, order)]
    ours: Json = {}
    for notes in noted:
        ours = ours or (notes if isinstance(notes, dict) and "attempt_id" in notes else {})
    hint = Hint(
        reference=str(reference),
        attempt_id=ours.get("attempt_id") or order.get("receipt"),
        event_id=hashlib.sha256(raw).hexdigest(),
        kind=str(event["event"]),
        order_id=ours.get("order_id"),
        payment_id=payment.get("id"),
        tells=_TELLS.get(str(event["event"]), "other"),
    )
    return [hint]
