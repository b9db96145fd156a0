"""Request headers that mean something to a command: `Idempotency-Key` and `Prefer`."""

import hashlib
import re
from typing import Any, Final

import msgspec
from litestar import Request

from commands.caller import Caller, Idempotency
from gateway.card_numbers import is_card_number
from gateway.errors import Refused, invalid

KEY_PATTERN: Final = r'^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$'
"""Bare visible ASCII, or a structured-field string in quotes."""

WAIT_S: Final = 3.0
WAIT_MAX_S: Final = 20.0

_KEY: Final = re.compile(KEY_PATTERN)
_ESCAPED: Final = re.compile(r'\\(["\\])')
_NONE: Final[list[str]] = []
_SECONDS: Final = re.compile(r"[0-9]+")
_PREFERENCE: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
"""RFC 7240: separated by commas, but for those within quotes."""


def single(request: Request[Any, Any, Any], name: str) -> str | None:
    """Return a header's value, None when it is absent.

    Raises:
        Refused: 400 for an empty value, or for the header given twice.
    """
    values = request.headers.getall(name, _NONE)
    if not values:
        return None
    if len(values) > 1:
        raise invalid(name, "is given more than once")
    value = values[0].strip(" \t")
    if not value:
        raise invalid(name, "is empty")
    return value


def idempotency_key(value: str) -> str:
    """Return the key that a header's value means: `abc` and `"abc"` are the same key.

    Raises:
        Refused: 400 for anything but 1 to 255 visible ASCII characters, bare or quoted.
    """
    if not _KEY.fullmatch(value) or value.endswith("\n"):
        raise invalid("Idempotency-Key", "takes 1 to 255 visible ASCII characters, bare or quoted")
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def fingerprint(body: Any) -> bytes:
    """Return the SHA-256 of a decoded JSON body in its canonical form: keys sorted, no spaces."""
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).digest()


def idempotency(request: Request[Any, Any, Any], caller: Caller, body: Any) -> Idempotency | None:
    """Return what the header asks for, None when it is absent.

    Raises:
        Refused: 400 for a header that is empty, repeated or malformed; `card_data_refused`.
    """
    value = single(request, "Idempotency-Key")
    if value is None:
        return None
    key = idempotency_key(value)
    if is_card_number(key):
        raise Refused("card_data_refused")
    return Idempotency(
        key=key,
        scope=f"{caller.merchant_id}:{caller.mode}:{request.method} {request.url.path}",
        fingerprint=fingerprint(body),
    )


def preferred_wait_s(request: Request[Any, Any, Any]) -> float:
    """Return the seconds of `Prefer: wait=N`, 3 without it, at most 20; others are ignored.

    Raises:
        Refused: 400 for an empty header or a wait that is no whole number of seconds.
    """
    values = request.headers.getall("Prefer", _NONE)
    for value in values:
        if not value.strip(" \t"):
            raise invalid("Prefer", "is empty")
    for preference in _PREFERENCE.findall(",".join(values)):
        name, equals, given = preference.partition(";")[0].partition("=")
        if name.strip().lower() != "wait":
            continue
        seconds = given.strip().strip('"')
        if not equals or not _SECONDS.fullmatch(seconds):
            raise invalid("Prefer", "wait takes whole seconds, for example wait=5")
        return min(float(seconds), WAIT_MAX_S)
    return WAIT_S
