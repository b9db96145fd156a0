"""How a rule is told: given these commands, when that one, then these events; and the parts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import events as e
from domain.errors import Rejected
from domain.metadata import Actor, Metadata
from domain.money import Money
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.evolve import evolve
from domain.order.state import Order
from domain.order.steps import steps
from domain.routing import Account, Candidate, Decision, Failover, Inputs

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = "ord_01h455vb4pex5vsknk084sn02q"
NO_FAILOVER = Failover(enabled=False)
DAY = timedelta(days=1)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def metadata(number: int = 0) -> Metadata:
    return Metadata(
        event_id=f"evt_{number}",
        merchant_id="mer_1",
        mode="test",
        occurred_at=START + timedelta(seconds=number),
        actor=Actor("api_key", "key_1"),
        correlation_id=f"corr_{number}",
    )


def decision(processor: str | None = "stripe", explicit: str | None = None) -> Decision:
    accounts = tuple(
        Account(processor=name, fingerprint="acct_1", credential_version=1)
        for name in ("stripe", "razorpay")
    )
    inputs = Inputs(
        order_id=ORDER, amount_minor=1000, currency="USD", explicit=explicit, accounts=accounts
    )
    candidates = tuple(
        Candidate(name, name == processor, "eligible" if name == processor else "disabled")
        for name in ("stripe", "razorpay")
    )
    return Decision(
        policy_version=1, rule="default", inputs=inputs, candidates=candidates, chosen=processor
    )


class Story:
    """An order and all that happened to it; `do` plays on, `when` tells what one command gives."""

    def __init__(self) -> None:
        self.order: Order | None = None
        self.history: list[e.OrderEvent] = []
        self.last: tuple[e.OrderEvent, ...] = ()

    @property
    def now(self) -> Order:
        assert self.order is not None
        return self.order

    def given(self, *events: e.OrderEvent) -> "Story":
        for event in events:
            meta = metadata(len(self.history))
            self.order = evolve(self.order, event, meta, stream_id=ORDER)
            self.history.append(event)
        return self

    def do(self, *commands: c.OrderCommand) -> "Story":
        for command in commands:
            self.last = decide(self.order, command)
            self.given(*self.last)
        return self

    def must(self, *commands: c.OrderCommand) -> "Story":
        """Play commands that must not come to nothing: a story has no idle lines."""
        for command in commands:
            assert self.do(command).last, command
        return self

    def when(self, command: c.OrderCommand) -> "Outcome":
        return Outcome(self, command)

    def tags(self) -> list[str]:
        return [short(event) for event in self.history]

    def steps(self) -> list[tuple[str, str]]:
        return [(step.operation, step.subject) for step in steps(self.now)]

    def amounts(self) -> tuple[int, int, int]:
        order = self.now
        return order.amount_authorized, order.amount_captured, order.amount_refunded


class Outcome:
    """What one command gives."""

    def __init__(self, story: Story, command: c.OrderCommand) -> None:
        self.story, self.command = story, command

    def then(self, *kinds: type[e.Event], **fields: Any) -> Story:
        """The events' types in order; fields are those of the last one."""
        self.story.do(self.command)
        found = self.story.last
        assert [type(event) for event in found] == list(kinds), found
        if fields:
            assert {name: getattr(found[-1], name) for name in fields} == fields
        return self.story

    def then_nothing(self) -> Story:
        return self.then()

    def then_refused(self, code: str) -> Story:
        with pytest.raises(Rejected) as refusal:
            decide(self.story.order, self.command)
        assert refusal.value.code == code
        assert refusal.value.message
        return self.story


def short(event: e.Event) -> str:
    return e.tag_of(event).removeprefix("order.").removesuffix(".v1")


def create(*, hosted: bool = False, **fields: Any) -> c.CreateOrder:
    if hosted:
        fields |= {"checkout_session_id": "cs_1", "expires_at": START + DAY}
    return c.CreateOrder(amount=fields.pop("amount", usd(1000)), **fields)


def pay(attempt: str = "att_1", processor: str | None = "stripe", **fields: Any) -> c.Pay:
    explicit = fields.pop("explicit", None)
    return c.Pay(
        attempt_id=attempt,
        decision=decision(processor, explicit),
        account="acct_1",
        credential_version=1,
        **fields,
    )


