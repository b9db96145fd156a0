"""Every route with another merchant's ids: no answer, no hint, and nothing of theirs changes.

Which routes there are is read from the document, so that a new one is looked at, too: it needs an
id of the victim's here, or a reason to be open to everybody.
"""

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import psycopg
import pytest
from psycopg import sql

from adapters.migrations import OPTIONS
from commands.caller import Caller
from domain.ids import new_id
from domain.metadata import Actor, Mode
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.receiver import Receiver, receiving
from tests.waiting import until

Json = dict[str, Any]

SCOPES: Final = (
    "payments:read", "payments:write", "webhooks:write", "ledger:read", "account:admin",
)  # fmt: skip
WAIT: Final = {"Prefer": "wait=20"}
OPEN: Final = {
    "showCheckout": 200, "payCheckout": 400, "continueCheckout": 303, "returnFromProcessor": 303,
    "returnFromProcessorByForm": 303, "receiveStripe": 400, "receiveRazorpay": 400,
    "showChallenge": 404, "approveChallenge": 404, "failChallenge": 404,
}  # fmt: skip
"""Routes without credentials, and their answers: whoever has its address sees a checkout."""

OWN: Final = {"configureProcessor"}
"""Its path names no object of somebody: it makes the caller's own."""

STREAM: Final = "streamEvents"
SELF_S: Final = 3600
"""No step that the victim's orders wait for is due within this time."""


class Account:
    """A merchant who has registered, with a client for each way to ask."""

    def __init__(self, service: Service, name: str, stack: contextlib.ExitStack) -> None:
        self._service, self._stack = service, stack
        self.email = f"{name}@strangers.example"
        asked = {"name": f"The {name}", "email": self.email, "password": f"password of {name}"}
        made = self.client(None).post("/api/auth/register", json=asked).raise_for_status().json()
        self.id: str = made["merchant"]["id"]
        self.tests = self.client(self._key("test"))
        self.live = self.client(self._key("live"))
        self.person = self.client(None)
        self.person.headers["Authorization"] = f"Bearer {made['token']}"

    def _key(self, mode: Mode) -> str:
        actor = Actor("operator", "tests")
        caller = Caller(actor=actor, merchant_id=self.id, mode=mode, correlation_id="tests")
        return self._service.key(caller, mode=mode, scopes=SCOPES)[0]

    def client(self, key: str | None) -> httpx.Client:
        return self._stack.enter_context(self._service.client(key))


class Victim(Account):
    """A merchant with one of everything; `ids` are the path parameters, per mode."""

    def __init__(self, service: Service, hooks: str, stack: contextlib.ExitStack) -> None:
        super().__init__(service, "victim", stack)
        self.ids = {"test": self._things(self.tests, hooks), "live": self._things(self.live, hooks)}
        ids = self.ids["test"]
        paid = self._paid({"amount": 5000})
        post(self.tests, f"/v1/orders/{paid}/refund", {"amount": 100})
        held = self._paid({"amount": 7000, "captureMethod": "manual"})
        ids["reference"] = self.tests.get(f"/v1/orders/{paid}").json()["processorOrderId"]
        self.live_keys = [k for k in self.tests.get("/api/api-keys").json() if k["livemode"]]
        for mode, keys in (("test", False), ("live", True)):
            found = [k for k in self.tests.get("/api/api-keys").json() if k["livemode"] is keys]
            self.ids[mode] |= {"key_id": found[0]["id"]}
        credentials = {"keyId": "rzp_test_victim", "keySecret": "secret-of-the-victim"}
        post(self.tests, "/api/processors/razorpay", {"credentials": credentials})
        self.orders = (ids["order_id"], paid, held)

    def _paid(self, body: Json) -> str:
        made = post(self.tests, "/v1/orders", body)
        post(self.tests, f"/v1/orders/{made['id']}/pay", {})
        return str(made["id"])

    def _things(self, http: httpx.Client, hooks: str) -> dict[str, str]:
        mode = "live" if http is self.live else "test"
        endpoint = post(http, "/v1/webhook-endpoints", {"url": hooks})
        wanted = {
            "amount": 1234,
            "customerId": f"cus_{mode}_of_the_victim",
            "customerEmail": f"{mode}@customers-of-the-victim.example",
            "externalId": f"cart_{mode}_of_the_victim",
        }
        order = post(http, "/v1/orders", wanted)
        urls = {"successUrl": "https://victim.example/yes", "cancelUrl": "https://victim.example"}
        session = post(http, "/v1/checkout/sessions", {"amount": 99, "currency": "USD", **urls})
        path = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries"
        asyncio.run(until(lambda: http.get(path).json()["data"]))
        return {
            "order_id": order["id"],
            "session_id": session["id"],
            "checkout_id": session["id"],
            "endpoint_id": endpoint["id"],
            "delivery_id": http.get(path).json()["data"][0]["id"],
            "event_id": http.get("/v1/events").json()["data"][0]["id"],
            "customer_id": wanted["customerId"],
            "external_id": wanted["externalId"],
            "customer_email": wanted["customerEmail"],
            "processor": "razorpay",
            "merchant_id": self.id,
        }

    def owned(self) -> set[str]:
        """The ids by which a row is recognized as the victim's."""
        found = {v for ids in self.ids.values() for k, v in ids.items() if k.endswith("_id")}
        chosen = {ids[name] for ids in self.ids.values() for name in ("customer_id", "external_id")}
        return (found | set(self.orders) | {self.id}) - chosen

    def names(self) -> set[str]:
        """Everything by which an answer would be recognized as telling of the victim."""
        found = {v for ids in self.ids.values() for k, v in ids.items() if k != "processor"}
        return found | self.owned() | {self.email}


