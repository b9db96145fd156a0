"""The `Idempotency-Key` header, from its form to what a repetition is answered."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.headers import KEY_PATTERN, fingerprint, idempotency_key
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

_numbers = itertools.count(1)


@pytest.fixture
def key() -> str:
    return f"key-{next(_numbers)}"


def post(
    client: httpx.Client, key: str, path: str = "/v1/orders", **body: object
) -> httpx.Response:
    if path == "/v1/orders":
        body = {"amount": 700, **body}
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def test_repetition_gets_the_first_answer(client: httpx.Client, key: str) -> None:
    first = post(client, key, customerEmail="a@b.example")
    again = post(client, key, customerEmail="a@b.example")
    assert first.status_code == again.status_code == 201
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()


def test_repetition_of_a_create_shows_the_order_as_it_was(client: httpx.Client, key: str) -> None:
    first = post(client, key).json()
    client.post(f"/v1/orders/{first['id']}/cancel")
    assert post(client, key).json() == first


def test_order_of_fields_does_not_matter(client: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    one = client.post("/v1/orders", content=b'{"amount":1,"currency":"EUR"}', headers=headers)
    two = client.post("/v1/orders", content=b'{ "currency": "EUR", "amount": 1}', headers=headers)
    assert two.json() == one.json()


def test_i02_other_body_under_the_same_key_is_a_422(client: httpx.Client, key: str) -> None:
    post(client, key)
    is_problem(post(client, key, amount=701), 422, "idempotency_key_reused")


def test_key_counts_per_path(client: httpx.Client, key: str) -> None:
    order = post(client, key).json()
    answer = post(client, key, f"/v1/orders/{order['id']}/cancel")
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


def test_slash_at_the_end_is_the_same_path(client: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key}
    one = client.post("/v1/orders", json={"amount": 1}, headers=headers)
    two = client.post("/v1/orders/", json={"amount": 1}, headers=headers)
    assert two.json() == one.json()


def test_key_counts_per_merchant(service: Service, client: httpx.Client, key: str) -> None:
    mine = post(client, key).json()
    stranger, _ = service.key(service.merchant())
    with service.client(stranger) as other:
        theirs = post(other, key)
        assert "idempotent-replayed" not in theirs.headers
        assert theirs.json()["id"] != mine["id"]


def test_i03_failed_first_try_is_not_replayed(client: httpx.Client, key: str) -> None:
    is_problem(post(client, key, amount=0), 400, "invalid_request")
    assert post(client, key).status_code == 201


def test_i01_ten_at_once_make_one_order(service: Service, api_key: str, key: str) -> None:
    with service.client(api_key) as client, ThreadPoolExecutor(10) as pool:
        answers = [f.result() for f in [pool.submit(post, client, key) for _ in range(10)]]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_i04_header_given_twice_is_a_400(client: httpx.Client, key: str) -> None:
    headers = [("Idempotency-Key", key), ("Idempotency-Key", key)]
    answer = client.post("/v1/orders", json={"amount": 1}, headers=headers)
    errors = is_problem(answer, 400, "invalid_request")["errors"]
    assert errors[0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    "bad", ["", "x" * 256, "a b", "é", '""', '"a', '"a"b"', f'"{"x" * 256}"', '"\\x"', "a\tb"]
)
@pytest.mark.parametrize("path", ["", "/{id}/pay", "/{id}/cancel", "/{id}/confirm"])
def test_malformed_key_is_a_400(client: httpx.Client, bad: str, path: str) -> None:
    order = client.post("/v1/orders", json={"amount": 1}).json()
    answer = client.post(
        f"/v1/orders{path.format(id=order['id'])}",
        json={} if path else {"amount": 1},
        headers={b"Idempotency-Key": bad.encode()},
    )
    is_problem(answer, 400, "invalid_request")


def test_quoted_and_bare_are_the_same_key(client: httpx.Client, key: str) -> None:
    assert post(client, f'"{key}"').json()["id"] == post(client, key).json()["id"]


def test_longest_key_works(client: httpx.Client) -> None:
    assert post(client, "k" * 255).status_code == 201
    assert post(client, f'"{"q" * 255}"').status_code == 201


@given(st.from_regex(KEY_PATTERN, fullmatch=True))
def test_documented_pattern_is_what_is_accepted(value: str) -> None:
    assert 1 <= len(idempotency_key(value)) <= 255


@given(st.text())
def test_any_header_is_a_key_or_refused(value: str) -> None:
    try:
        key = idempotency_key(value)
    except Refused:
        return
    assert key
    assert key.isascii()


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), _json, max_size=5))
def test_fingerprint_does_not_depend_on_the_order_of_members(body: dict[str, object]) -> None:
    turned = dict(reversed(list(body.items())))
    assert fingerprint(body) == fingerprint(turned)
    assert fingerprint(body) != fingerprint({**body, "one more": 1}) or "one more" in body
