"""Card data never enters: what looks like it is found before anything else reads the body."""

import re
from typing import Any, Final

from gateway.card_numbers import is_card_number, passes_luhn
from gateway.errors import Refused, invalid

_NAMES: Final = frozenset(
    {
        "number", "pan", "cvv", "cvc", "cvv2", "cvc2", "cardnumber", "cardno", "cardnum", "cardpan",
        "ccnumber", "ccnum", "creditcard", "creditcardnumber", "primaryaccountnumber", "cardcvc",
        "cardcvv", "cardcvv2", "securitycode", "cardsecuritycode", "verificationvalue",
        "cardverificationvalue", "track1", "track2", "trackdata", "magstripe", "pinblock",
    }
)  # fmt: skip
_METHODS: Final = frozenset({"paymentmethod", "paymentmethoddata", "card"})
_READABLE: Final = frozenset({"externalid", "name", "id", "cardbrand"})
"""What of a body is kept unsealed, so that a card number in it would be read by everybody."""

DEPTH_MAX: Final = 32
_MARKS: Final = "_- ."
_RUNS: Final = re.compile(r"\d[\d\s\-\u2010-\u2015\u2212.]{11,}\d")
_GROUPS: Final = re.compile(r"\d+")


def refuse_card_data(body: Any) -> None:
    """Look for card data in a decoded body.

    A field that is named like one is refused anywhere; 13 to 19 digits that pass Luhn, with spaces
    and dashes between them or not, are refused within a payment method, names of fields included;
    what looks like an issuer's card number is refused in what is kept unsealed.

    Raises:
        Refused: `invalid_request` for endless nesting; `card_data_refused`, which repeats
            nothing of what was found.
    """
    if _found(body, within=False):
        raise Refused("card_data_refused")


def _found(value: Any, *, within: bool, depth: int = 0) -> bool:
    """Look through a value, to a depth that no request of ours has."""
    if depth > DEPTH_MAX:
        raise invalid("body", "is nested too deeply")
    if isinstance(value, dict):
        for name, inner in value.items():
            plain = _plain(name)
            if plain in _NAMES or (within and holds_pan(name)):
                return True
            if plain in _READABLE and isinstance(inner, str) and is_card_number(inner):
                return True
            if _found(inner, within=within or plain in _METHODS, depth=depth + 1):
                return True
        return False
    if isinstance(value, list):
        return any(_found(inner, within=within, depth=depth + 1) for inner in value)
    return within and holds_pan(value)


def _plain(name: str) -> str:
    for mark in _MARKS:
        name = name.replace(mark, "")
    return name.lower()


def holds_pan(value: Any) -> bool:
    """Tell whether a string or number holds 13 to 19 digits that pass Luhn."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    text = f"{value:.0f}" if isinstance(value, float) else str(value)
    return any(_run_holds_pan(run) for run in _RUNS.findall(text))


def _run_holds_pan(run: str) -> bool:
    """Look at every row of neighbouring groups: a card number may have an expiry behind it."""
    groups = _GROUPS.findall(run)
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > 19:  # noqa: PLR2004 - ISO 7812: 19 digits at most
                break
            if len(digits) >= 13 and passes_luhn(digits):  # noqa: PLR2004 - the shortest in use
                return True
    return False
