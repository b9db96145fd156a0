"""Routing: explained, repeatable, and the first that applies decides."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.routing import (
    Account,
    Conditions,
    Decision,
    Inputs,
    Range,
    RoutingPolicy,
    Rule,
    Share,
    route,
    token_for,
)

KNOWN = ("stripe", "razorpay", "sandbox")


def account(processor: str, **fields: Any) -> Account:
    return Account(processor=processor, fingerprint="acct", credential_version=1, **fields)


ALL = tuple(account(name) for name in KNOWN)


def inputs(**fields: Any) -> Inputs:
    values: dict[str, Any] = {
        "order_id": "ord_1",
        "amount_minor": 1000,
        "currency": "USD",
        "accounts": ALL,
    }
    return Inputs(**(values | fields))


def policy(*rules: Rule, **fields: Any) -> RoutingPolicy:
    return RoutingPolicy(version=1, rules=rules, **fields)


def reasons(decision: Decision) -> dict[str, str]:
    return {candidate.processor: candidate.reason for candidate in decision.candidates}


@pytest.mark.parametrize(
    ("currency", "processor"), [("INR", "razorpay"), ("USD", "stripe"), ("JPY", "stripe")]
)
def test_without_a_policy_the_currency_decides(currency: str, processor: str) -> None:
    decision = route(RoutingPolicy(), inputs(currency=currency), KNOWN)
    assert (decision.chosen, decision.rule, decision.policy_version) == (processor, "default", 0)


def test_a_named_processor_decides_alone() -> None:
    rule = Rule(id="r", processor="stripe")
    decision = route(policy(rule), inputs(explicit="razorpay"), KNOWN)
    assert (decision.chosen, decision.rule) == ("razorpay", "explicit")
    assert reasons(decision)["stripe"] == "another processor was named"


def test_a_named_processor_that_cannot_is_not_replaced() -> None:
    for accounts in ((), (account("razorpay", enabled=False), account("stripe"))):
        decision = route(RoutingPolicy(), inputs(explicit="razorpay", accounts=accounts), KNOWN)
        assert (decision.chosen, decision.rule) == (None, None)


@pytest.mark.parametrize(
    ("token", "owner"),
    [("pm_card_visa", "stripe"), ("tok_visa", "stripe"), ("card_1", "stripe"),
     ("token_1", "razorpay"), ("sbx_1", "sandbox")],
)  # fmt: skip
def test_r14_a_token_is_never_sent_to_another_processor(token: str, owner: str) -> None:
    for explicit in (None, *KNOWN):
        decision = route(
            RoutingPolicy(), inputs(token=token, currency="INR", explicit=explicit), KNOWN
        )
        assert decision.chosen in {owner, None}
        others = {c.processor: c for c in decision.candidates if c.processor != owner}
        assert not any(c.eligible for c in others.values())
    decision = route(RoutingPolicy(), inputs(token=token, currency="INR"), KNOWN)
    assert decision.chosen == owner
    assert {reasons(decision)[name] for name in KNOWN if name != owner} == {"foreign token"}


def test_every_known_processor_is_a_candidate_with_its_reason() -> None:
    accounts = (account("stripe", enabled=False), account("razorpay"), account("other"))
    known = (*KNOWN, "fourth", "fifth", "other")
    decision = route(
        RoutingPolicy(),
        inputs(
            accounts=(*accounts, account("fourth"), account("fifth")),
            excluded=("fourth",),
            unfit=(("fifth", "amount not representable"),),
        ),
        known,
    )
    assert reasons(decision) == {
        "stripe": "disabled",
        "razorpay": "eligible",
        "sandbox": "not configured",
        "fourth": "already tried",
        "fifth": "amount not representable",
        "other": "eligible",
    }
    assert decision.chosen in {"razorpay", "other"}


def test_r18_an_amount_that_cannot_be_sent_exactly_goes_elsewhere() -> None:
    unfit = (("stripe", "amount not representable"),)
    asked = inputs(amount_minor=5124, currency="KWD", unfit=unfit)
    decision = route(policy(Rule(id="r", processor="stripe")), asked, KNOWN)
    assert (decision.chosen, reasons(decision)["stripe"]) == (
        "razorpay",
        "amount not representable",
    )


def test_a_lower_priority_number_is_asked_first_and_then_the_id() -> None:
    rules = (
        Rule(id="b", processor="razorpay", priority=2),
        Rule(id="c", processor="stripe", priority=1),
        Rule(id="a", processor="sandbox", priority=2),
    )
    assert route(policy(*rules), inputs(), KNOWN).rule == "c"
    assert route(policy(rules[0], rules[2]), inputs(), KNOWN).rule == "a"


def test_a_rule_whose_processor_cannot_is_passed_over() -> None:
    rules = (Rule(id="a", processor="razorpay"), Rule(id="b", processor="sandbox", priority=2))
    decision = route(policy(*rules), inputs(excluded=("razorpay",)), KNOWN)
    assert (decision.rule, decision.chosen) == ("b", "sandbox")


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        (Conditions(), True),
        (Conditions(currency="USD"), True),
        (Conditions(currency="EUR"), False),
        (Conditions(amount=Range(min=1000, max=1000)), True),
        (Conditions(amount=Range(min=1001)), False),
        (Conditions(amount=Range(max=999)), False),
        (Conditions(card_brand="visa"), True),
        (Conditions(card_brand="amex"), False),
        (Conditions(country="DE"), True),
        (Conditions(country="US"), False),
        (Conditions(currency="USD", card_brand="visa", country="US"), False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(conditions: Conditions, applies: bool) -> None:  # noqa: FBT001 - a column of a table
    rule = Rule(id="r", conditions=conditions, processor="sandbox")
    decision = route(policy(rule), inputs(card_brand="visa", country="DE"), KNOWN)
    assert (decision.rule == "r") == applies


@pytest.mark.parametrize("conditions", [Conditions(card_brand="visa"), Conditions(country="DE")])
def test_what_is_unknown_matches_no_rule_that_names_it(conditions: Conditions) -> None:
    rule = Rule(id="r", conditions=conditions, processor="sandbox")
    assert route(policy(rule), inputs(), KNOWN).rule == "default"


def test_after_the_rules_come_the_fallback_the_default_and_the_merchants_priority() -> None:
    by_priority = (account("razorpay", priority=5), account("sandbox", priority=2))
    assert route(policy(fallback="sandbox"), inputs(), KNOWN).rule == "fallback"
    decision = route(policy(fallback="stripe"), inputs(accounts=by_priority), KNOWN)
    assert (decision.rule, decision.chosen) == ("priority", "sandbox")
    same = (account("sandbox"), account("razorpay"))
    assert route(policy(), inputs(accounts=same), KNOWN).chosen == "razorpay"


SPLIT = Rule(id="s", split=(Share("stripe", 70), Share("razorpay", 30), Share("sandbox", 0)))


def test_a_split_is_roughly_proportional_and_decided_by_the_order() -> None:
    chosen = Counter(
        route(policy(SPLIT), inputs(order_id=f"ord_{n}"), KNOWN).chosen for n in range(4000)
    )
    assert set(chosen) == {"stripe", "razorpay"}
    assert 2680 <= chosen["stripe"] <= 2920
    for n in range(50):
        order = inputs(order_id=f"ord_{n}")
        assert route(policy(SPLIT), order, KNOWN) == route(policy(SPLIT), order, KNOWN)


def test_a_split_goes_to_whom_is_left() -> None:
    decision = route(policy(SPLIT), inputs(excluded=("stripe",)), KNOWN)
    assert (decision.rule, decision.chosen) == ("s", "razorpay")
    decision = route(policy(SPLIT), inputs(excluded=("stripe", "razorpay")), KNOWN)
    assert (decision.rule, decision.chosen) == ("priority", "sandbox")


@st.composite
def policies(draw: st.DrawFn) -> RoutingPolicy:
    names = st.sampled_from([*KNOWN, "nobody"])
    maybe_currency = st.sampled_from([None, "USD", "INR"])
    rules = []
    for number in range(draw(st.integers(0, 4))):
        conditions = Conditions(
            currency=draw(maybe_currency),
            amount=draw(st.none() | st.builds(Range, min=st.none() | st.integers(0, 2000))),
            card_brand=draw(st.sampled_from([None, "visa"])),
        )
        shares = draw(st.lists(st.builds(Share, names, st.integers(-1, 5)), max_size=3))
        rule = Rule(id=f"r{number}", conditions=conditions, priority=draw(st.integers(1, 3)))
        if shares:
            rules.append(replace(rule, split=tuple(shares)))
        else:
            rules.append(replace(rule, processor=draw(names)))
    return RoutingPolicy(version=2, rules=tuple(rules), fallback=draw(st.none() | names))


@given(
    policies(),
    st.sampled_from(["USD", "INR", "JPY"]),
    st.sampled_from([None, "stripe", "razorpay", "nobody"]),
    st.sampled_from([None, "pm_1", "token_1", "other"]),
    st.sets(st.sampled_from(KNOWN)),
    st.sets(st.sampled_from(KNOWN)),
)
def test_running_it_again_on_what_was_recorded_gives_the_same(
    rules: RoutingPolicy,
    currency: str,
    explicit: str | None,
    token: str | None,
    excluded: set[str],
    configured: set[str],
) -> None:
    asked = inputs(
        currency=currency,
        explicit=explicit,
        token=token,
        excluded=tuple(sorted(excluded)),
        accounts=tuple(account(name) for name in sorted(configured)),
    )
    decision = route(rules, asked, KNOWN)
    recorded = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
    assert recorded == decision
    known = tuple(candidate.processor for candidate in recorded.candidates)
    assert route(rules, recorded.inputs, known) == decision
    eligible = {c.processor for c in decision.candidates if c.eligible}
    assert known == KNOWN
    assert decision.chosen in eligible if eligible else decision.chosen is None
    assert (decision.rule is None) == (decision.chosen is None)


def test_a_token_each_lets_both_processors_take_it_and_each_gets_its_own() -> None:
    tokens = (("razorpay", "token_1"), ("stripe", "pm_1"))
    asked = inputs(tokens=tokens)
    assert route(RoutingPolicy(), asked, KNOWN).chosen == "stripe"
    second = inputs(tokens=tokens, excluded=("stripe",))
    decision = route(RoutingPolicy(), second, KNOWN)
    assert (decision.chosen, token_for(second, "razorpay")) == ("razorpay", "token_1")
    assert reasons(decision)["sandbox"] == "foreign token"
    assert [token_for(asked, name) for name in KNOWN] == ["pm_1", "token_1", None]


def test_who_can_ask_the_customer_needs_no_token_but_comes_after_who_has_one() -> None:
    asked = inputs(token="pm_1", excluded=("stripe",), asks=("razorpay",))
    decision = route(RoutingPolicy(), asked, KNOWN)
    assert (decision.chosen, token_for(asked, "razorpay")) == ("razorpay", None)
    assert reasons(decision)["sandbox"] == "foreign token"
    known = inputs(token="pm_1", currency="INR", asks=("razorpay",))
    assert route(RoutingPolicy(), known, KNOWN).chosen == "stripe"


def test_an_open_circuit_is_a_reason_like_any_other() -> None:
    decision = route(RoutingPolicy(), inputs(unfit=(("stripe", "circuit_open"),)), KNOWN)
    assert reasons(decision)["stripe"] == "circuit_open"
    assert decision.chosen == "razorpay"
