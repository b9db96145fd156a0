"""The documentation: the OpenAPI document and a page made of it, both without anything outside."""

from typing import Any

import msgspec
from litestar import Request, Response, get

from gateway.documentation import documentation_page
from gateway.operation import HTML, JSON, Operation

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


@get("/schema/openapi.json", opt={"operation": DOCUMENT})
async def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the OpenAPI document."""
    return Response(msgspec.json.encode(request.app.state.openapi), media_type=JSON)


@get("/schema", opt={"operation": PAGE})
async def schema_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the documentation."""
    return documentation_page(request.app.state.openapi)


ROUTES = (openapi_json, schema_page)
