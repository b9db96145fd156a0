"""What holds for every answer: ids, headers, methods, sizes, credentials."""

import contextlib
import re
import socket
from typing import Any

import httpx
import pytest

from commands.caller import Caller
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem, logged

MADE = re.compile(r"req_[0-9a-z]{26}")


def test_correlation_and_request_id_are_taken_over(client: httpx.Client) -> None:
    longest = "x" * 128
    headers = {"X-Correlation-ID": longest, "X-Request-ID": "r-1"}
    answer = client.get("/health", headers=headers)
    assert answer.headers["x-correlation-id"] == longest
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.json()["correlationId"] == longest


@pytest.mark.parametrize("bad", ["x" * 129, "", "a b", "é", "a\tb"])
def test_s12_other_correlation_ids_are_replaced(client: httpx.Client, bad: str) -> None:
    headers = {b"X-Correlation-ID": bad.encode(), b"X-Request-ID": bad.encode()}
    answer = client.get("/health", headers=headers)
    assert answer.status_code == 200
    assert MADE.fullmatch(answer.headers["x-correlation-id"])
    assert MADE.fullmatch(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nope"), ("PUT", "/v1/orders"), ("GET", "/v1/orders/x")]
)
def test_errors_carry_the_ids_too(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path, headers={"X-Correlation-ID": "c-1"})
    assert answer.is_client_error
    assert answer.headers["x-correlation-id"] == "c-1"
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


def test_answers_are_not_cached_nor_sniffed_nor_shared_across_origins(
    client: httpx.Client,
) -> None:
    answer = client.get("/v1/orders", headers={"Origin": "https://evil.example"})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    preflight = client.options("/v1/orders", headers=asked)
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_unknown_path_is_a_problem(client: httpx.Client) -> None:
    for path in ("/", "/v2/orders", "/v1/orders/x/y", "/v1//", "/%00"):
        is_problem(client.get(path), 404, "not_found")


ORDERS = "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/orders", ORDERS),
        ("/v1/orders/", ORDERS),
        ("/v1/orders/x", "GET, HEAD, OPTIONS"),
        ("/v1/orders/x/pay", "OPTIONS, POST"),
        ("/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_allow_lists_every_method_of_a_path(client: httpx.Client, path: str, allowed: str) -> None:
    options = client.options(path)
    assert options.status_code == 204
    assert options.headers["allow"] == allowed
    for method in ("DELETE", "PATCH", "TRACE", "PUT"):
        answer = client.request(method, path)
        is_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


def test_options_of_an_unknown_path_is_a_404(client: httpx.Client) -> None:
    is_problem(client.options("/nope"), 404, "not_found")


def test_head_answers_like_get_without_a_body(client: httpx.Client) -> None:
    for path in ("/health", "/v1/orders", "/schema"):
        head = client.head(path)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-type"] == client.get(path).headers["content-type"]
    assert client.head("/v1/orders/x").status_code == 404
    assert client.head("/v1/orders/x/pay").status_code == 405


def test_body_of_256_kib_is_read_and_one_more_byte_is_a_413(client: httpx.Client) -> None:
    json = {"Content-Type": "application/json"}
    fits = b'{"amount": 1}'.ljust(256 * 1024)
    assert client.post("/v1/orders", content=fits, headers=json).status_code == 201
    is_problem(
        client.post("/v1/orders", content=fits + b" ", headers=json), 413, "payload_too_large"
    )


def test_chunked_body_is_counted_too(client: httpx.Client) -> None:
    chunks = (b" " * 1024 for _ in range(300))
    json = {"Content-Type": "application/json"}
    is_problem(client.post("/v1/orders", content=chunks, headers=json), 413, "payload_too_large")


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", "",
              "application/json; charset=latin-1", "application/jsonp"],
)  # fmt: skip
def test_other_content_types_are_a_415(client: httpx.Client, media: str) -> None:
    headers = {"Content-Type": media}
    answer = client.post("/v1/orders", content=b'{"amount": 1}', headers=headers)
    is_problem(answer, 415, "unsupported_media_type")


