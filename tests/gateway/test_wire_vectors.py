"""What goes over the wire, against the vectors of its standards."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from adapters.rate_limits import Limit, Taken
from gateway import edge
from gateway.bodies import OrderRequest
from gateway.checkout.turn import with_result
from gateway.decode import as_struct
from gateway.errors import CODES, Refused
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

TRACE = "12345678901234567890123456789012"
PARENT = f"00-{TRACE}-1234567890123456-01"
# w3c/trace-context, test/test.py: what is continued and what begins anew.
CONTINUED = (
    [PARENT],
    [f"cc-{TRACE}-1234567890123456-01"],
    [f"cc-{TRACE}-1234567890123456-01-what-the-future-will-be-like"],
    [f" {PARENT}"],
    [f"\t{PARENT}"],
    [f"{PARENT} "],
    [f"{PARENT}\t"],
    [f"\t {PARENT} \t"],
)
BEGUN_ANEW: tuple[list[str], ...] = (
    [],
    [f"00-{TRACE[:-1]}1-1234567890123456-01", PARENT],
    [PARENT, PARENT],
    [f"{PARENT}."],
    [f"{PARENT}-what-the-future-will-be-like"],
    [f"cc-{TRACE}-1234567890123456-01.what-the-future-will-be-like"],
    [f"ff-{TRACE}-1234567890123456-01"],
    [f".0-{TRACE}-1234567890123456-01"],
    [f"0.-{TRACE}-1234567890123456-01"],
    [f"000-{TRACE}-1234567890123456-01"],
    [f"0000-{TRACE}-1234567890123456-01"],
    [f"0-{TRACE}-1234567890123456-01"],
    [f"00-{'0' * 32}-1234567890123456-01"],
    [f"00-.{TRACE[1:]}-1234567890123456-01"],
    [f"00-{TRACE[:-1]}.-1234567890123456-01"],
    [f"00-{TRACE}3-1234567890123456-01"],
    [f"00-{TRACE[:-1]}-1234567890123456-01"],
    [f"00-{TRACE}-{'0' * 16}-01"],
    [f"00-{TRACE}-.234567890123456-01"],
    [f"00-{TRACE}-123456789012345.-01"],
    [f"00-{TRACE}-12345678901234567-01"],
    [f"00-{TRACE}-123456789012345-01"],
    [f"00-{TRACE}-1234567890123456-.0"],
    [f"00-{TRACE}-1234567890123456-0."],
    [f"00-{TRACE}-1234567890123456-001"],
    [f"00-{TRACE}-1234567890123456-1"],
    [f"00-{TRACE.replace('1', 'A')}-1234567890123456-01"],
)
# RFC 3339, 5.8, and what 5.6 allows beside it.
TIMES = (
    "1985-04-12T23:20:50.52Z",
    "1996-12-19T16:39:57-08:00",
    "1937-01-01T12:00:27.87+00:20",
    "2026-11-20t10:00:00z",
    "2026-11-20T10:00:00-00:00",
    "2026-11-20T10:00:00.123456789Z",
    "2024-02-29T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
)
# The leap seconds of 5.8 are times, too, but no clock of ours ever shows one: they are refused.
NO_TIMES = (
    "1990-12-31T23:59:60Z", "1990-12-31T15:59:60-08:00", "2026-11-20T10:00:60Z",
    "2026-11-20T24:00:00Z", "2026-02-29T10:00:00Z", "2026-13-01T10:00:00Z",
    "2026-11-31T10:00:00Z", "2026-11-20T10:00:00", "2026-11-20T10:00Z", "2026-11-20T10:00:00,5Z",
    "2026-11-20T10:00:00.Z", "20261120T100000Z", "2026-W47-5T10:00:00Z", "2026-324T10:00:00Z",
    "26-11-20T10:00:00Z", "+02026-11-20T10:00:00Z", "2026-11-20T10:00:00+24:00", "1795168800.5",
    "2026-11-20T10:00:00 UTC", "2026-11-20T1\u0660:00:00Z", "now", "0000-01-01T00:00:00Z",
)  # fmt: skip
# RFC 5321, 4.5.3.1 (64 and 255 octets; 254 in all), RFC 6531 (other scripts), and no addresses.
ADDRESSES = (
    "simple@example.com", "very.common@example.com", "x@example.com", "admin@example",
    "user.name+tag+sorting@example.com", "example-indeed@strange-example.com",
    "mailhost!username@example.org", "user%example.com@example.org", "user-@example.org",
    "postmaster@[123.123.123.123]", "user@[IPv6:2001:db8::1]", '"very.unusual"@example.com',
    "\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae@\u03c0\u03b1\u03c1\u03ac\u03b4.\u03b4\u03bf\u03ba",
    "用户@例子.广告", f"{'a' * 64}@example.com", f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 60}",
)  # fmt: skip
NO_ADDRESSES = (
    "", "abc.example.com", "@example.com", "a@", "a@b@c@example.com", f"{'a' * 65}@example.com",
    f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 61}", "this is not@example.com", "a@exam ple.com",
    "a@example.com\n", "a@example.com\u0000", "<a@example.com>\r\nBcc: x", "a\u200b@example.com",
)  # fmt: skip
JSON = {"Content-Type": "application/json"}
# nst/JSONTestSuite: n_*, what no reader may take, within an order's body.
NO_JSON = (
    b"", b" ", b"{", b"[", b'{"amount":1', b'{"amount":1}}', b'{"amount":1,}', b'{"amount":1}x',
    b"{amount:1}", b"{'amount':1}", b'{"amount":01}', b'{"amount":+1}', b'{"amount":.1}',
    b'{"amount":1.}', b'{"amount":1e}', b'{"amount":0x1}', b'{"amount":NaN}',
    b'{"amount":Infinity}', b'{"amount":-}', b'{"amount":1 2}', b'{"amount"}', b'{"amount"::1}',
    b'{"amount":1/**/}', b'{"amount":1}//', b'{"amount":tru}', b'{"description":"\\x","amount":1}',
    b'{"description":"\\u00","amount":1}', b'{"description":"a\tb","amount":1}',
    b'{"description":"a\nb","amount":1}', b'{"description":"\xff","amount":1}',
    b'{"description":"\xc0\xaf","amount":1}', b'{"description":"\xed\xa0\x80","amount":1}',
    b'{"description":"\\ud800","amount":1}', b"\xef\xbb\xbf" + b'{"amount":1}', b'\x0c{"amount":1}',
    '{"amount":1}'.encode("utf-16"), b"[" * 100_000, b'{"a":' * 40_000, b"[]", b"1", b'"x"',
    b"null", b'{"amount":' + b"1" * 5000 + b"}", b'{"amount":1e99999}', b'{"amount":1,"amount":1}',
)  # fmt: skip


# RFC 3986, 3.2.2 and 3.2.3; RFC 4291, 2.2 and RFC 5952, 4 for addresses in brackets.
URLS = (
    "https://shop.example", "http://shop.example:8080/a?b=c#d", "https://xn--r8jz45g.jp/",
    "https://192.0.2.1/", "https://[::]/", "https://[::1]:65535/", "https://[2001:DB8::1]/x?y",
    "https://[2001:db8:0:0:1:0:0:1]", "https://[::ffff:192.0.2.128]/", "https://[1:2:3:4:5:6:7::]",
    "https://[ABCD:EF01:2345:6789:ABCD:EF01:2345:6789]", "https://[0:0:0:0:0:0:13.1.68.3]",
)  # fmt: skip
NO_URLS = (
    "", "shop.example", "//shop.example", "https:shop.example", "https:///x", "https://",
    "ftp://shop.example", "javascript:alert(1)", "data:text/html,x", "https://u@shop.example",
    "https://u:p@shop.example", "https://shop.example:65536", "https://shop.example:0/",
    "https://shop.example:99999/", "https://shop.example:x/", "https://[:::]/", "https://[1.2.3.4]",
    "https://[::1", "https://::1/", "https://[::1]]/", "https://[1:2:3]/", "https://[1::2::3]/",
    "https://[12345::]/", "https://[::256.0.0.1]/", "https://[::1%25lo]/", "https://[v1.x]/",
    "https://[1:2:3:4:5:6:7:8:9]", "https://shop.example/a b", "https://shop.example/\n",
    "https://shop.example\\@evil.example", "https://例え.jp/", "https://shop.example/ü",
)  # fmt: skip
# RFC 7240, 2 and 4.3: what says nothing about `wait`, or a number of seconds however large.
PREFERENCES = (
    "respond-async, wait=0", "Lenient", "foo; some-parameter", 'foo; some-parameter=""', 'foo=""',
    "Wait=0", 'wait="0"', "wait = 0", "wait=0; x=1", 'priority="a, wait=b", wait=0',
    'priority="a\\", wait=b", wait=0', "wait=0, wait=never", "return=minimal,,wait=0", "waiting=x",
    "wait=00000000000000000000000000000000", f"wait={2**31}", f"wait={'9' * 400}",
)  # fmt: skip


def asked(service: Service, key: str, path: str, headers: list[str]) -> tuple[bytes, bytes]:
    """Send a request as it stands here, and return head and body of the answer."""
    where = urlsplit(service.url)
    lines = [f"POST {path} HTTP/1.1", f"Host: {where.netloc}", f"X-API-Key: {key}", *headers]
    lines += ["Content-Type: application/json", "Content-Length: 12", "Connection: close"]
    with socket.create_connection((where.hostname, where.port or 80), timeout=60) as raw:
        raw.sendall("\r\n".join([*lines, "", '{"amount":1}']).encode())
        received = b"".join(iter(lambda: raw.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def traced(service: Service, key: str, parents: list[str]) -> str:
    """Return the trace that an order's event is in."""
    _, body = asked(service, key, "/v1/orders", [f"TraceParent:{one}" for one in parents])
    order = json.loads(body)
    rows = service.call(service.app.ports.store.load([order["id"]]))[order["id"]]
    trace = rows[0].metadata.trace
    return trace.split("-")[1] if trace else ""


