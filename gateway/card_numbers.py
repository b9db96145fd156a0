"""What a card number looks like, in texts that are kept so that everybody can read them."""

import re
from typing import Final

_ALONE: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:\d{14,16}|\d{19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?![0-9A-Za-z])"
)
_ISSUED: Final = re.compile(
    r"4\d{15}|4\d{18}|(?:5[1-5]|2[2-7]|35)\d{14}|3[47]\d{13}|3[0689]\d{12}|6\d{15}|6\d{18}"
)


def is_card_number(text: str) -> bool:
    """Tell whether a card number stands in a text: of an issuer, alone or in a card's groups.

    Ids are long numbers, too, and one in ten passes Luhn: so UUIDs, times and most numbers that
    count something are told apart, which a search for any 13 to 19 digits would refuse.
    """
    for found in _ALONE.finditer(text):
        digits = found[0].replace(" ", "").replace("-", "")
        if _ISSUED.fullmatch(digits) and passes_luhn(digits):
            return True
    return False


def passes_luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others."""
    numbers = [int(digit) for digit in reversed(digits)]
    doubled = (sum(divmod(2 * number, 10)) for number in numbers[1::2])
    return (sum(numbers[0::2]) + sum(doubled)) % 10 == 0
