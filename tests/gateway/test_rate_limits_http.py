"""S08: limits over HTTP: whose requests are counted, what answers say, and behind which proxies."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network

import psycopg
import pytest
from msgspec.structs import replace

from adapters.migrations import OPTIONS
from adapters.rate_limits import Limit
from gateway.limits import address_of
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until

PASSWORD = "correct horse battery"
Start = Callable[..., Service]
LONG_S = 36_000.0
"""A window in which nothing runs out while a test is at it, however slow the machine."""
PER_KEY = Limit(name="key", rate=10, window_s=LONG_S)
PER_ADDRESS = Limit(name="address", rate=10, window_s=LONG_S)
PER_LOGIN = Limit(name="login", rate=10, window_s=LONG_S, burst=20)


@pytest.fixture
def start(service: Service) -> Iterator[Start]:
    """Start further processes, as it were, over the same database, with other limits."""
    with ExitStack() as running:

        def another(**limits: Limit) -> Service:
            other = Service(service._settings, working=False, limits=limits)
            return running.enter_context(other)

        yield another


def test_a_key_has_a_limit_whichever_process_it_asks(service: Service, start: Start) -> None:
    one, two = start(per_key=PER_KEY), start(per_key=PER_KEY)
    key, _ = service.key(service.merchant())
    with one.client(key) as first, two.client(key) as second:
        statuses = [first.get("/v1/orders").status_code for _ in range(12)]
        assert statuses == [200] * 10 + [429] * 2

        async def refused_by_the_other() -> bool:
            return second.get("/v1/orders").status_code == 429

        service.call(until(refused_by_the_other))
    with one.client(service.key(service.merchant())[0]) as other:
        assert other.get("/v1/orders").status_code == 200


def test_answers_say_what_is_left_and_when_to_come_again(service: Service, start: Start) -> None:
    key, _ = service.key(service.merchant())
    with start(per_key=PER_KEY).client(key) as client:
        answers = [client.get("/v1/orders/x") for _ in range(11)]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=10;w=36000'}
    assert [answer.headers["ratelimit"] for answer in answers[:2]] == ['"key";r=9', '"key";r=8']
    refused = answers[-1]
    is_problem(refused, 429, "rate_limited")
    wait = int(refused.headers["retry-after"])
    assert 3500 < wait <= 3600
    assert refused.headers["ratelimit"] == f'"key";r=0;t={wait}'


def test_settings_say_how_much_and_health_is_not_counted(service: Service) -> None:
    changed = replace(service._settings, rate_limit_key=7, rate_limit_address=400_000)
    key, _ = service.key(service.merchant())
    with Service(changed, working=False) as process:
        with process.client(key) as client:
            assert client.get("/v1/orders").headers["ratelimit-policy"] == '"key";q=7;w=1'
        with process.client(None) as nobody:
            for path, headers in (
                ("/schema/openapi.json", None),
                ("/v1/orders", {"X-API-Key": "x"}),
            ):
                answer = nobody.get(path, headers=headers)
                assert answer.headers["ratelimit-policy"] == '"address";q=400000;w=1'
            for path in ("/health", "/ready", "/metrics"):
                assert "ratelimit" not in nobody.get(path).headers


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/schema/openapi.json", {}),
        ("/schema/openapi.json", {"X-API-Key": "sk_test_" + "x" * 32}),
        ("/v1/orders", {}),
        ("/v1/orders", {"X-API-Key": "sk_test_" + "x" * 32}),
        ("/v1/orders", {"Authorization": "Bearer x"}),
    ],
)
def test_an_address_without_good_credentials_has_a_limit_and_keys_there_go_on(
    service: Service, start: Start, path: str, headers: dict[str, str]
) -> None:
    with psycopg.connect(service.database_url, autocommit=True, options=OPTIONS) as db:
        db.execute("DELETE FROM rate_limits")
    key, _ = service.key(service.merchant())
    process = start(per_address=PER_ADDRESS)
    with process.client(None) as nobody, process.client(key) as client:
        answers = [nobody.get(path, headers=headers) for _ in range(11)]
        assert [answer.status_code == 429 for answer in answers] == [False] * 10 + [True]
        assert client.get("/v1/orders").status_code == 200
        assert nobody.get("/health").status_code == 200


def test_s06_log_ins_fail_twenty_times_at_once_and_then_wait(start: Start) -> None:
    one, two = start(per_login=PER_LOGIN), start(per_login=PER_LOGIN)
    with one.client(None) as http, two.client(None) as elsewhere:
        email = "limits@tea.example"
        made = {"name": "Tea shop", "email": email, "password": PASSWORD}
        http.post("/api/auth/register", json=made)
        right, wrong = ({"email": email, "password": p} for p in (PASSWORD, "wrong password"))
        for _ in range(3):
            assert http.post("/api/auth/login", json=right).status_code == 200
        both = itertools.cycle((http, elsewhere))
        answers = [next(both).post("/api/auth/login", json=wrong) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {401}
        for client in (http, elsewhere):
            refused = client.post("/api/auth/login", json=right)
            is_problem(refused, 429, "rate_limited")
            assert 3500 < int(refused.headers["retry-after"]) <= 3601
            assert refused.headers["ratelimit-policy"] == '"login";q=20;w=72000'
        other = {"email": "else@tea.example", "password": PASSWORD}
        assert http.post("/api/auth/login", json=other).status_code == 401


ADDRESSES: list[tuple[str, list[str], str]] = [
    ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1", ["nonsense"], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
    ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ("2001:db8::1", [], "2001:db8::/64"),
    ("2001:db8::ffff:1", [], "2001:db8::/64"),
    ("::ffff:198.51.100.1", [], "198.51.100.1"),
]


@pytest.mark.parametrize(("peer", "forwarded", "counted"), ADDRESSES)
def test_s08_only_trusted_proxies_say_who_is_asking(
    peer: str, forwarded: list[str], counted: str
) -> None:
    lines = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    scope = {"client": (peer, 1), "headers": lines}
    assert address_of(scope, (ip_network("10.0.0.0/8"),)) == counted
    assert address_of({**scope, "headers": []}, ()) == address_of(scope, ())
