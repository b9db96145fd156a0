"""Random lives of orders: any command and fact in any order, biased so that they get far."""

from datetime import timedelta
from random import Random
from typing import Any

from domain import events as e
from domain.errors import Rejected
from domain.metadata import Sealed
from domain.money import Money
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.evolve import evolve
from domain.order.parts import Attempt
from domain.order.state import Order
from domain.order.steps import Step, steps
from domain.routing import Failover
from tests.domain.story import ORDER, START, decision, metadata

MERCHANTS = (c.Pay, c.RequestCapture, c.Cancel, c.RequestRefund, c.ResolveDiscrepancy)
"""Commands that may be refused."""


class Life:
    """One order's whole life, with all that was said on the way."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.order: Order | None = None
        self.events: list[e.OrderEvent] = []
        self.count = 0
        self.start()

    @property
    def now(self) -> Order:
        assert self.order is not None
        return self.order

    def start(self) -> None:
        hosted = self.random.random() < 0.4
        self.play(
            c.CreateOrder(
                amount=Money(1000, "USD"),
                capture_method=self.random.choice(["automatic", "manual"]),
                checkout_session_id="cs_1" if hosted else None,
                expires_at=START + timedelta(days=1) if hosted else None,
                personal=Sealed("key_1", b"box"),
            )
        )
        self.opening()

    def opening(self) -> None:
        """Go some way straight on, so that deep states are met often."""
        if self.random.random() < 0.9:
            self.play(pay_command(self.count))
        if self.now.attempts and self.random.random() < 0.5:
            attempt_id = self.now.attempts[-1].id
            self.play(c.RecordReference(attempt_id=attempt_id, reference="obj"))
            if self.random.random() < 0.5:
                deadline = START + timedelta(hours=1)
                self.play(
                    c.RecordChallenge(attempt_id=attempt_id, kind="redirect", deadline=deadline)
                )
        for _ in range(self.random.choice([0, 0, 1, 2, 3, 4])):
            due = [s for s in steps(self.now) if s.operation != "expire_session"]
            if not due:
                break
            first = answers(self.now, due[0], self.count)
            self.play(first[0] if self.random.random() < 0.5 else self.random.choice(first))
        if self.random.random() < 0.15:
            self.play(c.Cancel())

    def step(self) -> tuple[c.OrderCommand, tuple[e.OrderEvent, ...] | Rejected]:
        """Play one command."""
        command = self.draw()
        return command, self.play(command)

    def draw(self) -> c.OrderCommand:
        """What is due next, or whatever comes."""
        due = [s for s in steps(self.now) if s.operation != "expire_session"]
        roll = self.random.random()
        if due and roll < 0.45:
            return self.random.choice(answers(self.now, self.random.choice(due), self.count))
        return self.merchants() if roll < 0.65 else self.fact()

    def play(self, command: c.OrderCommand) -> tuple[e.OrderEvent, ...] | Rejected:
        self.count += 1
        try:
            events = decide(self.order, command)
        except Rejected as error:
            assert isinstance(command, MERCHANTS), command
            return error
        assert decide(self.order, command) == events, "deterministic"
        for event in events:
            meta = metadata(len(self.events))
            self.order = evolve(self.order, event, meta, stream_id=ORDER)
            self.events.append(event)
        return events

    def merchants(self) -> c.OrderCommand:
        """What a merchant, an operator or a timer may ask."""
        choose, n = self.random.choice, self.count
        amount = choose([None, None, 1, 300, 600, 1000, 1001])
        subject = choose([*self.now.quarantine, *self.now.quarantine, "att_unknown"])
        stray = choose([*(s.payment_id for s in self.now.strays), "pay_unknown"])
        explicit = choose([None, None, None, "stripe"])
        asked: list[c.OrderCommand] = [
            pay_command(n, explicit),
            c.RequestCapture(
                capture_id=f"cap_{n}",
                amount_minor=amount,
                final=choose([True, False]),
                partial=choose([True, True, False]),
                several=choose([True, True, False]),
            ),
            c.RequestRefund(refund_id=f"ref_{n}", amount_minor=amount),
            c.RequestRefund(refund_id=f"ref_{n}", amount_minor=choose([100, 400])),
            c.ResolveDiscrepancy(subject=subject, how="accepted_ours", capture_id=f"cap_{n}"),
            c.RefundStray(payment_id=stray, refund_id=f"ref_{n}"),
        ]
        if self.random.random() < 0.2:
            asked.append(c.ExpireSession())
        if self.random.random() < 0.5:
            asked.append(c.Cancel(can_void=choose([True, False])))
        if self.now.attempts:
            asked.append(c.WarnExpiring(attempt_id=self.attempt().id))
            asked.append(fail_over_command(n, choose(["stripe", "razorpay", None])))
        return choose(asked)

    def attempt(self) -> Attempt:
        """The live attempt mostly, an older one sometimes."""
        attempts = self.now.attempts
        return self.random.choice(attempts) if self.random.random() < 0.3 else attempts[-1]

    def fact(self) -> c.OrderCommand:
        """What a processor may report, true or absurd."""
        if not self.now.attempts:
            return pay_command(self.count)
        attempt, choose, n = self.attempt(), self.random.choice, self.count
        own = attempt.payment_id or f"pay_{attempt.id}"
        payment = choose([own, own, own, f"pay_other_{attempt.id}"])
        asked = [x.amount.minor for x in (*self.now.captures, *self.now.refunds)]
        absurd = self.random.random() < 0.15
        minor = choose([400, 900, 1100]) if absurd else choose([1000, *asked])
        currency = choose(["USD", "USD", "EUR", "XXX"]) if absurd else "USD"
        captures = [x.id for x in self.now.captures if x.attempt_id == attempt.id]
        refunds = [x.id for x in self.now.refunds]
        said: list[c.OrderCommand] = [
            *self.authorizing(attempt, payment, minor, currency),
            c.RecordCaptured(
                attempt_id=attempt.id,
                capture_id=choose([None, "cap_lost", *captures]),
                payment_id=payment,
                processor_id=choose([f"ch_{payment}", f"ch_{n}"]),
                amount_minor=minor,
                currency=currency,
                new_id=f"cap_{n}",
                refund_id=f"ref_{n}",
                remaining_expires_at=choose([None, START + timedelta(days=2)]),
            ),
            c.RecordVoided(attempt_id=attempt.id, payment_id=choose([None, payment])),
            c.RecordVoidFailed(attempt_id=attempt.id, code="void_refused"),
            c.RecordExpired(attempt_id=attempt.id, payment_id=choose([None, payment])),
            c.RecordRefunded(
                attempt_id=attempt.id,
                refund_id=choose([None, "ref_lost", *refunds, *refunds]),
                processor_id=f"re_{choose([n, n, 1])}",
                amount_minor=minor,
                currency=currency,
                new_id=f"ref_{n}",
                payment_id=choose([None, payment]),
            ),
            c.RecordDispute(
                dispute_id=choose(["dsp_1", f"dsp_{n}"]),
                attempt_id=attempt.id,
                processor_id=choose(["dp_1", "dp_2"]),
                amount_minor=minor,
                withdrawn_minor=choose([0, 300, minor]),
                reinstated_minor=choose([0, 0, 300]),
                reason="fraudulent",
                outcome=choose(["open", "open", "won", "lost", "withdrawn"]),
            ),
            self.fee(attempt, captures),
        ]
        if captures:
            hold: Any = choose(["held", "expired"])
            failed = c.RecordCaptureFailed(capture_id=choose(captures), code="no", hold=hold)
            said += [failed, unknown("capture", failed.capture_id, attempt.id)]
        if refunds:
            subject = choose(refunds)
            said += [c.RecordRefundFailed(refund_id=subject, code="no")]
            said += [unknown("refund", subject, attempt.id)]
        return choose(said)

    def fee(self, attempt: Attempt, captures: list[str]) -> c.RecordFee:
        """A fee of something, said under our name or the processor's, or given back."""
        of: Any = self.random.choice(["capture", "capture", "refund", "dispute"])
        parts = {"refund": self.now.refunds, "dispute": self.now.disputes}.get(of, ())
        ours = [x.id for x in parts] or [*captures, "cap_0"]
        theirs = [x.processor_id for x in parts if x.processor_id] or [f"pay_{attempt.id}", "ch_0"]
        named = self.random.random() < 0.5
        return c.RecordFee(
            attempt_id=attempt.id,
            of=of,
            subject=self.random.choice(ours) if named else None,
            reference=None if named else self.random.choice(theirs),
            amount=Money(
                self.random.choice([0, 30, -30]), self.random.choice(["USD", "USD", "EUR"])
            ),
            reversal=self.random.random() < 0.2,
        )

    def authorizing(
        self, attempt: Attempt, payment: str, minor: int, currency: str
    ) -> list[c.OrderCommand]:
        choose, n = self.random.choice, self.count
        failover = Failover(enabled=choose([True, True, False]), hops_max=choose([1, 2]))
        classes: list[Any] = ["failover", "failover", "later", "stop"]
        proofs: list[Any] = ["not_sent", "cancelled_at_processor", "capture_withheld"]
        code = choose(["processor_unavailable", "authentication_timeout"])
        return [
            c.RecordReference(attempt_id=attempt.id, reference=f"obj_{attempt.id}"),
            c.RecordChallenge(
                attempt_id=attempt.id, kind="redirect", deadline=START + timedelta(hours=1)
            ),
            c.RecordAuthorized(
                attempt_id=attempt.id,
                payment_id=payment,
                amount_minor=minor,
                currency=currency,
                capture_id=f"cap_{n}",
                capture_before=choose([None, START + timedelta(days=7)]),
            ),
            c.RecordDeclined(
                attempt_id=attempt.id,
                code="generic_decline",
                retry_class=choose(classes),
                closed=choose([True, False]),
                failover=failover,
            ),
            c.RecordFenced(
                attempt_id=attempt.id, proof=choose(proofs), code=code, failover=failover
            ),
            unknown("authorize", attempt.id, attempt.id),
            unknown("void", attempt.id, attempt.id),
        ]


