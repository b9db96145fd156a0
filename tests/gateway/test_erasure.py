"""A customer is erased: nothing readable is left anywhere, and history and proofs still hold."""

import asyncio
import json
import subprocess
from typing import Any

import httpx
import pytest

from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from commands.caller import Caller
from projections import PROJECTIONS
from replay.compare import compare
from replay.verify_export import verify
from tests.gateway.conftest import Service
from tests.gateway.loops import loop
from tests.searching import forms, stored, tables
from tests.waiting import until

CUSTOMER = "cus/planted ä 7391"
PLANTED = {
    "customerId": CUSTOMER,
    "customerEmail": "planted.7392@example.com",
    "description": "planted description 7393",
    "metadata": {"planted_key_7394": "planted value 7395"},
    "returnUrl": "https://planted-7396.example/back",
    "cancelUrl": "https://planted-7397.example/cancel",
}
REASONS = ("planted refund reason 7398", "planted cancel reason 7399")
PAY_URL = "https://planted-7400.example/pay"
TEXTS = [
    *[text for text in PLANTED.values() if isinstance(text, str)],
    "planted_key_7394", "planted value 7395", *REASONS, PAY_URL,
]  # fmt: skip
EMAIL = {"customerEmail": "http@example.com"}
CONTROL = "control-external-7401"


class Played:
    """A customer with one refunded and one cancelled order, and somebody else's order."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.bodies = [
            {"amount": 4999, "externalId": CONTROL, **PLANTED},
            {"amount": 2500, **PLANTED},
        ]
        paid, cancelled = [self.create(n)["id"] for n in range(2)]
        self.ids: list[str] = [paid, cancelled]
        self.post(f"/v1/orders/{paid}/pay", {"returnUrl": PAY_URL})
        self.post(f"/v1/orders/{paid}/refund", {"amount": 100, "reason": REASONS[0]})
        self.post(f"/v1/orders/{cancelled}/cancel", {"reason": REASONS[1]})
        other = {"amount": 100, "customerId": "cus_other", "customerEmail": "other@example.com"}
        self.other: str = self.post("/v1/orders", other)["id"]

    def create(self, n: int) -> dict[str, Any]:
        return self.post("/v1/orders", self.bodies[n], {"Idempotency-Key": f"create-{n}"})

    def post(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        wait = {"Prefer": "wait=20"}
        answer = self.client.post(path, json=body, headers=wait | (headers or {}))
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def everything(self) -> str:
        """All that the API says about the customer's orders."""
        paths = ["/v1/orders?limit=100"]
        for order_id in self.ids:
            paths += [f"/v1/orders/{order_id}{part}" for part in ("", "/events", "/refunds",
                                                                 "/transactions")]  # fmt: skip
        answers = [self.client.get(path).raise_for_status().text for path in paths]
        replays = [json.dumps(self.create(n), ensure_ascii=False) for n in range(2)]
        return "".join(answers + replays)


