"""What the documentation says of a route; every handler carries one in `opt["operation"]`."""

from typing import Any, Final, Literal

import msgspec
from litestar import Response

from gateway.auth import Scope
from gateway.views import as_json

JSON: Final = "application/json"
HTML: Final = "text/html"
FORM: Final = "application/x-www-form-urlencoded"
HeaderName = Literal["Idempotency-Key", "Prefer"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the API.

    Attributes:
        id: unique, for generated clients.
        scope: what an API key needs; None where no credentials are asked for.
        status: of the answer when it works.
        answer: the struct of the answer (or a list of it), None where it is not JSON.
        media: media type of the answer.
        example: of the answer, JSON-ready.
        body: the struct of the request's body, None where there is none.
        body_media: its media type.
        body_required: whether the body may be absent, which is then `{}`.
        query: the struct of the query string, None where there is none.
        headers: request headers with a meaning of their own here.
        also: further answers by status that are no problems: their struct and example.
        gives: the path parameter that its answer's `id` is good for, elsewhere.
        limited: whether requests without credentials are counted, where none are asked for.
        codes: the error codes that only this operation has, besides those of its kind.
    """

    id: str
    tag: str
    summary: str
    description: str = ""
    scope: Scope | None = None
    status: int = 200
    answer: Any = None
    media: str = JSON
    example: Any = None
    body: type[msgspec.Struct] | None = None
    body_media: str = JSON
    body_required: bool = False
    body_example: Any = None
    query: type[msgspec.Struct] | None = None
    headers: tuple[HeaderName, ...] = ()
    also: dict[int, tuple[Any, Any]] = {}
    gives: str | None = None
    limited: bool = True
    codes: tuple[str, ...] = ()


def answer(view: Any, *, status: int = 200, replayed: bool = False) -> Response[bytes]:
    """Answer with JSON; `replayed` says that it is the answer of an earlier, equal request."""
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return Response(as_json(view), status_code=status, media_type=JSON, headers=headers)
