"""Which events are told, as what, and when a delivery is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import events as e
from domain.public_events import ATTEMPTS_MAX, INTERVALS_S, next_attempt_s, public_type
from tests.domain.catalogue import EXAMPLES

TOLD = {
    "order.created.v1": "order.created",
    "order.routed.v1": "order.processing",
    "order.challenged.v1": "order.requires_action",
    "order.authorized.v1": "payment.authorized",
    "order.captured.v1": "payment.captured",
    "order.failed.v1": "payment.failed",
    "order.cancelled.v1": "order.cancelled",
    "order.expired.v1": "order.expired",
    "order.refund_requested.v1": "refund.pending",
    "order.refunded.v1": None,  # of a stray payment
    "order.refund_failed.v1": "refund.failed",
    "order.refund_reversed.v1": "refund.failed",
    "order.dispute_opened.v1": "dispute.opened",
    "order.dispute_funds_withdrawn.v1": "dispute.funds_withdrawn",
    "order.dispute_funds_reinstated.v1": "dispute.funds_reinstated",
    "order.dispute_closed.v1": "dispute.closed",
    "order.stray_payment_found.v1": "payment.stray_found",
    "order.authorization_expiring.v1": "payment.authorization_expiring",
    "merchant.endpoint_changed.v1": "endpoint.disabled",
    "merchant.endpoint_tested.v1": "test.ping",
}


@pytest.mark.parametrize("event", EXAMPLES, ids=e.tag_of)
def test_every_event_of_the_catalogue_is_told_as_it_should_or_not_at_all(event: e.AnyEvent) -> None:
    if isinstance(event, e.OrderRouted):
        event = replace(event, number=1)
    assert public_type(event) == TOLD.get(e.tag_of(event))


def test_a_second_attempt_and_another_status_are_not_told() -> None:
    (routed,) = (event for event in EXAMPLES if isinstance(event, e.OrderRouted))
    again = replace(routed, number=2)
    assert public_type(again) is None
    assert public_type(e.EndpointChanged(endpoint_id="whe_1", status="failing")) is None


def test_ten_attempts_are_made_within_75_hours() -> None:
    waits = [next_attempt_s(n, jitter=0.5) for n in range(1, ATTEMPTS_MAX)]
    assert waits == list(INTERVALS_S[1:])
    assert (ATTEMPTS_MAX, round(sum(INTERVALS_S) / 3600)) == (10, 76)
    assert next_attempt_s(ATTEMPTS_MAX, jitter=0.5) is None


@given(st.integers(1, ATTEMPTS_MAX - 1), st.floats(0, 1))
def test_jitter_is_a_fifth_at_most(attempts: int, jitter: float) -> None:
    wait_s = next_attempt_s(attempts, jitter=jitter)
    assert wait_s is not None
    assert 0.8 * INTERVALS_S[attempts] <= wait_s <= 1.2 * INTERVALS_S[attempts] + 1e-6


@given(st.integers(1, ATTEMPTS_MAX - 1), st.floats(0, 1), st.floats(0, 1e9))
def test_retry_after_makes_it_later_by_a_day_at_most(
    attempts: int, jitter: float, asked_s: float
) -> None:
    plain = next_attempt_s(attempts, jitter=jitter)
    later = next_attempt_s(attempts, jitter=jitter, retry_after_s=asked_s)
    assert plain is not None
    assert later == max(plain, min(asked_s, 24 * 3600))