def test_missing_content_type_and_compressed_bodies_are_a_415(client: httpx.Client) -> None:
    is_problem(client.post("/v1/orders", content=b"{}"), 415, "unsupported_media_type")
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post("/v1/orders", content=b"{}", headers=headers)
    is_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; charset=UTF-8"])
def test_json_in_utf8_is_understood(client: httpx.Client, media: str) -> None:
    headers = {"Content-Type": media}
    answer = client.post("/v1/orders", content=b'{"amount": 1}', headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_credentials"),
        ({"Authorization": "Bearer x"}, "invalid_token"),
        ({"X-API-Key": "sk_test_" + "x" * 32}, "invalid_api_key"),
        ({"X-API-Key": "nonsense"}, "invalid_api_key"),
        ({"X-API-Key": "sk_test_" + "x" * 5000}, "invalid_api_key"),
    ],
)
def test_bad_credentials_are_a_401(service: Service, headers: dict[str, str], code: str) -> None:
    with service.client(None) as nobody:
        for method, path in (("GET", "/v1/orders"), ("POST", "/v1/orders/x/pay")):
            answer = nobody.request(method, path, headers=headers)
            is_problem(answer, 401, code)
            assert answer.headers["www-authenticate"].startswith("ApiKey")


def test_s05_key_in_the_query_string_is_none(service: Service, api_key: str) -> None:
    with service.client(None) as nobody:
        answer = nobody.get("/v1/orders", params={"apiKey": api_key, "X-API-Key": api_key})
        is_problem(answer, 401, "missing_credentials")


def test_two_keys_at_once_are_a_401(service: Service, api_key: str) -> None:
    with service.client(None) as nobody:
        answer = nobody.get("/v1/orders", headers=[("X-API-Key", api_key)] * 2)
        is_problem(answer, 401, "invalid_api_key")


def test_key_without_the_scope_is_a_403(service: Service, merchant: Caller) -> None:
    reader, _ = service.key(merchant, scopes=("payments:read",))
    with service.client(reader) as client:
        assert client.get("/v1/orders").status_code == 200
        is_problem(client.post("/v1/orders", json={"amount": 1}), 403, "missing_scope")
    writer, _ = service.key(merchant, scopes=("payments:write",))
    with service.client(writer) as client:
        is_problem(client.get("/v1/orders"), 403, "missing_scope")


def test_s04_revoked_key_stops_working_at_once(service: Service, merchant: Caller) -> None:
    key, revoke = service.key(merchant)
    with service.client(key) as client:
        order = client.post("/v1/orders", json={"amount": 1}).json()
        revoke()
        is_problem(client.post("/v1/orders", json={"amount": 1}), 401, "invalid_api_key")
        is_problem(client.get(f"/v1/orders/{order['id']}"), 401, "invalid_api_key")


def test_foreign_order_and_that_of_the_other_mode_do_not_exist(
    service: Service, merchant: Caller, client: httpx.Client
) -> None:
    order = client.post("/v1/orders", json={"amount": 1}).json()
    stranger, _ = service.key(service.merchant())
    live, _ = service.key(merchant, mode="live")
    for key in (stranger, live):
        with service.client(key) as other:
            is_problem(other.get(f"/v1/orders/{order['id']}"), 404, "not_found")
            is_problem(other.post(f"/v1/orders/{order['id']}/cancel"), 404, "not_found")
            assert other.get("/v1/orders").json()["data"] == []


def test_live_key_makes_live_orders(service: Service, merchant: Caller) -> None:
    live, _ = service.key(merchant, mode="live")
    with service.client(live) as client:
        assert client.post("/v1/orders", json={"amount": 1}).json()["livemode"] is True


