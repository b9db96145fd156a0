"""Razorpay's checkout page, and the page on which the customer authenticates a payment."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from adapters.sandbox_server.box import Box
from adapters.sandbox_server.wire import Answer, Json, Request, json_answer


def fields_of(request: Request) -> Json:
    """Give what a form, a JSON body or the query says."""
    if "json" in request.headers.get("content-type", "") and request.body:
        try:
            value: Any = msgspec.json.decode(request.body)
        except msgspec.DecodeError:
            value = None
        return value if isinstance(value, dict) else {}
    text = request.body.decode("utf-8", "replace") if request.method == "POST" else ""
    return dict(parse_qsl(request.query)) | dict(parse_qsl(text))


def answer(box: Box, request: Request, fields: Json) -> Answer:
    """Answer a customer's request."""
    del box, request, fields
    return json_answer(404, {})
