"""Where a page is open, what did not work leads back to the customer; else it ends."""

from datetime import timedelta
from typing import Any

import pytest

from domain import events as e
from domain.order import commands as c
from domain.order.rules import ATTEMPTS_MAX
from domain.routing import Failover
from tests.domain import story as s

CLASSES = ("stop", "fix_input", "authenticate", "later", "failover", "check_first")
COLLECTING = ("collect_payment_method", "razorpay_checkout")


def on_the_page(**fields: Any) -> s.Story:
    """An order that its customer pays on our page."""
    return s.story(s.pay(hosted=True, **fields)).must(s.referenced())


@pytest.mark.parametrize("retry_class", CLASSES)
def test_every_class_but_stop_goes_back_where_a_page_is_open(retry_class: Any) -> None:
    no = s.declined(closed=True, retry_class=retry_class, failover=s.NO_FAILOVER)
    again = retry_class != "stop"
    for life in (on_the_page(), s.in_flight(hosted=True)):
        life.must(no)
        assert life.now.status == ("requires_action" if again else "failed")
        assert life.now.awaits_customer is again
    server_to_server = s.in_flight().must(no)
    assert server_to_server.now.status == "failed"


@pytest.mark.parametrize("kind", COLLECTING)
def test_a_page_is_open_where_the_customer_was_asked_for_a_payment_method(kind: Any) -> None:
    deadline = s.START + timedelta(minutes=15)
    asked = c.RecordChallenge(attempt_id="att_1", kind=kind, deadline=deadline)
    life = s.in_flight().must(asked, s.declined(closed=True, retry_class="later"))
    assert life.now.status == "requires_action"


def test_who_may_try_again_has_time_until_the_deadline_and_then_the_order_fails() -> None:
    life = on_the_page().must(s.declined(closed=True, retry_class="later"))
    live = life.now.live
    assert live is not None
    assert life.now.customer_deadline == live.updated_at + timedelta(minutes=15)
    assert life.steps() == [("expire_session", s.ORDER)]
    life.when(c.ExpireSession()).then(e.OrderFailed, code="authentication_timeout")
    assert life.steps() == []
    life.when(s.pay("att_2")).then_refused("invalid_status")


def test_a_page_that_was_open_once_stays_open_for_the_next_try() -> None:
    life = on_the_page().must(s.declined(closed=True, retry_class="later"))
    life.must(s.pay("att_2"), s.referenced("att_2"))
    life.when(s.declined("att_2", closed=True, retry_class="fix_input")).then(
        e.OrderDeclined, next="customer"
    )


def test_a_customer_tries_ten_times_at_most() -> None:
    life = s.story()
    for number in range(1, ATTEMPTS_MAX + 1):
        life.must(s.pay(f"att_{number}", hosted=True))
        life.must(s.declined(f"att_{number}", closed=True, retry_class="later"))
    assert life.now.status == "failed"


def test_an_attempt_that_was_never_sent_goes_back_too_and_its_hops_start_anew() -> None:
    life = on_the_page()
    life.when(s.fenced(proof="not_sent", failover=s.NO_FAILOVER)).then(
        e.AttemptFenced, next="customer"
    )
    assert (life.now.status, life.now.awaits_customer) == ("requires_action", True)
    life.must(s.pay("att_2"), s.declined("att_2", closed=True, failover=Failover(hops_max=1)))
    assert life.now.live is not None
    assert life.now.live.next == "failover"


def test_a_failover_that_finds_nobody_goes_back_to_the_customer() -> None:
    life = on_the_page().must(s.declined(closed=True, failover=Failover()))
    assert life.steps() == [("fail_over", "att_1")]
    life.when(s.fail_over(processor=None)).then(e.AttemptFenced, next="customer")
    assert life.now.status == "requires_action"


@pytest.mark.parametrize(("hosted", "status"), [(True, "requires_action"), (False, "failed")])
def test_a_missed_deadline_leaves_the_rest_of_a_sessions_time(*, hosted: bool, status: str) -> None:
    life = s.in_flight(hosted=hosted).must(s.challenged())
    life.must(s.fenced(code="authentication_timeout"))
    assert life.now.status == status


def test_who_cancelled_is_not_asked_again() -> None:
    life = on_the_page().must(c.Cancel())
    life.when(s.declined(closed=True, retry_class="later")).then(e.OrderDeclined, e.OrderCancelled)


def test_an_operator_closes_an_attempt_for_good() -> None:
    life = on_the_page().must(s.unknown("authorize", "att_1"))
    life.when(s.fenced(proof="capture_withheld", code="closed_by_operator")).then(
        e.AttemptFenced, e.OrderFailed, code="closed_by_operator"
    )
