"""One spelling per path: whoever limits or logs paths in front of us must see the same routes."""

from typing import Any

from gateway.errors import Refused


def refuse_other_spellings(scope: Any) -> None:
    """Refuse paths that only mean a route once slashes in them are merged or decoded.

    Raises:
        Refused: `not_found`.
    """
    raw: bytes = scope.get("raw_path") or b""
    if b"//" in raw or (b"%" in raw and b"%2f" in raw.lower()):
        raise Refused("not_found")
