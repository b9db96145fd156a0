"""Every test card and every magic amount of the Stripe dialect."""

from typing import Any

import pytest
import stripe

from adapters.sandbox_server.outcomes import AMOUNTS
from adapters.sandbox_server.stripe_dialect.methods import CARDS
from tests.adapters.sandbox_server.stripe_shop import captured, confirm, create, held, kinds, said
from tests.sandbox_server import SandboxServer

DECLINES = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", None),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", "processing_error"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": (
        "card_declined",
        "card_velocity_exceeded",
    ),
    "pm_card_chargeDeclinedFraudulent": ("card_declined", "fraudulent"),
    "pm_card_chargeCustomerFail": ("card_declined", "generic_decline"),
    "pm_card_radarBlock": ("card_declined", "fraudulent"),
    4001: ("card_declined", "generic_decline"),
    4002: ("card_declined", "insufficient_funds"),
    4003: ("card_declined", "fraudulent"),
    4004: ("expired_card", "expired_card"),
    4005: ("processing_error", "processing_error"),
    4006: ("card_declined", "do_not_honor"),
    4007: ("card_declined", "lost_card"),
}
GOOD = ["pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_in", "pm_card_de",
        "pm_card_gb", "pm_card_threeDSecureOptional"]  # fmt: skip
ASKED = {
    "pm_card_threeDSecure2Required": "requires_capture",
    "pm_card_threeDSecureRequired": "requires_capture",
    "pm_card_authenticationRequired": "requires_capture",
    "pm_card_authenticationRequiredOnSetup": "requires_capture",
    "pm_card_authenticationRequiredSetupForOffSession": "requires_capture",
    "pm_card_threeDSecureRequiredChargeDeclined": "requires_payment_method",
    "pm_card_threeDSecureRequiredProcessingError": "requires_payment_method",
    3001: "requires_capture",
    3002: "requires_payment_method",
    3003: "requires_action",
}
DISPUTED = {
    "pm_card_createDispute": "needs_response",
    "pm_card_createDisputeProductNotReceived": "needs_response",
    "pm_card_createDisputeInquiry": "warning_needs_response",
}
REFUNDED = {"pm_card_pendingRefund", "pm_card_refundFail"}
STRUCK: dict[int, tuple[type[stripe.StripeError], int | None, bool]] = {
    4010: (stripe.AuthenticationError, 401, False),
    5001: (stripe.APIError, 500, False),
    5002: (stripe.APIError, 500, True),
    5003: (stripe.APIError, 502, False),
    5004: (stripe.APIConnectionError, None, True),
    5005: (stripe.APIConnectionError, None, False),
    5006: (stripe.APIConnectionError, None, True),
    5007: (stripe.APIConnectionError, None, True),
}
"""The error, its status, and whether the money is held all the same."""


def arranged(shop: Any, asked: int | str) -> tuple[Any, str]:
    """A payment and the card for it: an amount is paid with a good card, a card pays 10.00."""
    if isinstance(asked, int):
        return create(shop, asked), "pm_card_visa"
    return create(shop), asked


def test_every_card_and_amount_has_its_test() -> None:
    elsewhere = {2001, 2002, 2003, 4090, 4290, 5008, 9001, 9002, 9003}
    deliveries = {code for code in AMOUNTS if 7000 < code < 8000}  # test_webhooks.py
    after = {8001, 8002, 8003, 8004}
    amounts = {code for code in (*DECLINES, *ASKED) if isinstance(code, int)} | set(STRUCK)
    assert amounts | elsewhere | deliveries | after == set(AMOUNTS)
    cards = {name for name in (*DECLINES, *ASKED, *DISPUTED) if isinstance(name, str)}
    assert cards | set(GOOD) | REFUNDED == set(CARDS)


@pytest.mark.parametrize("card", GOOD)
def test_good_cards(shop: Any, card: str) -> None:
    assert held(shop, 1000, card).status == "requires_capture"


