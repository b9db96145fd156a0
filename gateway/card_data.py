"""Card data never enters: what looks like it is found before anything else reads the body."""

import re
from collections.abc import Iterator
from typing import Any, Final

from gateway.errors import Refused

_NAMES: Final = frozenset(
    {
        "number", "pan", "cvv", "cvc", "cvv2", "cvc2", "cardnumber", "cardno", "cardnum", "cardpan",
        "ccnumber", "ccnum", "creditcard", "creditcardnumber", "primaryaccountnumber", "cardcvc",
        "cardcvv", "cardcvv2", "securitycode", "cardsecuritycode", "verificationvalue",
        "cardverificationvalue", "track1", "track2", "trackdata", "magstripe", "pinblock",
    }
)  # fmt: skip
_METHODS: Final = frozenset({"paymentmethod", "paymentmethoddata", "card"})
_RUNS: Final = re.compile(r"\d[\d\s\-\u2010-\u2015\u2212.]{11,}\d")
_GROUPS: Final = re.compile(r"\d+")


def refuse_card_data(body: Any) -> None:
    """Look for card data in a decoded body.

    A field that is named like one is refused anywhere; 13 to 19 digits that pass Luhn, with spaces
    and dashes between them or not, are refused within a payment method, names of fields included.

    Raises:
        Refused: `card_data_refused`; it repeats nothing of what was found.
    """
    for within, name, value in _walk(body):
        if name is not None and _plain(name) in _NAMES:
            raise Refused("card_data_refused")
        if within and (holds_pan(value) or (name is not None and holds_pan(name))):
            raise Refused("card_data_refused")


def _walk(body: Any) -> Iterator[tuple[bool, str | None, Any]]:
    """Yield every value with its field's name and whether it is within a payment method."""
    todo: list[tuple[bool, str | None, Any]] = [(False, None, body)]
    while todo:
        within, name, value = todo.pop()
        yield within, name, value
        if isinstance(value, dict):
            todo.extend((within or _plain(key) in _METHODS, key, inner)
                        for key, inner in value.items())  # fmt: skip
        elif isinstance(value, list):
            todo.extend((within, None, inner) for inner in value)


def _plain(name: str) -> str:
    return "".join(c for c in name if c.isalnum()).lower()


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
            if len(digits) >= 13 and _luhn(digits):  # noqa: PLR2004 - the shortest in use
                return True
    return False


def _luhn(digits: str) -> bool:
    numbers = [int(digit) for digit in reversed(digits)]
    doubled = (sum(divmod(2 * number, 10)) for number in numbers[1::2])
    return (sum(numbers[0::2]) + sum(doubled)) % 10 == 0
