"""An order's way over HTTP, paid at the sandbox: pay, capture, refund, cancel, 3-D Secure."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from gateway.checkout.turn import with_result
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until

PAY_FIELDS = {"orderId", "status", "processor"}
APPROVE = "sbx_approve"
WAIT = {"Prefer": "wait=20"}


def create(client: httpx.Client, **fields: Any) -> str:
    answer = client.post("/v1/orders", json={"amount": 1000, "currency": "USD", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def pay(client: httpx.Client, order_id: str, token: str = APPROVE, **rest: Any) -> Any:
    body = {"paymentMethod": {"type": "card", "token": token}, **rest}
    answer = client.post(f"/v1/orders/{order_id}/pay", json=body, headers=WAIT)
    assert answer.status_code == 200, answer.text
    return answer.json()


def paid(client: httpx.Client, **fields: Any) -> str:
    order_id = create(client, **fields)
    done = "authorized" if fields.get("captureMethod") == "manual" else "captured"
    assert pay(client, order_id)["status"] == done
    return order_id


def read(client: httpx.Client, order_id: str) -> dict[str, Any]:
    return client.get(f"/v1/orders/{order_id}").json()


def test_approved_pay_is_captured(client: httpx.Client) -> None:
    order_id = create(client)
    answer = pay(client, order_id)
    assert answer == {"orderId": order_id, "status": "captured", "processor": "sandbox"}
    order = read(client, order_id)
    assert order["status"] == "captured"
    assert (order["amountAuthorized"], order["amountCaptured"]) == (1000, 1000)
    assert order["processorOrderId"]
    (attempt,) = order["attempts"]
    assert set(attempt) == {
        "id", "number", "processor", "status", "processorOrderId", "processorTransactionId",
        "failure", "livemode", "createdAt", "updatedAt",
    }  # fmt: skip
    assert attempt["status"] == "captured"


def test_m03_declined_pay_is_a_200_with_the_failure(client: httpx.Client) -> None:
    order_id = create(client)
    answer = pay(client, order_id, "sbx_decline_insufficient_funds")
    assert set(answer) == {*PAY_FIELDS, "failure"}
    assert answer["status"] == "failed"
    assert answer["failure"]["code"] == "insufficient_funds"
    assert answer["failure"]["class"] == "later"
    assert read(client, order_id)["failure"] == answer["failure"]


def test_pay_without_waiting_is_processing_and_never_pending(client: httpx.Client) -> None:
    order_id = create(client)
    answer = client.post(f"/v1/orders/{order_id}/pay", headers={"Prefer": "wait=0"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "processing"
    again = client.post(f"/v1/orders/{order_id}/confirm", headers=WAIT)
    assert again.json()["status"] == "captured"


def test_m01_second_pay_is_a_422(client: httpx.Client) -> None:
    order_id = paid(client)
    is_problem(client.post(f"/v1/orders/{order_id}/pay", json={}), 422, "invalid_status")


def test_m12_unknown_processor_is_a_422_with_the_candidates(client: httpx.Client) -> None:
    order_id = create(client)
    answer = client.post(f"/v1/orders/{order_id}/pay", json={"processor": "nobody"})
    candidates = is_problem(answer, 422, "no_processor")["candidates"]
    assert candidates
    assert all(set(candidate) == {"processor", "reason"} for candidate in candidates)


@pytest.mark.parametrize("prefer", ["wait=-1", "wait=x", "wait=", "wait", "wait=1.5", ""])
def test_malformed_wait_is_a_400(client: httpx.Client, prefer: str) -> None:
    order_id = create(client)
    answer = client.post(f"/v1/orders/{order_id}/pay", json={}, headers={"Prefer": prefer})
    is_problem(answer, 400, "invalid_request")
    assert read(client, order_id)["status"] == "pending"


@pytest.mark.parametrize(
    "prefer", ["respond-async", "wait=0;x=y, foo", 'wait="0"', "foo=bar, wait=0"]
)
def test_other_preferences_are_ignored(client: httpx.Client, prefer: str) -> None:
    answer = client.post(f"/v1/orders/{create(client)}/cancel", headers={"Prefer": prefer})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"paymentMethod": {}},
        {"paymentMethod": {"type": "cash"}},
        {"paymentMethod": {"type": "card", "token": ""}},
        {"paymentMethod": {"type": "card", "token": "a b"}},
        {"paymentMethod": {"type": "card", "tokens": {"paypal": "x"}}},
        {"paymentMethod": {"type": "card", "country": "USA"}},
        {"paymentMethod": "card"},
        {"processor": ""},
        {"returnUrl": "javascript:alert(1)"},
        {"payment": {}},
    ],
)
def test_invalid_pay_body_is_a_400(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post(f"/v1/orders/{create(client)}/pay", json=body)
    is_problem(answer, 400, "invalid_request")


def test_same_key_pays_once_and_is_answered_as_it_is_now(client: httpx.Client) -> None:
    order_id = create(client)
    headers = {"Idempotency-Key": f"pay-{order_id}", "Prefer": "wait=0"}
    first = client.post(f"/v1/orders/{order_id}/pay", json={}, headers=headers)
    assert first.json()["status"] == "processing"
    again = client.post(f"/v1/orders/{order_id}/pay", json={}, headers={**headers, **WAIT})
    assert again.json()["status"] == "captured"
    assert again.headers["idempotent-replayed"] == "true"
    assert len(read(client, order_id)["attempts"]) == 1


def test_manual_order_is_captured_in_part(client: httpx.Client) -> None:
    order_id = paid(client, captureMethod="manual")
    path = f"/v1/orders/{order_id}/capture"
    is_problem(client.post(path, json={"amount": 1001}), 422, "capture_exceeds_authorization")
    answer = client.post(path, json={"amount": 400})
    assert answer.status_code == 200
    order = answer.json()
    assert (order["id"], order["status"], order["amountCaptured"]) == (order_id, "captured", 400)
    is_problem(client.post(path, json={}), 422, "invalid_status")


def test_capture_without_a_body_takes_all(client: httpx.Client) -> None:
    order_id = paid(client, captureMethod="manual")
    assert client.post(f"/v1/orders/{order_id}/capture").json()["amountCaptured"] == 1000


def test_cancel_of_a_pending_order_ends_it_at_once(client: httpx.Client) -> None:
    order_id = create(client)
    answer = client.post(f"/v1/orders/{order_id}/cancel", json={"reason": "no stock"})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_cancel_of_an_authorized_order_gives_the_hold_back(client: httpx.Client) -> None:
    order_id = paid(client, captureMethod="manual")
    answer = client.post(f"/v1/orders/{order_id}/cancel", headers=WAIT)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    kinds = [t["type"] for t in client.get(f"/v1/orders/{order_id}/transactions").json()]
    assert kinds == ["void", "authorization"]


def test_captured_order_cannot_be_cancelled(client: httpx.Client) -> None:
    order_id = paid(client)
    is_problem(client.post(f"/v1/orders/{order_id}/cancel"), 422, "invalid_status")


def test_refunds_are_listed_newest_first_and_never_exceed_the_capture(client: httpx.Client) -> None:
    order_id = paid(client)
    path = f"/v1/orders/{order_id}/refund"
    first = client.post(path, json={"amount": 300, "reason": "ein Stück zurück"})
    assert first.status_code == 201
    assert set(first.json()) == {"refundId", "orderId", "amount", "status", "reason"}
    assert first.json()["reason"] == "ein Stück zurück"
    is_problem(client.post(path, json={"amount": 701}), 422, "refund_exceeds_captured")
    second = client.post(path)
    assert (second.json()["amount"], second.json()["reason"]) == (700, None)
    is_problem(client.post(path, json={"amount": 1}), 422, "refund_exceeds_captured")
    asyncio.run(until(lambda: read(client, order_id)["status"] == "refunded"))
    refunds = client.get(f"/v1/orders/{order_id}/refunds").json()
    assert [r["refundId"] for r in refunds] == [second.json()["refundId"], first.json()["refundId"]]
    assert [r["status"] for r in refunds] == ["succeeded", "succeeded"]
    assert [r["reason"] for r in refunds] == [None, "ein Stück zurück"]
    assert set(refunds[0]) == {*first.json(), "createdAt"}
    kinds = [t["type"] for t in client.get(f"/v1/orders/{order_id}/transactions").json()]
    assert kinds == ["refund", "refund", "capture", "authorization"]


def test_m11_refund_is_replayed_with_its_reason(client: httpx.Client) -> None:
    order_id = paid(client)
    headers = {"Idempotency-Key": f"refund-{order_id}"}
    body = {"amount": 10, "reason": "r"}
    first = client.post(f"/v1/orders/{order_id}/refund", json=body, headers=headers)
    again = client.post(f"/v1/orders/{order_id}/refund", json=body, headers=headers)
    assert again.json()["refundId"] == first.json()["refundId"]
    assert again.json()["reason"] == "r"
    assert len(client.get(f"/v1/orders/{order_id}/refunds").json()) == 1


def test_refund_of_an_unpaid_order_is_a_422(client: httpx.Client) -> None:
    is_problem(client.post(f"/v1/orders/{create(client)}/refund"), 422, "invalid_status")


def challenged(client: httpx.Client, **fields: Any) -> tuple[str, str]:
    """Return an order whose customer has to act, and the path of the bank's page."""
    order_id = create(client, **fields)
    answer = pay(client, order_id, "sbx_challenge")
    assert answer["status"] == "requires_action"
    action = answer["nextAction"]
    assert action["type"] == "redirect"
    assert action["redirectUrl"] == answer["redirectUrl"]
    assert action["expiresAt"]
    assert read(client, order_id)["nextAction"] == action
    return order_id, answer["redirectUrl"].removeprefix("http://loop.test")


