"""What clients send that no library would: malformed, ambiguous, too deep, too long."""

import contextlib
import json
import socket
from typing import Any, Final

import httpx
import pytest

from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem, logged

HOST: Final = b"Host: x\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
BODY: Final = b'{"amount":1}'
CHUNKS: Final = b'c\r\n{"amount":1}\r\n0\r\n\r\n'


def spoken(service: Service, *parts: bytes) -> bytes:
    """Send bytes, each part in a packet of its own, and return all that comes until the end."""
    url = httpx.URL(service.url)
    heard = b""
    with socket.create_connection((url.host, url.port or 80), timeout=60) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for part in parts:
                wire.sendall(part)
        with contextlib.suppress(ConnectionError):
            while part := wire.recv(65_536):
                heard += part
    return heard


def answers(heard: bytes) -> list[httpx.Response]:
    """Take apart answers whose lengths are said."""
    found = []
    while heard:
        head, _, rest = heard.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("content-length", 0))
        status = int(first.split(" ")[1])
        found.append(httpx.Response(status, headers=headers, content=rest[:length]))
        heard = rest[length:]
    return found


def posted(api_key: str, *headers: bytes, body: bytes = BODY) -> bytes:
    own = b"X-API-Key: " + api_key.encode() + b"\r\nContent-Type: application/json\r\n"
    return b"POST /v1/orders HTTP/1.1\r\n" + HOST + own + b"".join(headers) + b"\r\n" + body


def sized(body: bytes = BODY) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


