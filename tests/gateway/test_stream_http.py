"""GET /api/events/stream: orders as they change, for as long as both sides want."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

LIVE = {"Accept": "text/event-stream"}
PATH = "/api/events/stream"


@pytest.fixture(scope="module")
def shop(service: Service) -> Iterator[httpx.Client]:
    key, _ = service.key(service.merchant())
    with service.client(key) as client:
        yield client


def events(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Yield name and data of each event; comments are skipped."""
    assert answer.status_code == 200, answer.read()
    assert answer.headers["content-type"].startswith("text/event-stream")
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_orders_come_as_they_change_and_only_the_merchants_own(
    service: Service, shop: httpx.Client
) -> None:
    other_key, _ = service.key(service.merchant())
    with service.client(other_key) as other, shop.stream("GET", PATH, headers=LIVE) as answer:
        coming = events(answer)
        assert next(coming) == ("ready", {})
        foreign = other.post("/v1/orders", json={"amount": 5}).json()
        mine = shop.post("/v1/orders", json={"amount": 7}).json()
        name, shown = next(coming)
        assert (name, shown) == ("order", mine)
        shop.post(f"/v1/orders/{mine['id']}/cancel")
        name, shown = next(coming)
        assert (shown["id"], shown["status"]) == (mine["id"], "cancelled")
        assert foreign["id"] != mine["id"]


def test_a_stream_ends_when_its_key_is_revoked(service: Service) -> None:
    key, revoke = service.key(service.merchant())
    with service.client(key) as client, client.stream("GET", PATH, headers=LIVE) as answer:
        coming = events(answer)
        assert next(coming) == ("ready", {})
        revoke()
        assert list(coming) == []


def test_head_of_a_stream_ends_at_once(shop: httpx.Client) -> None:
    answer = shop.head(PATH, headers=LIVE)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_stream_needs_credentials_and_takes_no_parameters(
    service: Service, shop: httpx.Client
) -> None:
    with httpx.Client(base_url=service.url) as nobody:
        is_problem(nobody.get(PATH), 401, "missing_credentials")
    is_problem(shop.get(PATH, params={"since": "1"}), 400, "invalid_request")
