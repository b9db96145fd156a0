"""Routing explained: every recorded decision is made again, and a changed one is noticed."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from domain import events as e
from domain.metadata import Actor, Metadata
from domain.money import Money
from domain.routing import (
    Account,
    Candidate,
    Conditions,
    Decision,
    Inputs,
    RoutingPolicy,
    Rule,
    Share,
    route,
)
from replay.why import Explained, explain, in_words

AT = datetime(2026, 3, 1, tzinfo=UTC)
KNOWN = ("sandbox", "stripe", "razorpay")
SPLIT = (Share("stripe", 1), Share("razorpay", 1))
POLICY = RoutingPolicy(
    version=2,
    rules=(Rule(id="eur", conditions=Conditions(currency="EUR"), split=SPLIT),),
    fallback="stripe",
)


def row(data: e.AnyEvent, number: int = 1) -> e.Recorded:
    meta = Metadata(
        event_id=f"evt_{number}",
        merchant_id="mer_1",
        mode=None if isinstance(data, e.RoutingSet) else "test",
        occurred_at=AT,
        actor=Actor("api_key", "key_1"),
        correlation_id="c",
    )
    return e.Recorded(
        stream_id="ord_1", version=number, position=number, recorded_at=AT, metadata=meta, data=data
    )


MERCHANT = [row(e.RoutingSet(mode="test", policy=POLICY))]


def decided(currency: str = "EUR", **fields: Any) -> Decision:
    accounts = tuple(
        Account(processor=name, fingerprint="a", credential_version=1)
        for name in ("stripe", "razorpay")
    )
    inputs = Inputs(
        order_id="ord_1", amount_minor=1000, currency=currency, accounts=accounts, **fields
    )
    return route(POLICY, inputs, KNOWN)


def routed(decision: Decision, **fields: Any) -> e.OrderRouted:
    values: dict[str, Any] = {
        "attempt_id": "att_1",
        "number": 1,
        "processor": decision.chosen,
        "account": "a",
        "credential_version": 1,
        "idempotency_key": "pay:att_1",
        "amount": Money(1000, "EUR"),
        "decision": decision,
    }
    return e.OrderRouted(**(values | fields))


def explained(*decisions: Decision, merchant: list[e.Recorded] = MERCHANT) -> list[Explained]:
    rows = [row(routed(decision), n) for n, decision in enumerate(decisions, 1)]
    return explain(rows, merchant)


def test_every_decision_is_made_again_also_after_a_failover() -> None:
    first = decided()
    assert first.chosen is not None
    second = decided(excluded=(first.chosen,), unfit=(("sandbox", "circuit_open"),))
    found = explained(first, second)
    assert [one.differences for one in found] == [(), ()]
    assert {one.processor for one in found} == {"stripe", "razorpay"}
    assert [one.again for one in found] == [first, second]
    assert "tried before" in " ".join(in_words(found[1]))


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (decided(), "because rule eur (EUR), a split of stripe 1, razorpay 1"),
        (decided("USD"), "stripe, the fallback"),
        (decided("USD", explicit="razorpay"), "razorpay, because the merchant named it"),
        (decided("USD", excluded=("stripe",)), "razorpay, the one that the merchant prefers"),
    ],
)
def test_a_decision_is_told_in_words(decision: Decision, words: str) -> None:
    (one,) = explained(decision)
    assert words in " ".join(in_words(one))
    assert one.differences == ()


def test_an_answer_that_is_not_the_recorded_one_is_noticed() -> None:
    good = decided()
    other = "stripe" if good.chosen == "razorpay" else "razorpay"
    (one,) = explained(replace(good, chosen=other))
    assert one.differences == (f"recorded {other}, now {good.chosen}",)
    (one,) = explained(replace(good, rule="usd"))
    assert one.differences == ("recorded rule usd, now eur",)
    candidates = (Candidate("sandbox", eligible=False, reason="disabled"), *good.candidates[1:])
    (one,) = explained(replace(good, candidates=candidates))
    assert one.differences == ("sandbox: recorded 'disabled', now 'not configured'",)


def test_an_attempt_elsewhere_than_decided_and_rules_that_are_gone_are_noticed() -> None:
    decision = decided("USD")
    (one,) = explain([row(routed(decision, processor="sandbox"))], MERCHANT)
    assert one.differences == ("the attempt is at sandbox, the decision says stripe",)
    (one,) = explained(decision, merchant=[])
    assert one.differences == ("version 2 of the rules is not in the log",)
    assert one.again is None