def post(http: httpx.Client, path: str, body: Json) -> Json:
    answer = http.post(path, json=body, headers=WAIT)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else {}


@pytest.fixture(scope="module")
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


@pytest.fixture(scope="module")
def receiver(service: Service) -> Iterator[Receiver]:
    opened = contextlib.AsyncExitStack()
    yield service.call(opened.enter_async_context(receiving()))
    service.call(opened.aclose())


@pytest.fixture(scope="module")
def victim(service: Service, receiver: Receiver, stack: contextlib.ExitStack) -> Victim:
    return Victim(service, receiver.url, stack)


@pytest.fixture(scope="module")
def stranger(service: Service, stack: contextlib.ExitStack) -> Account:
    return Account(service, "stranger", stack)


@pytest.fixture(scope="module")
def document(service: Service, stack: contextlib.ExitStack) -> Json:
    http = stack.enter_context(service.client(None))
    return http.get("/schema/openapi.json").json()  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def nothing_of_the_victim_changes(service: Service, victim: Victim) -> Iterator[None]:
    """Byte for byte: the log, all side tables and read models, whatever was asked meanwhile."""
    before = rows_of(service, victim.owned())
    assert len(before) > 50
    yield
    assert rows_of(service, victim.owned()) == before


def rows_of(service: Service, names: set[str]) -> list[str]:
    """Every row of every table that one of these names stands in, once nothing is under way."""
    with psycopg.connect(service.database_url, autocommit=True, options=OPTIONS) as db:
        asyncio.run(until(lambda: _at_rest(db)))
        tables = db.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        found: list[str] = []
        for table in tables:
            # When a key was used last says nothing that was not the victim's own doing.
            rows = db.execute(
                sql.SQL("SELECT (to_jsonb(t) - 'last_used_at')::text FROM {} t").format(
                    sql.Identifier(*table)
                )
            )
            found += [f"{table}: {row}" for (row,) in rows if _holds(row, names)]
    return sorted(found)


def _holds(row: str, names: set[str]) -> bool:
    plain = row + "".join(
        bytes.fromhex(run).decode("latin-1") for run in re.findall(r"\\\\x((?:[0-9a-f]{2})+)", row)
    )
    return any(name in plain for name in names)


