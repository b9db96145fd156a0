"""What the tests look at again and again: the shape of an error, and what was logged."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.waiting import until


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


def logged(capfd: pytest.CaptureFixture[str], word: str) -> str:
    """Return all that was written once the word is in it: a line may follow its answer."""
    written: list[str] = []

    def seen() -> bool:
        written.extend(capfd.readouterr())
        return word in "".join(written)

    asyncio.run(until(seen))
    return "".join(written)
