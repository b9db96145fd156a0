"""S09: pages of other origins read nothing, unless a setting names them."""

from collections.abc import Iterator

import httpx
import pytest
from msgspec.structs import replace

from tests.gateway.conftest import Service

SHOP = "https://shop.example"
EVIL = "https://shop.example.evil"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, x-loop-mode",
}


@pytest.fixture(scope="module")
def opened(service: Service, api_key: str) -> Iterator[httpx.Client]:
    changed = replace(service._settings, cors_origins=(SHOP, "http://localhost:5173"))
    with Service(changed, working=False) as process, process.client(api_key) as client:
        yield client


def test_a_page_of_a_named_origin_may_ask_and_read(opened: httpx.Client) -> None:
    asked = opened.options("/v1/orders", headers={"Origin": SHOP, **PREFLIGHT})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == SHOP
    assert "POST" in asked.headers["access-control-allow-methods"]
    allowed = asked.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "access-control-allow-credentials" not in asked.headers
    for path, status in (("/v1/orders", 200), ("/v1/orders/x", 404), ("/nope", 404)):
        answer = opened.get(path, headers={"Origin": SHOP})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "origin" in answer.headers["vary"].lower()
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert "x-request-id" in exposed


def test_a_page_of_another_origin_may_not(opened: httpx.Client) -> None:
    for origin in (EVIL, "null", "http://shop.example"):
        asked = opened.options("/v1/orders", headers={"Origin": origin, **PREFLIGHT})
        assert "access-control-allow-origin" not in asked.headers
        answer = opened.get("/v1/orders", headers={"Origin": origin})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


def test_options_that_ask_for_no_origin_are_answered_as_ever(opened: httpx.Client) -> None:
    answer = opened.options("/v1/orders")
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_closed_by_default(client: httpx.Client) -> None:
    for answer in (
        client.options("/v1/orders", headers={"Origin": SHOP, **PREFLIGHT}),
        client.get("/v1/orders", headers={"Origin": SHOP}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