@pytest.mark.parametrize("asked", DECLINES)
def test_declines(sandbox: SandboxServer, shop: Any, asked: int | str) -> None:
    pi, card = arranged(shop, asked)

    with pytest.raises(stripe.CardError) as declined:
        confirm(shop, pi, card)

    error = said(declined)
    found = error.to_dict()
    assert declined.value.http_status == 402
    assert (error.code, found.get("decline_code")) == DECLINES[asked]
    assert found["payment_intent"]["status"] == "requires_payment_method"
    pi = shop.payment_intents.retrieve(pi.id, {"expand": ["latest_charge"]})
    assert pi.last_payment_error.code == error.code
    assert pi.latest_charge.status == "failed"
    assert kinds(shop)[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    assert sandbox.books()["orders"]["ord_1"]["authorized"] == 0


def test_a_lost_card_is_not_to_be_tried_again(shop: Any) -> None:
    with pytest.raises(stripe.CardError) as declined:
        held(shop, 4007)
    assert said(declined).to_dict()["advice_code"] == "do_not_try_again"


@pytest.mark.parametrize("asked", ASKED)
def test_authentication(sandbox: SandboxServer, shop: Any, asked: int | str) -> None:
    pi = confirm(shop, *arranged(shop, asked))
    assert pi.status == "requires_action"

    sandbox.page("POST", f"/3ds/{pi.id}/approve")

    assert shop.payment_intents.retrieve(pi.id).status == ASKED[asked]


@pytest.mark.parametrize("card", DISPUTED)
def test_disputed_cards(sandbox: SandboxServer, shop: Any, card: str) -> None:
    pi = captured(shop, 1000, card)
    sandbox.advance(2)
    [dispute] = shop.disputes.list({"payment_intent": pi.id}).data
    assert dispute.status == DISPUTED[card]


@pytest.mark.parametrize("amount", STRUCK)
def test_unknown_outcomes(sandbox: SandboxServer, shop: Any, amount: int) -> None:
    error, status, effect = STRUCK[amount]
    pi = create(shop, amount)

    with sandbox.stripe(timeout_s=1) as hasty, pytest.raises(error) as struck:
        confirm(hasty.v1, pi)

    assert struck.value.http_status == status
    found = shop.payment_intents.retrieve(pi.id).status
    assert found == ("requires_capture" if effect else "requires_payment_method")
    assert sandbox.books()["orders"]["ord_1"]["held"] == (amount if effect else 0)


def test_an_answer_that_got_lost_can_be_had_again(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop, 5004)
    params = {"payment_method": "pm_card_visa", "return_url": "http://127.0.0.1/"}
    with pytest.raises(stripe.APIConnectionError):
        shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "once"})

    again = shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "once"})

    assert again.status == "requires_capture"
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert sandbox.books()["orders"]["ord_1"]["authorized"] == 5004


def test_the_first_call_is_dropped_and_the_second_goes_through(shop: Any) -> None:
    pi = create(shop, 5008)
    with pytest.raises(stripe.APIConnectionError):
        confirm(shop, pi)
    assert confirm(shop, pi).status == "requires_capture"


def test_too_many_requests_twice(shop: Any) -> None:
    pi = create(shop, 4290)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as limited:
            confirm(shop, pi)
        assert limited.value.http_status == 429
    assert confirm(shop, pi).status == "requires_capture"


def test_in_flight_for_five_seconds(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop, 4090)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as busy:
            confirm(shop, pi)
        assert (busy.value.http_status, said(busy).code) == (409, "idempotency_key_in_use")
    sandbox.advance(5)
    assert confirm(shop, pi).status == "requires_capture"


def test_slow_before_the_effect(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop, 2001)
    with sandbox.stripe(timeout_s=0.5) as hasty, pytest.raises(stripe.APIConnectionError):
        confirm(hasty.v1, pi)
    assert shop.payment_intents.retrieve(pi.id).status == "requires_payment_method"


@pytest.mark.parametrize(
    ("amount", "status"), [(2002, "requires_capture"), (2003, "requires_payment_method")]
)
def test_processing_takes_thirty_seconds(
    sandbox: SandboxServer, shop: Any, amount: int, status: str
) -> None:
    pi = held(shop, amount)
    assert pi.status == "processing"
    with pytest.raises(stripe.InvalidRequestError):
        shop.payment_intents.cancel(pi.id)
    sandbox.advance(30)
    assert shop.payment_intents.retrieve(pi.id).status == status


@pytest.mark.parametrize("asked", [8001, "pm_card_pendingRefund"])
def test_refunds_that_take_their_time(sandbox: SandboxServer, shop: Any, asked: int | str) -> None:
    pi = shop.payment_intents.capture(confirm(shop, *arranged(shop, asked)).id)
    refund = shop.refunds.create({"payment_intent": pi.id, "amount": 100})
    assert refund.status == "pending"
    sandbox.advance(30)
    assert shop.refunds.retrieve(refund.id).status == "succeeded"


@pytest.mark.parametrize("asked", [8002, "pm_card_refundFail"])
def test_refunds_that_come_back(sandbox: SandboxServer, shop: Any, asked: int | str) -> None:
    pi = shop.payment_intents.capture(confirm(shop, *arranged(shop, asked)).id)
    refund = shop.refunds.create({"payment_intent": pi.id, "amount": 100})
    assert refund.status == "succeeded"
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 100

    sandbox.advance(30)

    refund = shop.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert (refund.status, refund.failure_reason) == ("failed", "expired_or_canceled_card")
    assert refund.failure_balance_transaction.amount == 100
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 0
    assert "refund.failed" in kinds(shop)


@pytest.mark.parametrize(("amount", "status"), [(8003, "lost"), (8004, "won")])
def test_disputes_that_end(sandbox: SandboxServer, shop: Any, amount: int, status: str) -> None:
    pi = captured(shop, amount)
    sandbox.advance(70)
    [dispute] = shop.disputes.list({"payment_intent": pi.id}).data
    moved = [movement.amount for movement in dispute.balance_transactions]
    assert dispute.status == status
    assert moved == ([-amount] if status == "lost" else [-amount, amount])
    assert dispute.balance_transactions[0].fee == 1500
