"""S07: card data never enters, and nothing of it is logged."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.card_data import holds_pan, refuse_card_data
from gateway.card_numbers import is_card_number
from gateway.errors import Refused
from tests.gateway.problems import is_problem, logged

PAN = "4242424242424242"


@pytest.mark.parametrize(
    "body",
    [
        {"paymentMethod": {"type": "card", "number": "x"}},
        {"paymentMethod": {"type": "card", "card": {"pan": "x"}}},
        {"paymentMethod": {"type": "card", "cardNumber": "x"}},
        {"paymentMethod": {"type": "card", "card_number": "x"}},
        {"paymentMethod": {"type": "card", "CVC": "123"}},
        {"paymentMethod": {"type": "card", "cvv2": 123}},
        {"paymentMethod": {"type": "card", "token": PAN}},
        {"paymentMethod": {"type": "card", "token": "4242 4242 4242 4242"}},
        {"paymentMethod": {"type": "card", "token": "4242-4242-4242-4242"}},
        {"paymentMethod": {"type": "card", "token": "tok_4242424242424242"}},
        {"paymentMethod": {"type": "card", "token": "4242 4242 4242 4242 12/30"}},
        {"paymentMethod": {"type": "card", "token": int(PAN)}},
        {"paymentMethod": {"type": "card", "token": float(PAN)}},
        {"paymentMethod": {"type": "card", PAN: "x"}},
        {"paymentMethod": {"type": "card", "tokens": {"stripe": PAN}}},
        {"paymentMethod": [{"deep": [["378282246310005"]]}]},
        {"payment_method": PAN},
        {"number": PAN},
        {"metadata": {"cvc": "123"}},
        {"card": {"whatever": PAN}},
        {"a": {"b": [{"security_code": 1}]}},
        {"externalId": PAN},
        {"externalId": "cart 4242-4242-4242-4242"},
        {"externalId": "3782 822463 10005"},
        {"lineItems": [{"name": PAN}]},
    ],
)
def test_s07_card_data_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    order = client.post("/v1/orders", json={"amount": 1}).json()
    for path in (f"/v1/orders/{order['id']}/pay", "/v1/orders"):
        answer = client.post(path, json=body)
        is_problem(answer, 400, "card_data_refused")
        assert "4242" not in answer.text
        assert "3782" not in answer.text
    assert client.get(f"/v1/orders/{order['id']}").json()["status"] == "pending"


@pytest.mark.parametrize("body", [{"paymentMethod": {"type": "card", "number": PAN}}, {"pan": PAN}])
def test_nothing_of_it_is_logged(
    client: httpx.Client, body: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    client.post("/v1/orders", json=body)
    client.post(f"/v1/orders?number={PAN}", json=body, headers={"X-Correlation-ID": "card-1"})
    written = logged(capfd, "card-1")
    assert PAN not in written
    assert PAN[:8] not in written


@pytest.mark.parametrize(
    "body",
    [
        {"paymentMethod": {"type": "card", "token": "pm_card_visa"}},
        {"paymentMethod": {"type": "card", "token": "4242424242424241"}},
        {"paymentMethod": {"type": "card", "token": "424242424242"}},
        {"metadata": {"invoice": PAN}},
        {"description": PAN},
        {"phoneNumber": "x"},
        {"externalId": "1763647425000000"},
        {"externalId": "4242424242424241"},
        {"externalId": "5500000000000"},
        {"externalId": "42424242-4242-4242-8242-424242424242"},
        {"externalId": f"x{PAN}"},
    ],
)
def test_what_is_no_card_data_passes(body: dict[str, Any]) -> None:
    refuse_card_data(body)


def test_headers_that_are_kept_hold_no_card_number(client: httpx.Client) -> None:
    headers = {"X-Correlation-ID": PAN, "X-Request-ID": f"a {PAN}".replace(" ", "/")}
    answer = client.post("/v1/orders", json={"amount": 1}, headers=headers)
    assert answer.status_code == 201
    assert PAN not in str(answer.headers)
    for key in (PAN, f'"{PAN}"', "4242-4242-4242-4242"):
        refused = client.post("/v1/orders", json={"amount": 1}, headers={"Idempotency-Key": key})
        is_problem(refused, 400, "card_data_refused")


@given(st.uuids())
def test_no_uuid_looks_like_a_card(uuid: UUID) -> None:
    assert not is_card_number(str(uuid))
    assert not is_card_number(f"cart-{uuid.hex}")


def with_check_digit(digits: str) -> str:
    return next(d for d in (f"{digits}{n}" for n in range(10)) if holds_pan(d))


@given(
    st.text("0123456789", min_size=12, max_size=18),
    st.sampled_from(["", " ", "-", "  ", "\u2011"]),
    st.integers(1, 6),
)
def test_every_number_that_passes_luhn_is_found_however_it_is_grouped(
    digits: str, separator: str, size: int
) -> None:
    pan = with_check_digit(digits)
    grouped = separator.join(pan[n : n + size] for n in range(0, len(pan), size))
    assert holds_pan(grouped)
    with pytest.raises(Refused):
        refuse_card_data({"paymentMethod": {"token": f"x{grouped}y"}})


@given(st.text("0123456789", min_size=12, max_size=18), st.integers(1, 9))
def test_one_wrong_digit_is_no_card_number(digits: str, off: int) -> None:
    pan = with_check_digit(digits)
    assert not holds_pan(f"{pan[:-1]}{(int(pan[-1]) + off) % 10}")
