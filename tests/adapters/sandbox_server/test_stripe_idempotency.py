import threading
from typing import Any

import pytest
import stripe

from tests.adapters.sandbox_server.stripe_shop import URL, create, held, kinds, said
from tests.sandbox_server import SandboxServer

ASKED = {"amount": 1000, "currency": "usd"}


def replayed(answer: Any) -> bool:
    return "Idempotent-Replayed" in answer.last_response.headers


def was_replayed(caught: pytest.ExceptionInfo[stripe.StripeError]) -> bool:
    return (caught.value.headers or {}).get("idempotent-replayed") == "true"


def test_the_same_key_gives_the_same_answer(shop: Any) -> None:
    first = shop.payment_intents.create(ASKED, {"idempotency_key": "k"})
    again = shop.payment_intents.create(
        {"currency": "usd", "amount": 1000}, {"idempotency_key": "k"}
    )
    other = shop.payment_intents.create(ASKED, {"idempotency_key": "l"})

    assert (again.id == first.id, replayed(first), replayed(again)) == (True, False, True)
    assert other.id != first.id
    assert kinds(shop).count("payment_intent.created") == 2
    assert again.last_response.headers["Original-Request"] == first.last_response.request_id


def test_the_answer_is_of_its_time(shop: Any) -> None:
    first = shop.payment_intents.create(ASKED, {"idempotency_key": "k"})
    shop.payment_intents.cancel(first.id)
    assert shop.payment_intents.create(ASKED, {"idempotency_key": "k"}).status == first.status


@pytest.mark.parametrize("other", [{**ASKED, "amount": 1001}, {**ASKED, "metadata": {"a": "b"}}])
def test_other_parameters_are_an_error(shop: Any, other: dict[str, Any]) -> None:
    shop.payment_intents.create(ASKED, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError) as reused:
        shop.payment_intents.create(other, {"idempotency_key": "k"})
    assert (reused.value.http_status, said(reused).type) == (400, "idempotency_error")


def test_another_endpoint_is_an_error(shop: Any) -> None:
    pi = shop.payment_intents.create(ASKED, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError):
        shop.payment_intents.cancel(pi.id, {}, {"idempotency_key": "k"})


def test_keys_are_of_one_account(sandbox: SandboxServer, shop: Any) -> None:
    first = shop.payment_intents.create(ASKED, {"idempotency_key": "k"})
    with sandbox.stripe("sk_test_other") as other:
        assert other.v1.payment_intents.create(ASKED, {"idempotency_key": "k"}).id != first.id


def test_a_decline_is_remembered(shop: Any) -> None:
    pi = create(shop)
    params = {"payment_method": "pm_card_visa_chargeDeclined", "return_url": URL}
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert was_replayed(declined)
    assert kinds(shop).count("charge.failed") == 1


def test_what_the_state_refuses_is_remembered(shop: Any) -> None:
    pi = held(shop)
    shop.payment_intents.cancel(pi.id)
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            shop.payment_intents.capture(pi.id, {}, {"idempotency_key": "c"})
    assert was_replayed(refused)


@pytest.mark.parametrize("amount", [5001, 5002])
def test_a_500_is_remembered(sandbox: SandboxServer, shop: Any, amount: int) -> None:
    pi = create(shop, amount)
    params = {"payment_method": "pm_card_visa", "return_url": URL}
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert was_replayed(failed)
    held_once = amount if amount == 5002 else 0
    assert sandbox.books()["orders"]["ord_1"]["authorized"] == held_once


@pytest.mark.parametrize("wrong", [{"amount": 1}, {"amount": 1000, "nonsense": "x"}])
def test_what_does_not_validate_is_not_remembered(shop: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        shop.payment_intents.create({"currency": "usd", **wrong}, {"idempotency_key": "k"})
    assert not replayed(shop.payment_intents.create(ASKED, {"idempotency_key": "k"}))


def test_rate_limits_are_not_remembered(shop: Any) -> None:
    pi = create(shop, 4290)
    params = {"payment_method": "pm_card_visa", "return_url": URL}
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert not replayed(shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"}))


def test_a_key_is_forgotten_after_a_day(sandbox: SandboxServer, shop: Any) -> None:
    first = shop.payment_intents.create(ASKED, {"idempotency_key": "k"})
    sandbox.advance("23h")
    assert shop.payment_intents.create(ASKED, {"idempotency_key": "k"}).id == first.id
    sandbox.advance("61m")
    assert shop.payment_intents.create(ASKED, {"idempotency_key": "k"}).id != first.id


def test_a_key_in_flight_is_in_use(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    params = {"payment_method": "pm_card_visa", "return_url": URL}
    sandbox.fault("delay:600", match={"path": "confirm"}, limit=1)
    done: list[Any] = []

    def confirm() -> None:
        with sandbox.stripe() as client:
            done.append(client.v1.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"}))

    thread = threading.Thread(target=confirm)
    thread.start()
    while not sandbox.control("GET", "faults")["faults"][0]["fired"]:
        pass
    with pytest.raises(stripe.APIError) as busy:
        shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert (busy.value.http_status, said(busy).code) == (409, "idempotency_key_in_use")
    sandbox.advance(601)
    thread.join()
    assert done[0].status == "requires_capture"
    assert replayed(shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"}))