@pytest.mark.parametrize("parents", CONTINUED, ids=str)
def test_a_trace_is_continued(service: Service, api_key: str, parents: list[str]) -> None:
    assert traced(service, api_key, parents) == TRACE


@pytest.mark.parametrize("parents", BEGUN_ANEW, ids=str)
def test_another_trace_is_begun(service: Service, api_key: str, parents: list[str]) -> None:
    assert traced(service, api_key, parents)[:20] not in {TRACE[:20], "0" * 20}


@pytest.mark.parametrize("at", TIMES)
def test_times_of_rfc_3339_are_understood_wherever_one_is_taken(
    client: httpx.Client, at: str
) -> None:
    for path in ("/v1/orders?from={}", "/v1/orders?to={}"):
        assert client.get(path.format(quote(at))).status_code == 200
    assert client.get(f"/v1/orders/ord_{'0' * 26}?asOf={quote(at)}").status_code == 404


@pytest.mark.parametrize("at", NO_TIMES)
def test_other_times_are_a_400(client: httpx.Client, at: str) -> None:
    for path in ("/v1/orders?from={}", "/v1/orders?to={}"):
        is_problem(client.get(path.format(quote(at))), 400, "invalid_request")
    session = {"amount": 1, "successUrl": "https://a.example", "cancelUrl": "https://a.example"}
    answer = client.post("/v1/checkout/sessions", json={**session, "expiresAt": at})
    is_problem(answer, 400, "invalid_request")


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_time_beyond_the_calendar_ends_no_key(service: Service, at: str) -> None:
    key, _ = service.key(service.merchant(), scopes=("account:admin", "payments:read"))
    body = {"name": "x", "scopes": ["payments:read"], "expiresAt": at}
    with service.client(key) as client:
        is_problem(client.post("/api/api-keys", json=body), 400, "invalid_request")
        last = {**body, "expiresAt": "9999-12-31T23:59:59.999999Z"}
        assert client.post("/api/api-keys", json=last).status_code == 201


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_e_mail_address_is_taken(client: httpx.Client, address: str) -> None:
    order = client.post("/v1/orders", json={"amount": 1, "customerEmail": address}).json()
    assert order["customerEmail"] == address


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_e_mail_address_is_a_400(address: str) -> None:
    with pytest.raises(Refused, match="invalid_request"):
        as_struct({"amount": 1, "customerEmail": address}, OrderRequest)