def _at_rest(db: psycopg.Connection[Any]) -> bool:
    (busy,) = db.execute(
        "SELECT (SELECT count(*) FROM projection_positions"
        "        WHERE position < (SELECT max(notification_id) FROM events))"
        "     + (SELECT count(*) FROM webhook_deliveries WHERE status <> 'delivered')"
        "     + (SELECT count(*) FROM due WHERE due_at < now() + %s * interval '1 s')",
        (SELF_S,),
    ).fetchone() or (1,)
    return busy == 0


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def parameters(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def unknown(name: str, like: str) -> str:
    """An id of the same kind that nobody has."""
    prefix = like.partition("_")[0]
    return "nobody" if name in {"customer_id", "processor"} else new_id(prefix)


def ask(http: httpx.Client, method: str, path: str, operation: Json) -> httpx.Response:
    content: Json = operation.get("requestBody", {}).get("content", {})
    body = next((c["example"] for c in content.values()), None)
    if body is None:
        return http.request(method, path)
    if "application/json" not in content:
        return http.request(method, path, data=body)
    return http.request(method, path, json=body)


def foreign(document: Json) -> list[tuple[str, str, Json]]:
    """The operations whose path names an object."""
    found = [
        (method, path, operation)
        for method, path, operation in operations(document)
        if parameters(path) and operation["operationId"] not in OWN
    ]
    assert len(found) > 30
    return found


def test_every_route_with_anothers_ids_is_as_if_they_did_not_exist(
    document: Json, victim: Victim, stranger: Account
) -> None:
    for method, path, operation in foreign(document):
        if not operation["security"]:
            assert operation["operationId"] in OPEN, "who may ask for this?"
            continue
        for http, mode in itertools.product(
            (stranger.tests, stranger.live, stranger.person), ("test", "live")
        ):
            theirs = {name: victim.ids[mode][name] for name in parameters(path)}
            nobodys = {name: unknown(name, one) for name, one in theirs.items()}
            seen = ask(http, method, path.format(**theirs), operation)
            is_problem(seen, 404, "not_found")
            if "processor" not in theirs:
                assert told(seen, theirs) == told(
                    ask(http, method, path.format(**nobodys), operation), nobodys
                )


def told(answer: httpx.Response, ids: dict[str, str]) -> tuple[int, list[str], str]:
    """An answer without what differs between two requests anyway."""
    text = answer.text.replace(answer.headers["x-request-id"], "")
    for one in ids.values():
        text = text.replace(one, "")
    return answer.status_code, sorted(answer.headers), text


def test_without_credentials_every_route_is_a_401_whatever_it_names(
    document: Json, victim: Victim, service: Service
) -> None:
    wrong = {"X-API-Key": "sk_test_" + "0" * 43}, {"Authorization": "Bearer a.b.c"}
    with service.client(None) as http:
        for method, path, operation in operations(document):
            if not operation["security"]:
                continue
            url = path.format(**{name: victim.ids["test"][name] for name in parameters(path)})
            is_problem(ask(http, method, url, operation), 401, "missing_credentials")
            for headers, code in zip(wrong, ("invalid_api_key", "invalid_token"), strict=True):
                is_problem(http.request(method, url, headers=headers), 401, code)


def test_routes_that_are_open_do_nothing_for_who_only_has_an_id(
    document: Json, victim: Victim, service: Service
) -> None:
    with service.client(None) as http:
        for method, path, operation in foreign(document):
            if operation["security"]:
                continue
            url = path.format(**{name: victim.ids["test"][name] for name in parameters(path)})
            answer = ask(http, method, url, operation)
            assert answer.status_code == OPEN[operation["operationId"]], (url, answer.text)


def test_a_test_key_reaches_nothing_of_its_own_live_mode(document: Json, victim: Victim) -> None:
    for method, path, operation in foreign(document):
        names = parameters(path)
        if operation["security"] and "processor" not in names:
            live = path.format(**{name: victim.ids["live"][name] for name in names})
            answer = ask(victim.tests, method, live, operation)
            configures = {"endpoint_id", "key_id"} & set(names)  # both modes are listed there
            wanted = (403, "missing_scope") if configures else (404, "not_found")
            if (method, path) == ("GET", "/v1/webhook-endpoints/{endpoint_id}"):
                assert answer.status_code == 200
            else:
                is_problem(answer, *wanted)


def test_lists_and_filters_show_nothing_of_anothers(
    document: Json, victim: Victim, stranger: Account
) -> None:
    names = victim.names()
    cursors = [victim.tests.get(f"/v1/{of}?limit=1").json().get("nextCursor")
               for of in ("orders", "ledger/entries", "ledger/accounts")]  # fmt: skip
    values = sorted({*victim.ids["test"].values(), *cursors} - {None})
    assert len(values) > len(cursors) + 8
    for method, path, operation in operations(document):
        skipped = parameters(path) or not operation["security"] or method != "GET"
        if skipped or operation["operationId"] == STREAM:
            continue
        wanted = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        asked = sorted(wanted & {"after", "before", "orderId", "externalId", "q"})
        queries = [{name: value} for name in asked for value in values]
        asks = [
            (http, dict[str, str]()) for http in (stranger.tests, stranger.live, stranger.person)
        ]
        for http, query in [*asks, *((stranger.tests, query) for query in queries)]:
            answer = http.get(path, params=query)
            assert answer.status_code in {200, 400, 404}, (path, query, answer.text)
            said = answer.text.replace(json.dumps(query.get("q"))[1:-1], "")
            assert not [name for name in names if name in said], (path, query)


def test_what_a_stranger_makes_of_the_same_names_is_their_own(
    document: Json, victim: Victim, stranger: Account, receiver: Receiver
) -> None:
    ids = victim.ids["test"]
    same = {"externalId": ids["external_id"], "customerId": ids["customer_id"]}
    made = post(stranger.tests, "/v1/orders", {"amount": 1, **same})
    assert made["id"] not in victim.orders
    mine = post(stranger.tests, "/v1/webhook-endpoints", {"url": receiver.url})
    path = f"/v1/webhook-endpoints/{mine['id']}/deliveries/{ids['delivery_id']}/redeliver"
    is_problem(stranger.tests.post(path, json={}), 404, "not_found")
    for method, path, operation in operations(document):
        if parameters(path) or not operation["security"] or method == "GET":
            continue
        for body in operation["requestBody"]["content"].values():
            body["example"] |= {
                n: receiver.url for n in ("url", "webhookUrl") if n in body["example"]
            }
        answer = ask(stranger.tests, method, path, operation)
        assert answer.is_success or answer.status_code in {400, 422}, answer.text
        assert not [name for name in victim.names() if name in answer.text]
    gone = stranger.tests.delete(f"/api/customers/{ids['customer_id']}")
    assert gone.status_code == 204
    assert victim.tests.get(f"/v1/orders/{ids['order_id']}").json()["customerId"] is not None
