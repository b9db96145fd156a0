"""Declines and their classes; what a PaymentIntent shows."""

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.processors import stripe_answers as answers
from adapters.processors.stripe_observed import observed
from adapters.processors.stripe_problems import decline
from commands.observed import Observed
from commands.outcomes import Declined, Pending, Succeeded, Unknown
from domain.routing import RetryClass

CHARGE = {
    "id": "ch_1",
    "status": "succeeded",
    "amount": 1000,
    "created": 1_700_000_000,
    "payment_method_details": {"card": {"capture_before": 1_700_600_000}},
}


def intent(status: str, **more: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {"latest_charge": None, "last_payment_error": None, "metadata": {}}
    given = {"id": "pi_1", "status": status, "currency": "usd", "created": 1_700_000_000}
    return blank | given | more


@pytest.mark.parametrize(
    ("theirs", "code", "retry_class"),
    [
        (
            {"code": "card_declined", "decline_code": "generic_decline"},
            "generic_decline",
            "failover",
        ),
        ({"code": "card_declined", "decline_code": "lost_card"}, "lost_card", "stop"),
        ({"code": "card_declined", "decline_code": "pickup_card"}, "pickup_card", "stop"),
        ({"code": "incorrect_cvc"}, "incorrect_cvc", "fix_input"),
        ({"code": "expired_card", "decline_code": "expired_card"}, "expired_card", "fix_input"),
        ({"code": "authentication_required"}, "authentication_required", "authenticate"),
        (
            {"code": "payment_intent_authentication_failure"},
            "authentication_failed",
            "authenticate",
        ),
        ({"decline_code": "insufficient_funds"}, "insufficient_funds", "later"),
        ({"code": "processing_error"}, "processing_error", "failover"),
        ({"decline_code": "duplicate_transaction"}, "duplicate_transaction", "check_first"),
        ({"decline_code": "one_of_next_year"}, "one_of_next_year", "later"),
        ({}, "generic_decline", "failover"),
        (
            {"decline_code": "do_not_honor", "advice_code": "do_not_try_again"},
            "do_not_honor",
            "stop",
        ),
        (
            {"decline_code": "generic_decline", "advice_code": "confirm_card_data"},
            "generic_decline",
            "fix_input",
        ),
    ],
)
def test_a_decline_has_our_code_and_its_class(
    theirs: dict[str, Any], code: str, retry_class: RetryClass
) -> None:
    no = decline(theirs)
    assert (no.code, no.retry_class) == (code, retry_class)


def test_why_a_card_is_lost_or_stolen_is_not_told_to_the_customer() -> None:
    no = decline({"decline_code": "stolen_card", "message": "This card was stolen."})
    assert no.message == "The card was declined."


@pytest.mark.parametrize(
    ("pi", "status"),
    [
        (intent("requires_payment_method"), "open"),
        (intent("requires_payment_method", last_payment_error={"code": "x"}), "declined"),
        (intent("requires_confirmation"), "open"),
        (intent("requires_action", client_secret="s"), "challenged"),
        (intent("processing"), "processing"),
        (intent("requires_capture", latest_charge=CHARGE, amount_capturable=1000), "authorized"),
        (intent("succeeded", latest_charge=CHARGE, amount_received=1000), "captured"),
        (intent("canceled"), "cancelled"),
        (intent("canceled", cancellation_reason="automatic"), "cancelled"),
        (intent("canceled", cancellation_reason="requested_by_customer", latest_charge=CHARGE),
         "cancelled"),
        (intent("canceled", cancellation_reason="automatic", latest_charge=CHARGE), "expired"),
    ],
)  # fmt: skip
def test_every_status_has_its_meaning(pi: dict[str, Any], status: str) -> None:
    seen = observed(pi, [], None)
    assert isinstance(seen, Observed)
    assert seen.status == status


def test_a_status_of_next_year_is_a_doubt() -> None:
    assert isinstance(observed(intent("requires_patience"), [], None), Unknown)


def test_a_refused_card_on_the_page_does_not_end_the_attempt() -> None:
    pi = intent(
        "requires_payment_method",
        metadata={"card": "collect"},
        client_secret="s",
        last_payment_error={"code": "card_declined"},
    )
    seen = observed(pi, [], "pk_test_1")
    assert isinstance(seen, Observed)
    assert seen.status == "challenged"
    assert seen.challenge is not None
    assert (seen.challenge.kind, seen.challenge.publishable_key) == (
        "collect_payment_method",
        "pk_test_1",
    )


def test_the_hold_ends_when_the_charge_says_so() -> None:
    pi = intent("requires_capture", latest_charge=CHARGE, amount_capturable=1000)
    fact = answers.authorization(pi)
    assert fact.capture_before == datetime.fromtimestamp(1_700_600_000, UTC)
    assert (fact.amount_minor, fact.payment_id) == (1000, "ch_1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [("succeeded", Succeeded), ("pending", Pending), ("requires_action", Pending),
     ("failed", Declined), ("canceled", Declined), ("new", Unknown), (None, Unknown)],
)  # fmt: skip
def test_every_status_of_a_refund_has_its_class(status: str | None, kind: type) -> None:
    refund = {"id": "re_1", "amount": 5, "currency": "usd", "created": 1, "status": status}
    assert isinstance(answers.refunded(refund, "ch_1"), kind)