def unknown(operation: e.Operation, subject: str, attempt_id: str) -> c.RecordUnknown:
    return c.RecordUnknown(
        attempt_id=attempt_id, operation=operation, subject=subject, cause="time-out"
    )


def pay_command(n: int, explicit: str | None = None) -> c.Pay:
    return c.Pay(
        attempt_id=f"att_{n}",
        decision=decision("stripe", explicit),
        account="acct_1",
        credential_version=1,
    )


def fail_over_command(n: int, processor: str | None) -> c.FailOver:
    return c.FailOver(
        attempt_id=f"att_{n}",
        decision=decision(processor) if processor else None,
        account="acct_1",
        credential_version=1,
    )


def answers(order: Order, step: Step, n: int) -> list[c.OrderCommand]:  # noqa: C901, PLR0912 - one case per step
    """What an honest processor may answer to a step; each answer brings the order on."""
    subject = step.subject
    attempt = order.attempt(subject)
    authorized = c.RecordAuthorized(
        attempt_id=subject,
        payment_id=f"pay_{subject}",
        amount_minor=order.amount.minor,
        currency=order.amount.currency,
        capture_id=f"cap_{n}",
        capture_before=START + timedelta(days=7) if n % 2 else None,
    )
    declined = c.RecordDeclined(
        attempt_id=subject,
        code="generic_decline",
        retry_class="failover",
        closed=n % 2 == 0,
        failover=Failover(),
    )
    match step.operation:
        case "authorize":
            return [authorized, declined, unknown("authorize", subject, subject)]
        case "lookup_authorize":
            return [authorized, declined, _closed(subject)]
        case "challenge" | "fence":
            return [_closed(subject), _closed(subject, "capture_withheld")]
        case "withhold":
            return [_closed(subject, "capture_withheld")]
        case "fail_over":
            return [fail_over_command(n, "razorpay"), fail_over_command(n, None)]
        case "void":
            refused = c.RecordVoidFailed(attempt_id=subject, code="no")
            return [c.RecordVoided(attempt_id=subject), refused]
        case "lookup_void":
            return [c.RecordVoided(attempt_id=subject)]
        case "void_stray":
            stray = order.stray(subject)
            assert stray is not None
            named: Any = {"attempt_id": stray.attempt_id, "payment_id": subject}
            return [c.RecordVoided(**named), c.RecordExpired(**named)]
        case "refund_stray":
            return [c.RefundStray(payment_id=subject, refund_id=f"ref_{n}")]
        case "warn_expiring":
            return [c.WarnExpiring(attempt_id=subject)]
        case "expire" | "watch_hold":
            assert attempt is not None
            return [c.RecordExpired(attempt_id=subject), c.RecordVoided(attempt_id=subject)]
        case "capture" | "lookup_capture":
            return _capture_answers(order, subject, n)
        case "refund" | "lookup_refund":
            return _refund_answers(order, subject, n)
        case "lookup_fee":
            return [_fee_answer(order, subject, n)]
        case "expire_session":
            return [c.ExpireSession()]


