"""POST /v1/payments: an order created and paid in one call, in one commit, once."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until

APPROVE = {"type": "card", "token": "sbx_approve"}
WAIT = "wait=20"


def create(client: httpx.Client, key: str, *, prefer: str = WAIT, **fields: Any) -> httpx.Response:
    body = {"amount": 1200, "currency": "USD", "paymentMethod": APPROVE, **fields}
    return client.post(
        "/v1/payments", json=body, headers={"Idempotency-Key": key, "Prefer": prefer}
    )


def test_a_payment_is_an_order_with_what_pay_answers(client: httpx.Client) -> None:
    answer = create(client, "whole", externalId="one-call", metadata={"a": 1})
    assert answer.status_code == 201
    payment = answer.json()
    assert payment["orderId"] == payment["id"]
    assert (payment["status"], payment["amountCaptured"]) == ("captured", 1200)
    assert (payment["externalId"], payment["metadata"]) == ("one-call", {"a": 1})
    assert client.get(f"/v1/payments/{payment['id']}").json() == payment
    order = client.get(f"/v1/orders/{payment['id']}").json()
    assert {name: payment[name] for name in order} == order


def test_order_and_intent_are_one_commit(service: Service, client: httpx.Client) -> None:
    order_id = create(client, "one-commit").json()["id"]
    rows = service.call(service.app.ports.store.load([order_id]))[order_id]
    tags = [type(row.data).__name__ for row in rows[:2]]
    assert tags == ["OrderCreated", "OrderRouted"]
    assert rows[0].recorded_at == rows[1].recorded_at
    assert rows[1].position == rows[0].position + 1


def test_a_challenge_has_its_url_at_both_places(client: httpx.Client) -> None:
    asked = {"type": "card", "token": "sbx_challenge"}
    payment = create(client, "challenge", paymentMethod=asked).json()
    assert payment["status"] == "requires_action"
    assert payment["redirectUrl"] == payment["nextAction"]["redirectUrl"]


def test_m03_a_decline_is_a_201_with_the_failure(client: httpx.Client) -> None:
    answer = create(client, "declined", paymentMethod={"type": "card", "token": "sbx_decline"})
    assert answer.status_code == 201
    assert answer.json()["status"] == "failed"
    assert answer.json()["failure"]["code"] == "generic_decline"


def test_without_a_key_or_external_id_it_is_a_400(client: httpx.Client) -> None:
    answer = client.post("/v1/payments", json={"amount": 1, "paymentMethod": APPROVE})
    is_problem(answer, 400, "idempotency_key_required")


def test_an_external_id_alone_is_enough_and_pays_once(client: httpx.Client) -> None:
    body = {"amount": 900, "externalId": "alone", "paymentMethod": APPROVE}
    first = client.post("/v1/payments", json=body, headers={"Prefer": WAIT})
    assert (first.status_code, first.json()["status"]) == (201, "captured")
    again = is_problem(client.post("/v1/payments", json=body), 409, "external_id_exists")
    assert again["orderId"] == first.json()["id"]


def test_a_repetition_is_answered_from_the_order_as_it_is_now(client: httpx.Client) -> None:
    first = create(client, "again", prefer="wait=0")
    assert (first.status_code, first.json()["status"]) == (201, "processing")
    again = create(client, "again")
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.json()["id"], again.json()["status"]) == (first.json()["id"], "captured")
    is_problem(create(client, "again", amount=1201), 422, "idempotency_key_reused")


def test_m01_many_equal_requests_at_once_make_one_order_and_one_charge(
    service: Service, client: httpx.Client
) -> None:
    together = threading.Barrier(6)

    def send(_: int) -> httpx.Response:
        together.wait(90)
        return create(client, "race", amount=4321)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert {a.status_code for a in answers} == {201}
    assert {a.json()["status"] for a in answers} == {"captured"}
    (order_id,) = {a.json()["id"] for a in answers}
    books = service.app.sandbox.bank.books()
    assert books.violations == ()
    assert books.orders[order_id].captured == 4321


def test_m12_nothing_is_created_where_nobody_can_take_it(client: httpx.Client) -> None:
    body = {"amount": 700, "externalId": "nobody", "processor": "nobody"}
    is_problem(client.post("/v1/payments", json=body), 422, "no_processor")
    assert (
        client.post("/v1/orders", json={"amount": 700, "externalId": "nobody"}).status_code == 201
    )


@pytest.mark.parametrize(
    "more",
    [{"amount": 0}, {"currency": "XXX"}, {"returnUrl": "javascript:alert(1)"}, {"token": "x"}],
)
def test_invalid_bodies_are_a_400(client: httpx.Client, more: dict[str, Any]) -> None:
    is_problem(create(client, "invalid", **more), 400, "invalid_request")


def test_s07_card_numbers_are_refused(client: httpx.Client) -> None:
    card = {"type": "card", "token": "4242424242424242"}
    is_problem(create(client, "pan", paymentMethod=card), 400, "card_data_refused")


def test_the_list_has_what_was_tried_to_be_paid(service: Service) -> None:
    key, _ = service.key(service.merchant())
    with service.client(key) as client:
        ids = [create(client, f"listed-{n}").json()["id"] for n in range(3)]
        client.post("/v1/orders", json={"amount": 5})

        def page(**query: Any) -> dict[str, Any]:
            return client.get("/v1/payments", params=query).json()

        asyncio.run(until(lambda: len(page()["data"]) == 3))
        assert [p["id"] for p in page()["data"]] == ids[::-1]
        first = page(limit=2)
        assert first["hasMore"]
        assert [p["orderId"] for p in page(after=first["nextCursor"])["data"]] == ids[:1]
        assert page(status="failed")["data"] == []


def test_nobody_reads_anothers_payment(service: Service, client: httpx.Client) -> None:
    order_id = create(client, "mine").json()["id"]
    stranger, _ = service.key(service.merchant())
    with service.client(stranger) as http:
        is_problem(http.get(f"/v1/payments/{order_id}"), 404, "not_found")
        assert http.get("/v1/payments").json()["data"] == []
    reader, _ = service.key(service.merchant(), scopes=("payments:read",))
    with service.client(reader) as http:
        is_problem(create(http, "reader"), 403, "missing_scope")
