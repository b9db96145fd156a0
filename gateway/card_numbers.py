"""What a card number looks like, in texts that are kept so that everybody can read them."""

import re
from typing import Final

_GAP: Final = r"[ \-\u00a0\u2007\u202f\u2010-\u2015\u2212]"
_ALONE: Final = re.compile(
    r"(?<![\dA-Za-z])(?:\d{14,16}|\d{19}"
    rf"|\d{{4}}(?P<gap>{_GAP})\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{4}}(?:(?P=gap)\d{{3}})?"
    rf"|\d{{4}}({_GAP})\d{{6}}\2\d{{4,5}})(?![\dA-Za-z])"
)
_ISSUED: Final = re.compile(
    r"(?:4\d|5[0678]|6\d)\d{14}(?:\d{3})?|(?:5[1-5]|2[2-7]|35|8[12])\d{14}|9792\d{12}"
    r"|3[47]\d{13}|3[0689]\d{12}(?:\d\d)?"
)
"""Visa; Maestro, Verve, RuPay; UnionPay, Discover; Mastercard, Mir, JCB; Troy; Amex; Diners."""


def is_card_number(text: str) -> bool:
    """Tell whether a card number stands in a text: of an issuer, alone or in a card's groups.

    Ids are long numbers, too, and one in ten passes Luhn: so UUIDs, times and most numbers that
    count something are told apart, which a search for any 13 to 19 digits would refuse.
    """
    for found in _ALONE.finditer(text):
        digits = "".join(str(int(char)) for char in found[0] if char.isdecimal())
        # Behind four groups of four may stand the end of a longer number, or a security code.
        if _issued(digits) or (found["gap"] and _issued(digits[:16])):
            return True
    return False


def _issued(digits: str) -> bool:
    return _ISSUED.fullmatch(digits) is not None and passes_luhn(digits)


def passes_luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others."""
    numbers = [int(digit) for digit in reversed(digits)]
    doubled = (sum(divmod(2 * number, 10)) for number in numbers[1::2])
    return (sum(numbers[0::2]) + sum(doubled)) % 10 == 0
