"""From bytes to request structs: everything malformed or invalid is a 400 that names the fields."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request

from gateway.bodies import Query
from gateway.card_data import refuse_card_data
from gateway.errors import FieldError, Refused, invalid
from gateway.operation import FORM

T = TypeVar("T", bound=msgspec.Struct)
Q = TypeVar("Q", bound=Query)

DEPTH_MAX: Final = 32
"""Levels of nesting; far above what any body needs, far below what readers of JSON can do."""

_JSON: Final = re.compile(
    r'application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*', re.IGNORECASE
)
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_AT: Final = re.compile(r" - at `(?P<path>[^`]*)`$")
_OPAQUE: Final = (
    (re.compile(r"^Invalid enum value .*", re.DOTALL), "is none of the allowed values"),
    (re.compile(r"^Expected `str` matching regex .*", re.DOTALL), "does not have the right form"),
)


async def json_body(request: Request[Any, Any, Any], *, required: bool) -> Any:
    """Return the decoded JSON body, searched for card data; an absent optional one is `{}`.

    Raises:
        Refused: `unsupported_media_type`, `invalid_request`, `card_data_refused`.
    """
    raw = await request.body()
    if not raw:
        if required:
            raise invalid("body", "a JSON object is required")
        return dict[str, Any]()
    none: list[str] = []
    media = request.headers.getall("content-type", none)
    if len(media) != 1 or not _JSON.fullmatch(media[0]) or "content-encoding" in request.headers:
        raise Refused("unsupported_media_type")
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("body", "is not valid JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise invalid("body", "is not a JSON object")
    if raw.count(b"{") + raw.count(b"[") > DEPTH_MAX and _is_deeper(body, DEPTH_MAX):
        raise invalid("body", "is nested too deeply")
    if _repeats(raw):
        raise invalid("body", "has a field twice")
    refuse_card_data(body)
    if b"\\u0000" in raw and _holds_nul(body):
        raise invalid("body", "holds a NUL character")
    return body


class _TwiceError(Exception):
    """An object has a name twice."""


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _TwiceError


_names: Final = json.JSONDecoder(object_pairs_hook=_once_each)


def _repeats(raw: bytes) -> bool:
    """Tell whether an object has a name twice: the next reader might take the other value."""
    try:
        _names.decode(raw.decode())
    except _TwiceError:
        return True
    return False


def _is_deeper(value: Any, levels: int) -> bool:
    """Tell whether objects and lists stand in each other on more levels than that."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict) and not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)


async def form_body(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Return the fields of a page's form, searched for card data.

    Raises:
        Refused: `unsupported_media_type`, `invalid_request`, `card_data_refused`.
    """
    none: list[str] = []
    media = request.headers.getall("content-type", none)
    if len(media) != 1 or media[0].partition(";")[0].strip().lower() != FORM:
        raise Refused("unsupported_media_type", f"The body has to be {FORM}.")
    try:
        text = (await request.body()).decode()
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:  # of UTF-8, too
        raise invalid("body", "is no form in UTF-8") from None
    fields = dict(pairs)
    refuse_card_data({"paymentMethod": fields})
    if len(fields) < len(pairs) or any("\0" in name + value for name, value in pairs):
        raise invalid("body", "has a field twice, or a NUL character")
    return fields


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def as_struct(body: Mapping[str, Any], shape: type[T]) -> T:
    """Return a decoded body as its struct; unknown fields and other types are refused.

    Raises:
        Refused: `invalid_request` with every field that is wrong.
    """
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError:
        raise _refused(_errors(body, shape)) from None


def query(request: Request[Any, Any, Any], shape: type[Q]) -> Q:
    """Return the query string as its struct; unknown and repeated parameters are refused.

    Raises:
        Refused: `invalid_request` with every parameter that is wrong.
    """
    raw = request.scope["query_string"].decode("latin-1")
    if not raw:
        return shape()
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=50)
    except (ValueError, UnicodeDecodeError):
        raise invalid("query", "is malformed") from None
    given = dict(pairs)
    errors: list[FieldError] = []
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        errors = [FieldError(name, "is given more than once") for name in repeated]
    errors += [FieldError(name, "is empty") for name, value in given.items() if not value]
    errors += [FieldError(n, "holds a NUL character") for n, v in given.items() if "\0" in n + v]
    if errors:
        raise _refused(errors)
    return as_struct(_with_numbers(given, shape), shape)


def _with_numbers(given: dict[str, str], shape: type[Query]) -> dict[str, str | int]:
    """Read whole numbers where they may stand; everything else is checked as text."""
    return {
        name: int(value) if name in shape.NUMBERS and _WHOLE.fullmatch(value) else value
        for name, value in given.items()
    }


def no_query(request: Request[Any, Any, Any]) -> None:
    """Refuse query parameters where there are none.

    Raises:
        Refused: `invalid_request`.
    """
    if request.scope["query_string"]:
        query(request, _Nothing)


class _Nothing(Query, frozen=True, kw_only=True):
    """No parameters at all."""


def _errors(given: Mapping[str, Any], shape: type[msgspec.Struct]) -> list[FieldError]:
    """Check field by field, because the decoder reports its first finding only."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    found = [FieldError(name[:64], "is not a known field") for name in given if name not in fields]
    for name, field in fields.items():
        if name not in given:
            if field.required:
                found.append(FieldError(name, "is required"))
            continue
        try:
            msgspec.convert(given[name], field.type)
        except msgspec.ValidationError as error:
            found.append(_explained(name, str(error)))
    return found


def _explained(name: str, message: str) -> FieldError:
    """Turn the decoder's message into ours: the path as field, no values repeated."""
    at = _AT.search(message)
    path = at["path"].removeprefix("$").replace("[...]", ".*") if at else ""
    text = _AT.sub("", message)
    for opaque, plain in _OPAQUE:
        text = opaque.sub(plain, text)
    return FieldError(f"{name}{path}", text)


def _refused(errors: list[FieldError]) -> Refused:
    first = errors[0]
    return Refused("invalid_request", f"{first.field}: {first.message}", tuple(errors))
