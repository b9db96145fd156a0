"""Ids as the vendors make them: a prefix and random letters and digits."""

import random
import string
from typing import Final

_ALNUM: Final = string.ascii_letters + string.digits
_random = random.Random()  # noqa: S311 - seeded by the system: the ids are unique, not secret

STRIPE_LENGTH: Final = 24
RAZORPAY_LENGTH: Final = 14


def stripe_id(prefix: str) -> str:
    """Give an id such as `pi_` and 24 characters."""
    return prefix + "".join(_random.choices(_ALNUM, k=STRIPE_LENGTH))


def razorpay_id(prefix: str) -> str:
    """Give an id such as `pay_` and 14 characters."""
    return prefix + "".join(_random.choices(_ALNUM, k=RAZORPAY_LENGTH))