def test_customer_approves_and_comes_back_to_the_shop(
    service: Service, client: httpx.Client
) -> None:
    back = "https://shop.example/thanks?cart=1"
    order_id, page = challenged(client, returnUrl=back)
    with service.client(None) as customer:
        shown = customer.get(page)
        assert shown.status_code == 200
        assert shown.headers["content-type"].startswith("text/html")
        assert "10.00 USD" in shown.text
        decided = customer.post(f"{page}/approve")
        assert decided.status_code == 303
        assert decided.headers["location"] == f"http://loop.test/checkout/{order_id}/return"
        returned = customer.get(f"/checkout/{order_id}/return", params={"redirect_status": "x"})
        assert returned.status_code == 303
        result = f"&orderId={order_id}&status=captured"
        assert returned.headers["location"] == back + result
        assert "approved" in customer.get(page).text
        assert customer.post(f"{page}/fail").status_code == 303
    assert read(client, order_id)["status"] == "captured"
    assert read(client, order_id)["nextAction"] is None


def test_customer_fails_and_sees_it_where_the_shop_named_no_page(
    service: Service, client: httpx.Client
) -> None:
    order_id, page = challenged(client)
    with service.client(None) as customer:
        assert customer.post(f"{page}/fail").status_code == 303
        returned = customer.get(f"/checkout/{order_id}/return")
        assert returned.status_code == 200
        assert "failed" in returned.text
    assert read(client, order_id)["failure"]["code"] == "authentication_failed"


