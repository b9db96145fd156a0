"""The documentation: the OpenAPI document and a page made of it, both without anything outside."""

from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import Request, Response, get

from gateway.documentation import documentation_page
from gateway.operation import HTML, JSON, Operation

JAVASCRIPT: Final = "text/javascript"

DOCUMENT = Operation(
    id="getOpenApi",
    tag="Documentation",
    summary="This document",
    answer=dict[str, Any],
    example={"openapi": "3.1.0"},
)
PAGE = Operation(
    id="getDocumentation",
    tag="Documentation",
    summary="The documentation as a page",
    media=HTML,
    example="<!doctype html>…",
)

SCRIPT = Operation(
    id="getDocumentationScript",
    tag="Documentation",
    summary="The script of that page",
    media=JAVASCRIPT,
    example="…",
)
_TRY_IT: Final = files("gateway").joinpath("try_it.js").read_bytes()


@get("/schema/openapi.json", opt={"operation": DOCUMENT})
async def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the OpenAPI document."""
    return Response(msgspec.json.encode(request.app.state.openapi), media_type=JSON)


@get("/schema", opt={"operation": PAGE})
async def schema_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the documentation."""
    return documentation_page(request.app.state.openapi)


@get("/schema/try_it.js", opt={"operation": SCRIPT})
async def try_it() -> Response[bytes]:
    """Answer the script."""
    return Response(_TRY_IT, media_type=JAVASCRIPT)


ROUTES = (openapi_json, schema_page, try_it)
