"""The hidden field of a pay form: it is ours, of this order, and of the try that was shown."""

import hashlib
import hmac
import re
from typing import Final

from domain.order.state import Order

PATTERN: Final = "^[0-9]{1,3}\\.[a-p]{64}$"
_SHAPE: Final = re.compile(r"([0-9]{1,3})\.([a-p]{64})")
_LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
"""Digits in a row may look like a card number, which no form of ours may hold."""


def page_token(key: bytes, order: Order) -> str:
    """Return the token of a form that is shown now."""
    number = len(order.attempts)
    return f"{number}.{_mac(key, order.id, number)}"


def try_of(key: bytes, order_id: str, token: str) -> int | None:
    """Return how many tries there had been when the form was shown; None if it is not ours."""
    match = _SHAPE.fullmatch(token)
    if match is None:
        return None
    number = int(match[1])
    return number if hmac.compare_digest(match[2], _mac(key, order_id, number)) else None


def _mac(key: bytes, order_id: str, number: int) -> str:
    mac = hmac.digest(key, f"{order_id}\0{number}".encode(), hashlib.sha256)
    return mac.hex().translate(_LETTERS)
