"""Razorpay's dialect: who asks and which call it is."""

from typing import Final

from adapters.sandbox_server.box import Box, Job
from adapters.sandbox_server.wire import Answer, Request, html_answer, json_answer

JOBS: Final[dict[str, Job]] = {}


def failure(status: int, *, html: bool = False) -> Answer:
    """Give the answer of a fault."""
    return html_answer(status, "") if html else json_answer(status, {})


def key_of(_: Request) -> str | None:
    """Give what a request must not run beside."""
    return None


def busy(_: Request) -> Answer:
    """Give the answer to a key whose first request has not ended."""
    return failure(409)


def execute(box: Box, request: Request, *, waited: bool = False) -> tuple[Answer, str]:
    """Do what a request asks, inside a database transaction; give the answer and the account."""
    del box, request, waited
    return failure(404), ""
