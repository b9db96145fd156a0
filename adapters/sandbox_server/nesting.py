"""Form fields with brackets: `a[b][c]=x`, `a[0]=x` and `a[]=x` become nested values; all text."""

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from adapters.sandbox_server.wire import Json

_PARTS: Final = re.compile(r"\[([^\[\]]*)\]")
FIELDS_MAX: Final = 1000
DEPTH_MAX: Final = 16


class BothError(ValueError):
    """A field is text and an object at once; its name is the message."""


def nested(text: str) -> Json:
    """Give the fields of a form or a query.

    Raises:
        BothError: see there.
        ValueError: too many fields, or too deep.
    """
    root: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX):
        head, bracket, _ = name.partition("[")
        path = [head, *_PARTS.findall(name)] if bracket else [head]
        if len(path) > DEPTH_MAX:
            raise ValueError("too deep")
        _put(root, path, value)
    return {name: _listed(value) for name, value in root.items()}


def _put(at: Json, path: list[str], value: str) -> None:
    for step in path[:-1]:
        inner = at.setdefault(step, {})
        if not isinstance(inner, dict):
            raise BothError(path[0])
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
