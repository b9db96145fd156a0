"""What Stripe asks of the fields of its forms and queries; all of them are text."""

import re
from collections.abc import Collection

from adapters.sandbox_server import nesting
from adapters.sandbox_server.stripe_dialect.errors import invalid
from adapters.sandbox_server.wire import Json


def parse(form: str) -> Json:
    """Give the nested parameters.

    Raises:
        StripeError: too many fields, or one that is text and an object.
    """
    try:
        return nesting.nested(form)
    except nesting.BothError as error:
        raise invalid(f"Invalid object: {error}", param=str(error)) from None
    except ValueError:
        raise invalid("Too many parameters.") from None


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


def text(params: Json, name: str) -> str | None:
    """Give a text, as ids are.

    Raises:
        StripeError: it is an object or a list.
    """
    value = params.get(name)
    if value in (None, ""):
        return None
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {value}", param=name)
    return value


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
