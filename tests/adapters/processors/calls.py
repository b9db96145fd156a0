"""The calls that the tests of both vendors make."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from commands.observed import Absent, Observed
from commands.outcomes import Outcome, Referenced, Unknown
from commands.processor import AttemptCall, Credentials, MoneyCall, Processor
from domain.money import Money

Answer: TypeAlias = Outcome | Referenced | Observed | Absent | Unknown
Verb: TypeAlias = Callable[[Processor, Credentials], Awaitable[Answer]]


def attempt(
    minor: int = 1000,
    currency: str = "USD",
    token: str | None = "pm_card_visa",  # noqa: S107
) -> AttemptCall:
    return AttemptCall(
        order_id="ord_1",
        attempt_id="att_1",
        merchant_id="mer_1",
        mode="test",
        amount=Money(minor, currency),
        idempotency_key="pay:att_1",
        correlation_id="req_1",
        token=token,
        return_url="http://127.0.0.1:3000/checkout/ord_1/return",
    )


def money(
    subject: str, reference: str, payment: str, minor: int = 1000, currency: str = "USD"
) -> MoneyCall:
    return MoneyCall(
        order_id="ord_1",
        attempt_id="att_1",
        merchant_id="mer_1",
        mode="test",
        subject=subject,
        reference=reference,
        payment_id=payment,
        amount=Money(minor, currency),
        idempotency_key=f"key:{subject}",
        correlation_id="req_1",
    )


def verbs(reference: str, payment: str) -> dict[str, Verb]:
    """Every verb that sends."""
    capture, void = money("cap_1", reference, payment), money("att_1", reference, payment)
    refund = money("ref_1", reference, payment)
    return {
        "prepare": lambda p, c: p.prepare(attempt(), c),
        "authorize": lambda p, c: p.authorize(attempt(), reference, c),
        "capture": lambda p, c: p.capture(capture, c),
        "void": lambda p, c: p.void(void, c),
        "refund": lambda p, c: p.refund(refund, c),
        "lookup": lambda p, c: p.lookup(reference, "authorize", c),
    }


STRIPE: Final = verbs("pi_1", "ch_1")
RAZORPAY: Final = verbs("order_1", "pay_1")
