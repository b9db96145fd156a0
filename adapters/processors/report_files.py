"""Reading of report files: strict CSV with line numbers, decimals and times without guessing."""

import csv
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, tzinfo
from io import StringIO
from typing import Final

from commands.settlement_reports import ReportError
from domain.money import EXPONENTS, Money

_DECIMAL: Final = re.compile(r"(-?)(\d{1,14})(?:\.(\d+))?", re.ASCII)

Row = dict[str, str]


def rows(text: str, required: Collection[str]) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a CSV file by column, each with the number of its last line.

    Raises:
        ReportError: no header, a column is missing or there twice, a row is too long or too short.
    """
    reader = csv.reader(StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header: list[str] = next(reader, list[str]())
        if len(set(header)) != len(header):
            raise ReportError(1, "a column is there twice")
        absent = [name for name in required if name not in header]
        if absent:
            raise ReportError(1, f"there is no column {absent[0]}")
        for values in reader:
            if len(values) != len(header):
                message = f"{len(values)} fields, and the header has {len(header)}"
                raise ReportError(reader.line_num, message)
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise ReportError(reader.line_num, f"no CSV: {error}") from None


def money(line: int, name: str, row: Row, currency: str) -> Money:
    """Return an amount that is written in the currency's major unit.

    Raises:
        ReportError: it is no such number, or the currency does not exist.
    """
    code = currency.upper()
    if code not in EXPONENTS:
        raise ReportError(line, f"there is no currency {currency!r}")
    found = _DECIMAL.fullmatch(row[name])
    digits = EXPONENTS[code]
    fraction = (found[3] or "").rstrip("0") if found else ""
    if found is None or len(fraction) > digits:
        raise ReportError(line, f"{name} is no amount of {code}: {row[name]!r}")
    minor = int(found[2]) * 10**digits + int(fraction.ljust(digits, "0") or 0)
    return Money(-minor if found[1] else minor, code)


def time(line: int, name: str, row: Row, form: str, zone: tzinfo = UTC) -> datetime:
    """Return a time that is written in a form of `strptime`, as UTC.

    Raises:
        ReportError: it is written otherwise.
    """
    try:
        local = datetime.strptime(row[name], form).replace(tzinfo=zone)
    except ValueError:
        raise ReportError(line, f"{name} is no time: {row[name]!r}") from None
    return local.astimezone(UTC)


def text_of(line: int, name: str, row: Row) -> str:
    """Return a field that may not be empty.

    Raises:
        ReportError: it is.
    """
    if not row[name]:
        raise ReportError(line, f"{name} is empty")
    return row[name]
