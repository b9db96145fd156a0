"""Stripe's form encoding: `a[b][c]=x`, `a[0]=x` and `a[]=x` become nested values; all are text."""

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from adapters.sandbox_server.stripe_dialect.errors import invalid
from adapters.sandbox_server.wire import Json

_PARTS = re.compile(r"\[([^\[\]]*)\]")
FIELDS_MAX = 1000


def parse(text: str) -> Json:
    """Give the nested parameters.

    Raises:
        StripeError: too many fields.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise invalid("Too many parameters.") from None
    root: Json = {}
    for name, value in pairs:
        head, bracket, _ = name.partition("[")
        _put(root, [head, *_PARTS.findall(name)] if bracket else [head], value)
    return {name: _listed(value) for name, value in root.items()}


def _put(at: Json, path: list[str], value: str) -> None:
    for step in path[:-1]:
        inner = at.setdefault(step, {})
        if not isinstance(inner, dict):
            raise invalid(f"Invalid object: {path[0]}", param=path[0])
        at = inner
    last = path[-1] or str(len(at))
    at[last] = value


def _listed(value: Any) -> Any:
    """Turn `{"0": …, "1": …}` into a list."""
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(item) for name, item in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return list(inner.values())
    return inner


def known(params: Json, names: Collection[str]) -> None:
    """Refuse parameters that the call does not have.

    Raises:
        StripeError: `parameter_unknown`.
    """
    for name in params:
        if name not in names and name != "expand":
            raise invalid(
                f"Received unknown parameter: {name}", param=name, code="parameter_unknown"
            )


def integer(params: Json, name: str) -> int | None:
    """Give a whole number.

    Raises:
        StripeError: it is none.
    """
    text = params.get(name)
    if text in (None, ""):
        return None
    if not isinstance(text, str) or not re.fullmatch(r"-?\d{1,18}", text):
        raise invalid(f"Invalid integer: {text}", param=name, code="parameter_invalid_integer")
    return int(text)


def boolean(params: Json, name: str, *, default: bool = False) -> bool:
    """Give a truth value.

    Raises:
        StripeError: it is none.
    """
    text = params.get(name)
    if text in (None, ""):
        return default
    if text not in ("true", "false"):
        raise invalid(f"Invalid boolean: {text}", param=name)
    return bool(text == "true")


def choice(params: Json, name: str, names: Collection[str], default: str | None) -> str | None:
    """Give one of the known words.

    Raises:
        StripeError: it is another.
    """
    text = params.get(name)
    if text in (None, ""):
        return default
    if text not in names:
        raise invalid(f"Invalid {name}: must be one of {', '.join(names)}", param=name)
    return str(text)


def nested(params: Json, name: str) -> Json:
    """Give an object.

    Raises:
        StripeError: it is none.
    """
    value = params.get(name) or {}
    if not isinstance(value, dict):
        raise invalid("Invalid object", param=name)
    return value


METADATA_KEYS_MAX = 50
METADATA_KEY_MAX = 40
METADATA_VALUE_MAX = 500


def metadata(params: Json, before: Json | None = None) -> Json:
    """Give the metadata, laid over what was there; an empty value removes its key.

    Raises:
        StripeError: it is above Stripe's limits.
    """
    merged = dict(before or {})
    for name, value in nested(params, "metadata").items():
        if not isinstance(value, str) or len(value) > METADATA_VALUE_MAX:
            raise invalid("Metadata values can have up to 500 characters.", param="metadata")
        if len(name) > METADATA_KEY_MAX:
            raise invalid("Metadata keys can have up to 40 characters.", param="metadata")
        merged[name] = value
    merged = {name: value for name, value in merged.items() if value != ""}
    if len(merged) > METADATA_KEYS_MAX:
        raise invalid("Metadata can have up to 50 keys.", param="metadata")
    return merged