@pytest.mark.parametrize("url", URLS)
def test_a_customer_is_sent_back_to_any_url_that_was_taken(url: str) -> None:
    order = as_struct({"amount": 1, "returnUrl": url}, OrderRequest)
    assert order.return_url == url
    went, given = urlsplit(with_result(url, order_id="ord_1", status="captured")), urlsplit(url)
    assert went._replace(query="") == given._replace(query="")
    assert went.port == given.port
    assert went.query.removeprefix(f"{given.query}&") == "orderId=ord_1&status=captured"


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_is_a_400(url: str) -> None:
    with pytest.raises(Refused, match="invalid_request"):
        as_struct({"amount": 1, "returnUrl": url}, OrderRequest)


@pytest.mark.parametrize("raw", NO_JSON, ids=lambda raw: repr(raw[:40]))
def test_what_is_no_json_is_a_400(client: httpx.Client, raw: bytes) -> None:
    answer = client.post("/v1/orders", content=raw, headers=JSON)
    is_problem(answer, 400, "invalid_request")


def test_no_depth_of_nesting_is_a_5xx(client: httpx.Client) -> None:
    """Near the interpreter's own limit, too, wherever it is in this version."""
    for depth in (2, 30, 31, 32, 33, 100, *range(940, 990), 5000):
        raw = b'{"amount":1,"metadata":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        answer = client.post("/v1/orders", content=raw, headers=JSON)
        is_problem(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    "path", ["/v1/orders/ü", "/v1/orders/a b", "/v1/orders/%0a%22", "/nothing/%C3%BC%25%3F%23"]
)
def test_a_problem_names_its_instance_by_a_uri_reference(client: httpx.Client, path: str) -> None:
    """RFC 9457, 3.1.5, and RFC 3986: nothing but its characters, and it leads where it was."""
    problem = is_problem(client.get(path), 404, "not_found")
    assert re.fullmatch(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})*)+", problem["instance"])
    again = client.get(urljoin(str(client.base_url), problem["instance"]))
    assert again.json()["instance"] == problem["instance"]