def test_ids_of_the_request_are_on_its_event(service: Service, client: httpx.Client) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Correlation-ID": "c-42", "traceparent": parent, "Idempotency-Key": "k-42"}
    order = client.post("/v1/orders", json={"amount": 1}, headers=headers).json()
    rows = service.call(service.app.ports.store.load([order["id"]]))[order["id"]]
    metadata = rows[0].metadata
    assert metadata.correlation_id == "c-42"
    assert metadata.idempotency_key == "k-42"
    assert metadata.trace is not None
    assert metadata.trace.startswith("00-0af7651916cd43dd8448eb211c80319c-")


@pytest.mark.parametrize("parent", ["", "x", "00-0-0-0", "ff" * 40, "é"])
def test_malformed_traceparent_is_ignored(client: httpx.Client, parent: str) -> None:
    headers = {b"traceparent": parent.encode()}
    assert client.post("/v1/orders", json={"amount": 1}, headers=headers).status_code == 201


def test_ready_names_what_can_be_reached(client: httpx.Client) -> None:
    answer = client.get("/ready")
    assert answer.status_code == 200
    checks = answer.json()["checks"]
    assert checks["postgres"] == checks["nats"] == "ok"
    assert "orders" in checks["projections"]


def test_metrics_count_by_route_and_hold_no_ids(client: httpx.Client) -> None:
    order = client.post("/v1/orders", json={"amount": 1}).json()
    client.get(f"/v1/orders/{order['id']}")
    text = client.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/v1/orders/{order_id}",status="200"}' in text
    assert "http_request_duration_seconds_bucket" in text
    assert order["id"] not in text


def test_metrics_are_not_passed_on_by_proxies(client: httpx.Client) -> None:
    answer = client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    is_problem(answer, 403, "forbidden")


def test_query_parameters_where_there_are_none_are_refused(client: httpx.Client) -> None:
    is_problem(client.post("/v1/orders?amount=1", json={"amount": 1}), 400, "invalid_request")


def test_garbage_on_the_wire_does_not_end_the_server(
    service: Service, client: httpx.Client
) -> None:
    port = int(service.url.rsplit(":", 1)[1])
    for garbage in (b"\x00\xff\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
            raw.sendall(garbage)
            raw.recv(1000)
    assert client.get("/health").status_code == 200


def test_bad_host_headers_are_no_500(client: httpx.Client) -> None:
    hosts: list[Any] = ["a/b", "[", "x" * 300, "a b"]
    for host in hosts:
        assert client.get("/health", headers={"Host": host}).status_code < 500


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 100, "amount": 200}',
        b'{"amount": 100, "metadata": {"a": 1, "a": 1}}',
        b'{"amount": 100, "am\\u006funt": 200}',
    ],
)
def test_a_field_that_stands_twice_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/orders", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 400, "invalid_request")


def test_a_head_without_an_end_is_not_kept(service: Service) -> None:
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"a" * 65_536)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(1_000)
        assert b"200 OK" not in answer
        with contextlib.suppress(ConnectionError):
            while connection.recv(1_000):
                pass


def test_many_requests_on_one_connection_are_no_large_head(client: httpx.Client) -> None:
    for _ in range(5):
        headers = {"X-Long": "a" * 30_000}
        assert client.get("/health", headers=headers).status_code == 200


def test_a_body_that_is_broken_off_is_no_bug(
    service: Service, api_key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url = httpx.URL(service.url)
    head = f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nX-API-Key: {api_key}\r\n"
    head += "X-Correlation-ID: broken-off\r\nContent-Type: application/json\r\n"
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        connection.sendall(f'{head}Content-Length: 14\r\n\r\n{{"am'.encode())
    written = logged(capfd, "broken-off")
    assert "unhandled" not in written
    assert "status=400" in written


@pytest.mark.parametrize("mark", ["\u200b", "\u00ad", "\u202e", "\u2060", "\u3000", "\ufeff"])
def test_an_address_has_nothing_in_it_that_nobody_sees(client: httpx.Client, mark: str) -> None:
    body = {"name": "Tea", "email": f"unseen{mark}@tea.example", "password": "x" * 12}
    with httpx.Client(base_url=client.base_url, trust_env=False) as anyone:
        is_problem(anyone.post("/api/auth/register", json=body), 400, "invalid_request")
