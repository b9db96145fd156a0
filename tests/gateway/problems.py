"""The shape that every error has."""

from typing import Any

import httpx


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check the whole shape of a problem and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["message"] == problem["detail"]
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert {"type", "title", "instance"} <= set(problem)
    return problem