def _closed(attempt_id: str, proof: Any = "cancelled_at_processor") -> c.RecordFenced:
    return c.RecordFenced(attempt_id=attempt_id, proof=proof)


def _capture_answers(order: Order, capture_id: str, n: int) -> list[c.OrderCommand]:
    capture = order.capture(capture_id)
    assert capture is not None
    attempt = order.attempt(capture.attempt_id)
    assert attempt is not None
    assert attempt.payment_id is not None
    done = c.RecordCaptured(
        attempt_id=attempt.id,
        capture_id=capture_id,
        payment_id=attempt.payment_id,
        processor_id=f"ch_{n}",
        amount_minor=capture.amount.minor,
        currency=capture.amount.currency,
        new_id="cap_unused",
        refund_id="ref_unused",
        fee_expected=n % 2 == 0,
    )
    return [
        done,
        done,
        c.RecordCaptureFailed(capture_id=capture_id, code="no"),
        c.RecordCaptureFailed(capture_id=capture_id, code="no", hold="expired"),
    ]


def _fee_answer(order: Order, capture_id: str, n: int) -> c.RecordFee:
    """A fee in the currency of the order or, where the processor settles in another, in that."""
    capture = order.capture(capture_id)
    assert capture is not None
    assert capture.processor_id is not None
    amount = Money(30 + n % 7, "EUR" if n % 3 == 0 else "USD")
    return c.RecordFee(
        attempt_id=capture.attempt_id, of="capture", reference=capture.processor_id, amount=amount
    )


def _refund_answers(order: Order, refund_id: str, n: int) -> list[c.OrderCommand]:
    refund = order.refund(refund_id)
    assert refund is not None
    done = c.RecordRefunded(
        attempt_id=refund.attempt_id,
        refund_id=refund_id,
        processor_id=f"re_{n}",
        amount_minor=refund.amount.minor,
        currency=refund.amount.currency,
        new_id="ref_unused",
        payment_id=refund.payment_id,
    )
    return [done, done, c.RecordRefundFailed(refund_id=refund_id, code="no")]