def test_the_type_of_every_problem_leads_to_its_meaning(client: httpx.Client) -> None:
    page = client.get("/schema").text
    assert [code for code in CODES if f"id='{code}'" not in page] == []
    problem = is_problem(client.get("/nothing"), 404, "not_found")
    assert problem["type"] == "/schema#not_found"


@pytest.mark.parametrize("preference", PREFERENCES)
def test_preferences_are_read_as_rfc_7240_writes_them(
    client: httpx.Client, preference: str
) -> None:
    order = client.post("/v1/orders", json={"amount": 1}).json()
    answer = client.post(f"/v1/orders/{order['id']}/cancel", headers={"Prefer": preference})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, ""),
        ({"X-API-Key": f"sk_test_{'x' * 32}"}, ""),
        ({"Authorization": "Bearer x.y.z"}, ', error="invalid_token"'),
    ],
)
def test_a_401_names_the_schemes_and_what_was_wrong_with_a_token(
    service: Service, headers: dict[str, str], error: str
) -> None:
    """RFC 9110, 11.6.1; RFC 6750, 3.1."""
    with service.client(None) as nobody:
        answer = nobody.get("/v1/orders", headers=headers)
    assert answer.status_code == 401
    wanted = f'ApiKey realm="loop", Bearer realm="loop"{error}'
    assert answer.headers["www-authenticate"] == wanted