ENDS: Final = b"Connection: close\r\n"
MALFORMED: Final = {
    "bytes": b"\x00\xff\r\n\r\n",
    "a version of its own": b"GET /health HTTP/3.0\r\n" + HOST + b"\r\n",
    "no version": b"GET /health\r\n\r\n",
    "a preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method of its own": b"BREW /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "a tunnel": b"CONNECT bank.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "lines that end in LF": b"GET /health HTTP/1.1\nHost: x\n\n",
    "a header that ends in LF": b"GET /health HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    "NUL": b"GET /health HTTP/1.1\r\nHost: \x00\r\n\r\n",
    "bytes in the path": b"GET /v1/orders/\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "no path": b"GET http://x HTTP/1.1\r\n" + HOST + b"\r\n",
    "two ways to end": posted("x", sized(), CHUNKED, body=CHUNKS),
    "two lengths": posted("x", sized(), sized()),
    "a list of lengths": posted("x", b"Content-Length: 12, 12\r\n"),
    "a signed length": posted("x", b"Content-Length: +12\r\n"),
    "an endless length": posted("x", b"Content-Length: 99999999999999999999999\r\n"),
    "two codings": posted("x", b"Transfer-Encoding: gzip, chunked\r\n", body=CHUNKS),
    "chunks twice": posted("x", CHUNKED, CHUNKED, body=CHUNKS),
    "another coding": posted("x", b"Transfer-Encoding: identity\r\n"),
    "chunks of no size": posted("x", CHUNKED, body=b"zz\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_http_is_a_problem_and_the_end(service: Service, name: str) -> None:
    (answer,) = answers(spoken(service, MALFORMED[name]))
    is_problem(answer, 400, "invalid_request")
    assert answer.headers["connection"] == "close"


def test_nothing_of_it_is_logged_but_that_it_was(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = answers(spoken(service, b"GET /sk_test_planted HTTP/7.7\r\nX-API-Key: planted\r\n\r\n"))
    is_problem(heard[0], 400, "invalid_request")
    written = logged(capfd, "status=400")
    assert "method=OTHER" in written
    assert "planted" not in written
    assert "Invalid HTTP request" not in written


def test_what_came_whole_is_answered_before_what_is_broken_behind_it(
    service: Service, api_key: str
) -> None:
    heard = answers(spoken(service, posted(api_key, sized()) + b"garbage\r\n\r\n"))
    assert [answer.status_code for answer in heard] == [201]


def test_too_long_targets_and_heads_are_told_apart(service: Service) -> None:
    long = b"a" * 70_000
    (answer,) = answers(spoken(service, b"GET /" + long, long, long))
    is_problem(answer, 414, "uri_too_long")
    begun = b"GET /health HTTP/1.1\r\n" + HOST + b"X-Long: "
    (answer,) = answers(spoken(service, begun + long, long, long))
    is_problem(answer, 431, "headers_too_large")


def test_what_follows_a_body_in_chunks_is_no_header(service: Service, api_key: str) -> None:
    body = b"c\r\n" + BODY + b"\r\n0\r\nX-API-Key: another\r\nIdempotency-Key: \r\n\r\n"
    (answer,) = answers(spoken(service, posted(api_key, CHUNKED, ENDS, body=body)))
    assert answer.status_code == 201


UPGRADE: Final = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAA\r\n"
)


def test_who_would_rather_speak_http2_is_answered_in_http1(service: Service, api_key: str) -> None:
    rather = posted(api_key, UPGRADE, sized())
    chunked = posted(api_key, UPGRADE, CHUNKED, body=CHUNKS)
    last = posted(api_key, b"Upgrade: h2c\r\nConnection: Upgrade, close\r\n", sized())
    for parts in ((rather, chunked, last), (rather[:150], rather[150:-5], rather[-5:], last)):
        heard = answers(spoken(service, *parts))
        assert {answer.status_code for answer in heard} == {201}, heard
        assert len({answer.json()["id"] for answer in heard}) == len(heard) >= 2


SPELLINGS: Final = (
    b"//health", b"/health//", b"//x/health", b"/v1//orders", b"/v1%2Forders", b"/v1%2forders",
    b"/./health", b"/x/../health", b"/%2e%2e/health", b"/v1/orders/..", b"/v1/orders/%ff",
    b"/v1/orders/%ED%A0%80", b"/v1/orders/%", b"/v1/orders/%zz", b"/health;x=1", b"*",
)  # fmt: skip


@pytest.mark.parametrize("path", SPELLINGS)
def test_a_path_has_one_spelling(service: Service, api_key: str, path: bytes) -> None:
    own = HOST + ENDS + b"X-API-Key: " + api_key.encode() + b"\r\n\r\n"
    (answer,) = answers(spoken(service, b"GET " + path + b" HTTP/1.1\r\n" + own))
    is_problem(answer, 404, "not_found")


@pytest.mark.parametrize("target", [b"http://elsewhere.example/health", b"/health?", b"/%68ealth"])
def test_other_ways_to_name_a_target_are_understood(service: Service, target: bytes) -> None:
    asked = b"GET " + target + b" HTTP/1.1\r\n" + HOST + ENDS + b"\r\n"
    (answer,) = answers(spoken(service, asked))
    assert answer.status_code == 200


def test_http_1_0_is_answered_and_closed(service: Service, api_key: str) -> None:
    old = posted(api_key, sized()).replace(b"HTTP/1.1", b"HTTP/1.0").replace(HOST, b"")
    (answer,) = answers(spoken(service, old))
    assert (answer.status_code, answer.headers["connection"]) == (201, "close")


def test_a_body_is_asked_for_where_the_client_waits(service: Service, api_key: str) -> None:
    heard = spoken(service, posted(api_key, b"Expect: 100-continue\r\n", sized(), ENDS))
    assert [a.status_code for a in answers(heard)] == [100, 201]


@pytest.mark.parametrize("levels", [33, 900, *range(940, 1000), 2_000, 100_000])
def test_json_that_is_nested_too_deeply_is_a_400(client: httpx.Client, levels: int) -> None:
    body = b'{"amount":1,"metadata":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": "deep"}
    answer = client.post("/v1/orders", content=body[: 256 * 1024], headers=headers)
    is_problem(answer, 400, "invalid_request")


NO_ORDERS: Final = {
    "a number without bounds": b'{"amount":1e400}',
    "a number of 5000 digits": b'{"amount":' + b"9" * 5000 + b"}",
    "minus nothing": b'{"amount":-0}',
    "a fraction": b'{"amount":1.0}',
    "an exponent": b'{"amount":1e0}',
    "no number": b'{"amount":NaN}',
    "an endless number in metadata": b'{"amount":1,"metadata":{"a":1e400}}',
    "half a character": b'{"amount":1,"description":"\\ud800"}',
    "half a name": b'{"amount":1,"metadata":{"\\udc00":1}}',
    "half a character in bytes": b'{"amount":1,"description":"\xed\xa0\x80"}',
    "latin-1": b'{"amount":1,"description":"\xe9"}',
    "a mark of byte order": b'\xef\xbb\xbf{"amount":1}',
    "UTF-16": '{"amount":1}'.encode("utf-16"),
    "NUL": b'{"amount":1,"description":"a\\u0000b"}',
    "more behind it": b'{"amount":1}{"amount":2}',
    "a comma too many": b'{"amount":1,}',
    "a list": b"[]",
    "nothing": b"null",
    "blanks": b"  ",
}


@pytest.mark.parametrize("name", NO_ORDERS)
def test_what_is_no_order_in_json_is_a_400(client: httpx.Client, name: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/orders", content=NO_ORDERS[name], headers=headers)
    is_problem(answer, 400, "invalid_request")


def test_a_problem_of_the_wire_is_documented(client: httpx.Client) -> None:
    page = client.get("/schema").text
    document: dict[str, Any] = json.loads(client.get("/schema/openapi.json").content)
    for code in ("request_timeout", "uri_too_long", "headers_too_large"):
        assert code in page
        assert code in document["info"]["description"]