def test_return_url_of_the_payment_comes_before_that_of_the_order(
    service: Service, client: httpx.Client
) -> None:
    order_id = create(client, returnUrl="https://shop.example/order")
    pay(client, order_id, returnUrl="https://shop.example/payment")
    with service.client(None) as customer:
        location = customer.get(f"/checkout/{order_id}/return").headers["location"]
    assert location == f"https://shop.example/payment?orderId={order_id}&status=captured"


def test_pages_need_nothing_from_elsewhere_and_the_banks_no_script(
    service: Service, client: httpx.Client
) -> None:
    _, page = challenged(client)
    with service.client(None) as customer:
        assert "<script" not in customer.get(page).text
        for path in (page, "/schema"):
            answer = customer.get(path)
            assert answer.status_code == 200
            assert not re.search(r'src="(?!/)', answer.text)
            assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_unknown_challenges_and_returns_are_a_404(client: httpx.Client) -> None:
    for path in ("/sandbox/challenge/x", "/sandbox/challenge/%00", "/checkout/x/return"):
        is_problem(client.get(path), 404, "not_found")
    is_problem(client.post("/sandbox/challenge/x/approve"), 404, "not_found")
    order_id = paid(client)
    reference = read(client, order_id)["processorOrderId"]
    is_problem(client.get(f"/sandbox/challenge/{reference}"), 404, "not_found")


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("https://a.example", "https://a.example?orderId=o&status=s"),
        ("https://a.example/p?x=1", "https://a.example/p?x=1&orderId=o&status=s"),
        ("https://a.example/p#top", "https://a.example/p?orderId=o&status=s#top"),
    ],
)
def test_result_is_added_behind_the_shops_own_parameters(url: str, whole: str) -> None:
    assert with_result(url, order_id="o", status="s") == whole