def test_metrics_are_the_text_format_that_every_scraper_reads(client: httpx.Client) -> None:
    client.get("/v1/orders")
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {one.name: one for one in text_string_to_metric_families(answer.text)}
    assert families["http_requests"].type == "counter"
    for family in families.values():
        assert re.fullmatch("[a-z][a-z0-9_]*", family.name)
        assert family.type in {"counter", "gauge", "histogram"} or family.name.startswith("python_")
        assert family.documentation
        if family.type == "counter":
            names = {sample.name for sample in family.samples}
            assert names <= {f"{family.name}_total", f"{family.name}_created"}


def test_every_histogram_ends_in_infinity_and_adds_up(client: httpx.Client) -> None:
    client.get("/v1/orders")
    text = client.get("/metrics").text
    seen = 0
    for family in text_string_to_metric_families(text):
        if family.type != "histogram":
            continue
        buckets: dict[str, list[tuple[float, float]]] = {}
        counts: dict[str, float] = {}
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "le"}
            if sample.name.endswith("_bucket"):
                pair = (float(sample.labels["le"]), sample.value)
                buckets.setdefault(str(labels), []).append(pair)
            elif sample.name.endswith("_count"):
                counts[str(labels)] = sample.value
        for labels, found in buckets.items():
            assert found == sorted(found)
            assert [value for _, value in found] == sorted(value for _, value in found)
            assert found[-1] == (float("inf"), counts[labels])
            seen += 1
    assert seen


def events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Read an event stream as WHATWG's HTML, 9.2.6, has it: name and data."""
    name, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield name or "message", "\n".join(data)
            name, data = "", list[str]()
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)


def test_a_stream_of_events_is_read_by_the_rules_of_html(
    service: Service, client: httpx.Client
) -> None:
    """Also of an order whose text has every line break that there is."""
    breaks = "a\nb\r\nc\rd\u2028e\u2029f\x85g: h"
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "7"}
    with client.stream("GET", "/api/events/stream", headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] in {"no-cache", "no-store"}
        coming = events(line for chunk in whole_lines(answer) for line in chunk)
        assert next(coming) == ("ready", "{}")
        with service.client(client.headers["X-API-Key"]) as other:
            made = other.post("/v1/orders", json={"amount": 1, "description": breaks}).json()
        shown: Any = next(data for name, data in coming if name == "order")
    assert json.loads(shown)["description"] == breaks == made["description"]


def whole_lines(answer: httpx.Response) -> Iterator[list[str]]:
    """Split at CR, LF and CRLF alone, as an event stream is."""
    rest = ""
    for text in answer.iter_text():
        *lines, rest = re.split("\r\n|\n|\r", rest + text)
        yield lines


@given(
    st.builds(Limit, name=st.sampled_from(["key", "address", "login"]), rate=st.integers(1, 10**6)),
    st.integers(0, 10**6),
    st.floats(0, 10**6),
)
def test_what_answers_say_of_limits_is_a_list_of_structured_fields(
    limit: Limit, left: int, wait_s: float
) -> None:
    """RFC 9651, and the members that draft-ietf-httpapi-ratelimit-headers names."""
    taken = Taken(limit, allowed=left > 0, left=left, wait_s=wait_s)
    policy, said = [value.decode() for _, value in edge._limit(taken)]
    assert re.fullmatch(rf'"{limit.name}";q=[1-9][0-9]{{0,14}};w=[1-9][0-9]{{0,14}}', policy)
    wait = "" if left else f";t={taken.retry_after_s}"
    assert said == f'"{limit.name}";r={left}{wait}'
