"""The decider: every command and the rule that answers it. Pure."""

from typing import assert_never

from domain.order import attempt_facts, money_facts, requests
from domain.order import commands as c
from domain.order.rules import Events
from domain.order.state import Order


def decide(order: Order | None, command: c.OrderCommand) -> Events:  # noqa: C901, PLR0912 - one case per command
    """Return the events that the command gives in this state, none when nothing new is said.

    Raises:
        Rejected: `invalid_status`, `order_quarantined`, `no_processor`,
            `partial_capture_unsupported`, `capture_exceeds_authorization`,
            `refund_exceeds_captured`.
    """
    if isinstance(command, c.CreateOrder):
        assert order is None, "an order is created once"
        return requests.create(command)
    assert order is not None, "only an order that exists takes commands"
    match command:
        case c.Pay():
            return requests.pay(order, command)
        case c.FailOver():
            return requests.fail_over(order, command)
        case c.RequestCapture():
            return requests.request_capture(order, command)
        case c.Cancel():
            return requests.cancel(order, command)
        case c.RequestRefund():
            return requests.request_refund(order, command)
        case c.RefundStray():
            return requests.refund_stray(order, command)
        case c.WarnExpiring():
            return requests.warn_expiring(order, command)
        case c.ExpireSession():
            return requests.expire_session(order)
        case c.ResolveDiscrepancy():
            return requests.resolve(order, command)
        case c.RecordReference():
            return attempt_facts.record_reference(order, command)
        case c.RecordChallenge():
            return attempt_facts.record_challenge(order, command)
        case c.RecordAuthorized():
            return attempt_facts.record_authorized(order, command)
        case c.RecordDeclined():
            return attempt_facts.record_declined(order, command)
        case c.RecordUnknown():
            return attempt_facts.record_unknown(order, command)
        case c.RecordFenced():
            return attempt_facts.record_fenced(order, command)
        case c.RecordCaptured():
            return money_facts.record_captured(order, command)
        case c.RecordCaptureFailed():
            return money_facts.record_capture_failed(order, command)
        case c.RecordVoided():
            return attempt_facts.record_voided(order, command)
        case c.RecordVoidFailed():
            return attempt_facts.record_void_failed(order, command)
        case c.RecordExpired():
            return attempt_facts.record_expired(order, command)
        case c.RecordRefunded():
            return money_facts.record_refunded(order, command)
        case c.RecordRefundFailed():
            return money_facts.record_refund_failed(order, command)
        case c.RecordDispute():
            return money_facts.record_dispute(order, command)
        case c.RecordFee():
            return money_facts.record_fee(order, command)
        case _:
            assert_never(command)
