"""What Razorpay asks of the members of its bodies and queries."""

import re
from itertools import islice
from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.razorpay_dialect.errors import invalid, missing
from adapters.sandbox_server.wire import Json

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_ENDS_IN_ZERO: Final = ("KWD", "BHD", "OMR")
AMOUNT_MIN: Final = 100
AMOUNT_MAX: Final = 50_000_000_000
NOTES_MAX: Final = 15
NOTE_MAX: Final = 256
COUNT_MAX: Final = 100


def whole(params: Json, name: str) -> int | None:
    """Give a whole number, also from text.

    Raises:
        RazorpayError: it is none.
    """
    value = params.get(name)
    if value in (None, ""):
        return None
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", str(value)):
        raise invalid(f"The {name} must be an integer.", field=name)
    return int(value)


def amount_of(params: Json) -> tuple[int, str]:
    """Give amount and currency.

    Raises:
        RazorpayError: missing or not to be charged.
    """
    amount = whole(params, "amount")
    currency = params.get("currency")
    if amount is None:
        raise invalid("The amount field is required.", field="amount")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise invalid("The currency is not supported.", field="currency")
    least = AMOUNT_MIN if currency == "INR" else 1
    if amount < least:
        raise invalid(f"The amount must be atleast {currency} {least / 100:.2f}", field="amount")
    if amount > AMOUNT_MAX:
        raise invalid("Amount exceeds maximum amount allowed.", field="amount")
    if currency in _ENDS_IN_ZERO and amount % 10:
        raise invalid("The last digit of the amount must be 0 for this currency.", field="amount")
    return amount, currency


def notes_of(params: Json) -> Any:
    """Give the notes; none are an empty list.

    Raises:
        RazorpayError: too many or too long.
    """
    notes = params.get("notes") or {}
    if not isinstance(notes, dict):
        raise invalid("The notes must be an object.", field="notes")
    if len(notes) > NOTES_MAX or any(len(str(value)) > NOTE_MAX for value in notes.values()):
        raise invalid("Notes: at most 15 of 256 characters.", field="notes")
    none: list[str] = []
    return notes or none


def load(call: Call, kind: str, object_id: str | None = None) -> Json:
    """Give the account's object.

    Raises:
        RazorpayError: there is none.
    """
    found = call.store.get(kind, object_id or call.id, call.account)
    if found is None:
        raise missing()
    return found


def page(call: Call, kind: str, *, parent: str | None = None) -> Json:
    """Give one page of a list, newest first: `count`, `skip`, `from`, `to`.

    `parent` is what they belong to; an order belongs to its receipt.
    """
    count = whole(call.params, "count") or 10
    skip = whole(call.params, "skip") or 0
    if not 1 <= count <= COUNT_MAX:
        raise invalid("The count must be between 1 and 100.", field="count")
    if skip < 0:
        raise invalid("The skip must be at least 0.", field="skip")
    where = ""
    values: list[Any] = []
    for name, sign in (("from", ">="), ("to", "<=")):
        moment = whole(call.params, name)
        if moment is not None:
            where += f" AND created {sign} ?"
            values.append(moment)
    if parent:
        where += " AND parent = ?"
        values.append(parent)
    found = call.store.newest(kind, call.account, where=where, values=values)
    return collection(list(islice(found, skip, skip + count)))


def collection(items: list[Json]) -> Json:
    """Give a list as Razorpay shows it."""
    return {"entity": "collection", "count": len(items), "items": items}