def audit(service: Service, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the verb as a process: what the service logs in this one is not its output."""
    return loop("audit", *arguments, **service.app.settings.environment())


@pytest.fixture(scope="module")
def played(service: Service, client: httpx.Client) -> Played:
    played = Played(client)

    async def level() -> bool:
        async with service.app.pool.connection() as db:
            cursor = await db.execute(
                "SELECT bool_and(position = (SELECT max(notification_id) FROM events)),"
                " (SELECT max(size) FROM checkpoints) = (SELECT max(notification_id) FROM events)"
                " FROM projection_positions"
            )
            return await cursor.fetchone() == (True, True)

    def settled() -> bool:
        order = client.get(f"/v1/orders/{played.ids[0]}").json()
        return order["amountRefunded"] == 100 and service.call(level())

    asyncio.run(until(settled))
    return played


def test_it_is_all_there_before(played: Played) -> None:
    said = played.everything()
    for text in TEXTS:
        if text != PAY_URL:  # in an event only
            assert text in said
    assert PAY_URL in played.client.get(f"/v1/orders/{played.ids[0]}/events").text


@pytest.fixture(scope="module")
def erased(service: Service, merchant: Caller, played: Played) -> Played:
    """The same, after `loop audit erase`."""
    before = played.everything()
    assert "planted" in before
    done = audit(service, "erase", CUSTOMER, "--merchant", merchant.merchant_id, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"keysDestroyed": 1}
    return played


def test_every_answer_reads_null(erased: Played) -> None:
    said = erased.everything()
    assert "planted" not in said
    orders = {o["id"]: o for o in erased.client.get("/v1/orders?limit=100").json()["data"]}
    for order_id in erased.ids:
        single = erased.client.get(f"/v1/orders/{order_id}").json()
        for order in (single, orders[order_id]):
            assert [order[name] for name in PLANTED] == [None] * len(PLANTED)
            assert order["amount"] in {4999, 2500}
    assert orders[erased.other]["customerEmail"] == "other@example.com"


def test_a_repeated_request_is_answered_without_it(erased: Played) -> None:
    answer = erased.client.post(
        "/v1/orders", json=erased.bodies[0], headers={"Idempotency-Key": "create-0"}
    )
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
    assert answer.json()["id"] == erased.ids[0]
    assert answer.json()["customerEmail"] is None


def test_the_log_says_that_it_was_done_and_not_whom(
    service: Service, merchant: Caller, erased: Played
) -> None:
    assert erased
    rows = service.call(service.app.ports.store.load([merchant.merchant_id]))
    data = rows[merchant.merchant_id][-1].data
    assert data.__struct_config__.tag == "merchant.customer_erased.v1"
    assert CUSTOMER not in str(data)


def test_history_and_proofs_still_hold_and_rebuilt_equals_live(
    service: Service, erased: Played
) -> None:
    url = service.app.settings.database_url
    report = audit(service, "verify", "--json")
    assert (report.returncode, json.loads(report.stdout)["findings"]) == (3, [])
    for order_id in erased.ids:
        proof = erased.client.get(f"/v1/orders/{order_id}/proof").json()
        assert verify(proof, proof["keys"], None)["verdict"] == "verified"
    for projection in PROJECTIONS.values():
        assert asyncio.run(compare(url, projection)).differences == ()


def test_nothing_readable_is_left_in_any_table_stream_or_file(
    service: Service, erased: Played, postgres: EmbeddedPostgres, nats_server: EmbeddedNats
) -> None:
    assert erased
    service.call(checkpointed(service))
    dumped = b"".join(tables(service.app.settings.database_url))
    files = b"".join(stored(postgres._data, nats_server._data, service.app.settings.home))
    stream = b"".join(stored(nats_server._data))
    for where in (dumped, files, stream):
        assert CONTROL.encode() in where, "what is no secret is found"
        for text in TEXTS:
            for form in forms(text):
                assert form not in where, text


async def checkpointed(service: Service) -> None:
    async with service.app.pool.connection() as db:
        await db.execute("CHECKPOINT")


def test_a_later_order_of_the_customer_has_a_key_of_its_own(
    service: Service, merchant: Caller, erased: Played
) -> None:
    made = erased.post("/v1/orders", {"amount": 1, "customerId": CUSTOMER})
    assert erased.client.get(f"/v1/orders/{made['id']}").json()["customerId"] == CUSTOMER
    arguments = ("erase", CUSTOMER, "--merchant", merchant.merchant_id, "--yes")
    again = audit(service, *arguments)
    assert (again.returncode, again.stdout) == (0, "erased: 1 key destroyed\n")
    assert erased.client.get(f"/v1/orders/{made['id']}").json()["customerId"] is None
    nothing = audit(service, *arguments)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "Nothing is kept of this customer" in nothing.stderr


def test_an_admin_erases_over_http_and_nobody_else(
    service: Service, merchant: Caller, erased: Played
) -> None:
    made = erased.post("/v1/orders", {"amount": 1, "customerId": "cus_http", **EMAIL})
    stranger = service.key(service.merchant(), scopes=("account:admin",))[0]
    admin = service.key(merchant, scopes=("account:admin",))[0]
    assert erased.client.delete("/api/customers/cus_http").status_code == 403
    with service.client(stranger) as http:
        assert http.delete("/api/customers/cus_http").status_code == 404
    read = erased.client.get(f"/v1/orders/{made['id']}").json()
    assert read["customerEmail"] == EMAIL["customerEmail"]
    with service.client(admin) as http:
        gone = http.delete("/api/customers/cus_http")
        assert (gone.status_code, gone.content) == (204, b"")
        assert http.delete("/api/customers/cus_http").status_code == 404
    assert erased.client.get(f"/v1/orders/{made['id']}").json()["customerEmail"] is None


def test_a_customer_is_one_of_a_merchant_and_a_mode(
    service: Service, merchant: Caller, erased: Played
) -> None:
    elsewhere = service.merchant().merchant_id
    for more in (("--merchant", elsewhere), ("--merchant", merchant.merchant_id, "--mode", "live")):
        assert audit(service, "erase", "cus_other", "--yes", *more).returncode == 1
    assert audit(service, "erase", "cus_other", "--merchant", "mer_x", "--yes").returncode == 1
    order = erased.client.get(f"/v1/orders/{erased.other}").json()
    assert order["customerEmail"] == "other@example.com"


def test_a_person_is_asked_before(service: Service, merchant: Caller, erased: Played) -> None:
    asked = audit(service, "erase", "cus_other", "--merchant", merchant.merchant_id)
    assert asked.returncode == 1
    assert "for ever?" in asked.stdout + asked.stderr
    order = erased.client.get(f"/v1/orders/{erased.other}").json()
    assert order["customerEmail"] == "other@example.com"
