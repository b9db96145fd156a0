"""What holds in every life of an order, whatever comes and in which order it comes."""

import itertools
from collections import Counter
from random import Random
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from domain import events as e
from domain.errors import Rejected
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.evolve import fold
from domain.order.rules import STRAY_REFUNDS_MAX
from domain.order.state import Order, OrderStatus
from domain.order.steps import OPENS, steps
from tests.domain.histories import Life, answers
from tests.domain.story import ORDER, START, metadata

RANDOM = st.randoms(use_true_random=False, note_method_calls=False)
SLOW = settings(
    max_examples=100,
    deadline=None,
    # A life is told in the failure; making it shorter takes minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LENGTH = 40


class Auditor:
    """Keeps books of its own from the events alone, and compares."""

    def __init__(self) -> None:
        self.holds: Counter[str] = Counter()
        self.captured: Counter[str] = Counter()
        self.permitted: set[str] = set()
        self.over = False
        self.no_more_captures = False
        self.unasked_refunds = False
        self.asked: set[str] = set()

    def see(self, found: e.OrderEvent) -> None:  # noqa: C901 - one case per event
        match found:
            case e.OrderAuthorized():
                assert found.attempt_id not in self.holds, "held twice"
                self.holds[found.attempt_id] += found.amount.minor
            case e.OrderCaptured():
                assert found.amount.minor > 0
                assert found.released.minor >= 0
                assert found.remaining.minor >= 0
                self.holds[found.attempt_id] -= found.amount.minor + found.released.minor
                self.captured[found.attempt_id] += found.amount.minor
                assert self.holds[found.attempt_id] == found.remaining.minor
            case e.CaptureFailed():
                self.holds[found.attempt_id] -= found.released.minor if found.released else 0
            case e.OrderVoided() | e.AuthorizationExpired():
                if found.payment_id is None:
                    self.holds[found.attempt_id] -= found.amount.minor
            case e.CaptureRequested():
                assert not self.no_more_captures, "captured after a cancel or an end"
                self.permitted.add(found.attempt_id)
                assert len(self.permitted) == 1, "one attempt captures"
            case e.CancelRequested():
                self.no_more_captures = True
            case e.OrderCancelled() | e.OrderFailed() | e.OrderExpired():
                assert not self.over, "an order ends once"
                self.over = self.no_more_captures = True
            case e.RefundRequested():
                self.asked.add(found.refund_id)
            case e.OrderRefunded():
                self.unasked_refunds |= found.refund_id not in self.asked
            case e.RefundFailed() | e.RefundReversed():
                # It may still succeed later: then it is a fact that nobody asked for any more.
                self.asked.discard(found.refund_id)
            case _:
                pass

    def compare(self, order: Order) -> None:
        for attempt in order.attempts:
            held = attempt.held.minor if attempt.held else 0
            assert held == self.holds[attempt.id]
            assert held >= 0
            authorized = attempt.authorized.minor if attempt.authorized else 0
            assert self.captured[attempt.id] <= authorized
        assert sum(self.captured.values()) == order.amount_captured <= order.amount.minor
        assert len([a for a in self.captured if self.captured[a]]) <= 1, "one attempt captures"
        assert len([a for a in order.attempts if a.can_take_money]) <= 1, "one attempt is open"
        if order.ended:
            assert not any(a.can_take_money for a in order.attempts), "ends are proven"
            assert order.amount_captured == 0
            assert order.pending_capture is None
        if not self.unasked_refunds:
            pending = [
                r.amount.minor
                for r in order.refunds
                if r.kind == "merchant" and r.status in {"pending", "unknown"}
            ]
            assert order.amount_refunded + sum(pending) <= order.amount_captured


def check_payment(order: Order, command: c.OrderCommand, found: tuple[e.OrderEvent, ...]) -> None:
    """What is said of one payment never counts for another one."""
    if not isinstance(command, c.RecordCaptured | c.RecordVoided | c.RecordExpired):
        return
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None
    for one in found:
        match one:
            case e.OrderCaptured():
                assert (one.attempt_id, attempt.payment_id) == (attempt.id, command.payment_id)
            case e.OrderVoided(payment_id=None) | e.AuthorizationExpired(payment_id=None):
                assert command.payment_id in {None, attempt.payment_id}
            case e.OrderVoided() | e.AuthorizationExpired():
                assert command.payment_id in {None, one.payment_id}
            case _:
                pass


def waits_for_somebody(order: Order) -> bool:
    """Whether it is the merchant, the customer or an operator who has to do the next thing."""
    live = order.live
    if order.quarantine or live is None or order.awaits_customer:
        return True
    if live.status == "authorized":
        return live.void_key is None and not order.cancel_requested and not live.capture_before
    if live.status == "captured":
        return not live.capture_before or not live.held or not live.held.minor
    return False


def owes_nothing(order: Order) -> bool:
    withheld = any(
        a.proof == "capture_withheld" and a.held and a.held.minor for a in order.attempts
    )
    refunds = any(r.status in {"pending", "unknown"} for r in order.refunds)
    return not withheld and not refunds and not any(s.open for s in order.strays)


def check_money_is_watched(order: Order) -> None:
    """Money that is held, awaited or stray has a step, or somebody who has to do the next thing."""
    if order.quarantine:
        return
    subjects = {step.subject for step in steps(order)}
    for attempt in order.attempts:
        left_to_merchant = not order.ended and (order.pending_capture or waits_for_somebody(order))
        if attempt.held and attempt.held.minor and not left_to_merchant:
            assert attempt.id in subjects, attempt
        if attempt.can_take_money and attempt.status != "authorized":
            assert attempt.id in subjects, attempt
            assert not order.awaits_customer, "the customer is asked once nothing is open"
        if attempt.void_key:
            assert attempt.id in subjects, attempt
    for part in (*order.captures, *order.refunds):
        if part.status in {"pending", "unknown"}:
            assert part.id in subjects, part
    for stray in order.strays:
        refunds = {refund.id for refund in order.stray_refunds(stray)}
        if stray.open and len(refunds) < STRAY_REFUNDS_MAX:
            assert {stray.payment_id, *refunds} & subjects, stray


def check_awaited(order: Order) -> None:
    """What is awaited can still come: a capture of a hold that suffices, the only one."""
    awaited = [x for x in order.captures if x.status in {"pending", "unknown"}]
    assert len(awaited) <= 1
    for capture in awaited:
        attempt = order.attempt(capture.attempt_id)
        assert attempt is not None
        assert attempt.held is not None
        assert attempt.held.minor >= capture.amount.minor, "awaited for ever"
        assert attempt.void_key is None
    live = order.live
    assert not (order.ended and live and live.status == "challenged"), "a page of what is over"


def check_steps(order: Order, n: int) -> None:
    check_money_is_watched(order)
    check_awaited(order)
    due = steps(order)
    assert len({step.subject for step in due}) == len(due)
    if not due:
        assert order.ended or waits_for_somebody(order), order
        given_up = [s for s in order.strays if s.open]
        if not order.quarantine:
            assert all(len(order.stray_refunds(s)) >= STRAY_REFUNDS_MAX for s in given_up)
    if order.ended and owes_nothing(order):
        assert due == ()
    if order.quarantine:
        return
    for step in due:
        for answer in answers(order, step, n):
            assert decide(order, answer), f"{answer} to {step} brings nothing"


def live(life: Life, length: int) -> None:
    try:
        _live(life, length)
    except Exception as error:
        for found in life.events:
            error.add_note(str(found))
        raise


def _live(life: Life, length: int) -> None:
    auditor = Auditor()
    seen = 0
    for _ in range(length):
        before = steps(life.now)
        command, outcome = life.step()
        if {step for step in steps(life.now) if step.at is None} - set(before):
            assert any(isinstance(found, OPENS) for found in life.events[seen:]), "nobody is poked"
        for found in life.events[seen:]:
            auditor.see(found)
        seen = len(life.events)
        auditor.compare(life.now)
        check_steps(life.now, 10_000 + life.count)
        if not isinstance(outcome, Rejected):
            check_payment(life.now, command, outcome)


@SLOW
@given(RANDOM)
def test_every_rule_holds_after_every_step(random: Random) -> None:
    life = Life(random)
    live(life, LENGTH)
    event(life.now.status)
    for tag in {e.tag_of(found) for found in life.events}:
        event(tag)


@pytest.mark.parametrize("seed", range(10))
def test_every_rule_holds_in_long_and_in_many_lives(seed: int) -> None:
    random = Random(seed)
    for _ in range(120):
        live(Life(random), random.choice([15, 30, 60]))


@settings(SLOW, max_examples=60)
@given(RANDOM)
def test_stored_rows_fold_to_what_was_evolved(random: Random) -> None:
    life = Life(random)
    for _ in range(LENGTH):
        life.step()
    stored = [
        msgspec.json.encode(
            e.Recorded(
                stream_id=ORDER,
                version=number + 1,
                position=number + 1,
                recorded_at=START,
                metadata=metadata(number),
                data=found,
            )
        )
        for number, found in enumerate(life.events)
    ]
    rows = [msgspec.json.decode(row, type=e.Recorded) for row in stored]
    assert [row.data for row in rows] == life.events
    assert fold(rows) == life.order
    assert life.now.version == len(life.events)


@settings(SLOW, max_examples=60)
@given(RANDOM)
def test_events_survive_json(random: Random) -> None:
    life = Life(random)
    for _ in range(LENGTH):
        life.step()
    for found in life.events:
        assert msgspec.json.decode(msgspec.json.encode(found), type=e.AnyEvent) == found


@settings(SLOW, max_examples=150)
@given(RANDOM)
def test_a_fact_said_again_at_once_adds_nothing(random: Random) -> None:
    life = Life(random)
    for _ in range(LENGTH):
        command, outcome = life.step()
        said = type(command).__name__.startswith("Record")
        if said and not isinstance(outcome, Rejected) and not _second_meaning(command, outcome):
            assert life.play(command) == (), command


def _second_meaning(command: c.OrderCommand, outcome: tuple[e.OrderEvent, ...]) -> bool:
    """A refund that fails after it succeeded has come back; a second no to it says nothing new."""
    match command:
        case c.RecordVoided(payment_id=None) | c.RecordExpired(payment_id=None):
            return True  # unnamed, it may be about the next hold
        case c.RecordFenced() | c.RecordVoided():
            return any(isinstance(x, e.OrderVoided) for x in outcome)
        case _:
            return False


@settings(SLOW, max_examples=150)
@given(RANDOM)
def test_an_honest_processor_brings_every_order_to_rest(random: Random) -> None:
    life = Life(random)
    for _ in range(random.choice([5, 15, 30])):
        life.step()
    for subject in life.now.quarantine:
        how: Any = "accepted_ours"
        life.play(c.ResolveDiscrepancy(subject=subject, how=how, capture_id=f"cap_{subject}"))
    for _ in range(100):
        due = steps(life.now)
        if not due:
            break
        life.play(random.choice(answers(life.now, random.choice(due), life.count)))
    assert steps(life.now) == ()
    assert life.now.ended or waits_for_somebody(life.now)


def test_the_lives_reach_every_event_and_every_status() -> None:
    random = Random(7)
    tags: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    attempts: Counter[int] = Counter()
    for _ in range(500):
        life = Life(random)
        seen = set()
        for _ in range(LENGTH):
            life.step()
            seen.add(life.now.status)
        statuses.update(seen)
        tags.update({e.tag_of(found) for found in life.events})
        attempts[len(life.now.attempts)] += 1
    print(sorted(tags.items(), key=lambda x: x[1]), statuses, attempts)
    wanted = [e.tag_of(kind) for kind in get_args(e.OrderEvent)]
    assert {tag: tags[tag] for tag in wanted if tags[tag] < 5} == {}
    assert {s: statuses[s] for s in get_args(OrderStatus) if statuses[s] < 5} == {}
    assert sum(itertools.islice((attempts[n] for n in range(2, 12)), 10)) >= 20
