"""What is sent to a processor: it comes from the log alone."""

from commands.processor import AttemptCall, MoneyCall
from domain.money import Money
from domain.order.parts import Attempt
from domain.order.state import Order


def attempt_call(order: Order, attempt: Attempt) -> AttemptCall:
    """Return what is sent for an attempt, from the log alone."""
    return AttemptCall(
        order_id=order.id,
        attempt_id=attempt.id,
        merchant_id=order.merchant_id,
        mode=order.mode,
        amount=order.amount,
        idempotency_key=attempt.idempotency_key,
        correlation_id=attempt.correlation_id,
        token=attempt.token,
        return_url=attempt.return_url,
        challenge_timeout_s=attempt.challenge_timeout_s,
    )


def money_call(
    order: Order,
    attempt: Attempt,
    subject: str,
    amount: Money,
    key: str,
    payment_id: str | None = None,
    *,
    final: bool = True,
) -> MoneyCall:
    """Return what is sent to move held or captured money, from the log alone."""
    assert attempt.reference is not None, "money is at a reference"
    return MoneyCall(
        order_id=order.id,
        attempt_id=attempt.id,
        merchant_id=order.merchant_id,
        mode=order.mode,
        subject=subject,
        reference=attempt.reference,
        payment_id=payment_id or attempt.payment_id or attempt.reference,
        amount=amount,
        idempotency_key=key,
        correlation_id=attempt.correlation_id,
        final=final,
    )
