"""The public status is a function of amounts and attempts."""

from collections.abc import Callable
from typing import get_args

import pytest
from msgspec.structs import replace

from domain.order import commands as c
from domain.order.evolve import fold
from domain.order.parts import AttemptStatus
from domain.order.state import OrderStatus
from domain.order.steps import next_step
from tests.domain import story as s

EXAMPLES: list[tuple[OrderStatus, Callable[[], s.Story]]] = [
    ("pending", s.story),
    ("processing", s.in_flight),
    ("processing", lambda: s.in_flight().must(s.unknown("authorize", "att_1"))),
    ("processing", lambda: s.in_flight().must(s.declined())),
    ("processing", lambda: s.in_flight().must(s.declined(closed=True))),
    ("requires_action", lambda: s.in_flight().must(s.challenged())),
    (
        "requires_action",
        lambda: s.in_flight(hosted=True).must(s.declined(closed=True, retry_class="later")),
    ),
    ("authorized", s.held),
    ("authorized", lambda: s.in_flight().must(s.authorized())),
    ("authorized", lambda: s.held().must(c.Cancel())),
    ("captured", s.taken),
    ("captured", lambda: s.taken().must(s.refund(1000))),
    ("captured", lambda: s.taken().must(s.dispute(1000, "lost"))),
    ("partially_refunded", lambda: s.taken().must(s.refund(1), s.refunded("ref_1", 1))),
    ("refunded", lambda: s.taken().must(s.refund(), s.refunded())),
    ("failed", lambda: s.in_flight().must(s.declined(closed=True, retry_class="stop"))),
    ("cancelled", lambda: s.story(c.Cancel())),
    ("expired", lambda: s.held().must(c.RecordExpired(attempt_id="att_1"))),
]


@pytest.mark.parametrize(("status", "example"), EXAMPLES)
def test_status(status: OrderStatus, example: Callable[[], s.Story]) -> None:
    assert example().now.status == status


def test_every_status_has_an_example() -> None:
    assert {status for status, _ in EXAMPLES} == set(get_args(OrderStatus))


def test_every_attempt_status_says_whether_it_can_take_money() -> None:
    live = s.in_flight().now.live
    assert live is not None
    can = {
        status: replace(live, status=status).can_take_money for status in get_args(AttemptStatus)
    }
    taking = {"in_flight", "challenged", "authorized", "unknown", "declined"}
    assert {status for status, yes in can.items() if yes} == taking
    assert not replace(live, status="declined", closed=True).can_take_money


def test_an_empty_stream_is_no_order() -> None:
    assert fold([]) is None


def test_the_next_step_is_the_first_that_is_due() -> None:
    life = s.in_flight().must(s.challenged())
    assert next_step(life.now, s.START) is None
    due = next_step(life.now, s.START + s.DAY)
    assert due is not None
    assert due.operation == "challenge"