def fail_over(attempt: str = "att_2", processor: str | None = "razorpay") -> c.FailOver:
    chosen = None if processor is None else decision(processor)
    return c.FailOver(attempt_id=attempt, decision=chosen, account="acct_2", credential_version=1)


def referenced(attempt: str = "att_1") -> c.RecordReference:
    return c.RecordReference(attempt_id=attempt, reference=f"ref_of_{attempt}")


def challenged(attempt: str = "att_1") -> c.RecordChallenge:
    return c.RecordChallenge(attempt_id=attempt, kind="redirect", deadline=START + DAY)


def authorized(attempt: str = "att_1", minor: int = 1000, **fields: Any) -> c.RecordAuthorized:
    values: dict[str, Any] = {
        "attempt_id": attempt,
        "payment_id": f"pay_{attempt}",
        "amount_minor": minor,
        "currency": "USD",
        "capture_id": f"cap_of_{attempt}",
    }
    return c.RecordAuthorized(**(values | fields))


def declined(
    attempt: str = "att_1",
    retry_class: Any = "failover",
    *,
    closed: bool = False,
    failover: Failover | None = None,
) -> c.RecordDeclined:
    return c.RecordDeclined(
        attempt_id=attempt,
        code="generic_decline",
        retry_class=retry_class,
        closed=closed,
        failover=failover or Failover(),
        message="No.",
    )


def unknown(operation: e.Operation, subject: str, attempt: str = "att_1") -> c.RecordUnknown:
    return c.RecordUnknown(
        attempt_id=attempt, operation=operation, subject=subject, cause="time-out"
    )


def fenced(
    attempt: str = "att_1", proof: e.Proof = "cancelled_at_processor", **fields: Any
) -> c.RecordFenced:
    return c.RecordFenced(attempt_id=attempt, proof=proof, **fields)


def captured(
    capture: str | None = "cap_of_att_1",
    minor: int = 1000,
    attempt: str = "att_1",
    **fields: Any,
) -> c.RecordCaptured:
    values: dict[str, Any] = {
        "attempt_id": attempt,
        "capture_id": capture,
        "payment_id": f"pay_{attempt}",
        "processor_id": f"ch_{capture or 'unasked'}_{attempt}",
        "amount_minor": minor,
        "currency": "USD",
        "new_id": f"cap_new_{attempt}",
        "refund_id": f"ref_stray_{attempt}",
    }
    return c.RecordCaptured(**(values | fields))


def refunded(
    refund: str | None = "ref_1", minor: int = 1000, attempt: str = "att_1", **fields: Any
) -> c.RecordRefunded:
    values: dict[str, Any] = {
        "attempt_id": attempt,
        "refund_id": refund,
        "processor_id": f"re_{refund or 'unasked'}_{minor}",
        "amount_minor": minor,
        "currency": "USD",
        "new_id": "ref_new",
        "payment_id": f"pay_{attempt}",
    }
    return c.RecordRefunded(**(values | fields))


def refund(minor: int | None = None, refund_id: str = "ref_1") -> c.RequestRefund:
    return c.RequestRefund(refund_id=refund_id, amount_minor=minor)


def capture(minor: int | None = None, capture_id: str = "cap_1", **fields: Any) -> c.RequestCapture:
    return c.RequestCapture(capture_id=capture_id, amount_minor=minor, **fields)


def dispute(withdrawn: int = 0, outcome: Any = "open", minor: int = 1000) -> c.RecordDispute:
    return c.RecordDispute(
        dispute_id="dsp_1",
        attempt_id="att_1",
        processor_id="dp_1",
        amount_minor=minor,
        withdrawn_minor=withdrawn,
        reason="fraudulent",
        outcome=outcome,
    )


def resolve(subject: str) -> c.ResolveDiscrepancy:
    return c.ResolveDiscrepancy(subject=subject, how="accepted_ours", capture_id="cap_resolved")


def story(*commands: c.OrderCommand, **fields: Any) -> Story:
    """An order with the default amount of 10.00 USD, to which all of these happened."""
    return Story().must(create(**fields), *commands)


def in_flight(**fields: Any) -> Story:
    return story(pay(), referenced(), **fields)


def held(**fields: Any) -> Story:
    """A manual order whose money is held."""
    return story(pay(), referenced(), authorized(), capture_method="manual", **fields)


def taken(**fields: Any) -> Story:
    """An automatic order, captured in full."""
    return in_flight(**fields).must(authorized(), captured())
