"""What answers about routing say: rule sets, and why an order would go where."""

from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from domain.metadata import Mode
from domain.routing import Decision, RetryClass, RoutingPolicy, Rule
from gateway.views import Time, View, iso


class RangeView(View, frozen=True, kw_only=True):
    """Which amounts, in minor units; both bounds are included."""

    min: int | UnsetType = UNSET
    max: int | UnsetType = UNSET


class ConditionsView(View, frozen=True, kw_only=True):
    """What has to hold; what is not there is not asked."""

    currency: str | UnsetType = UNSET
    amount: RangeView | UnsetType = UNSET
    card_brand: str | UnsetType = UNSET
    country: str | UnsetType = UNSET


class ShareView(View, frozen=True, kw_only=True):
    """A part of a split."""

    processor: str
    weight: int


class RuleView(View, frozen=True, kw_only=True):
    """A rule: one processor, or a split."""

    id: str
    conditions: ConditionsView
    processor: str | UnsetType = UNSET
    split: list[ShareView] | UnsetType = UNSET
    priority: int


class FailoverView(View, frozen=True, kw_only=True):
    """When another processor may be tried after a proven no."""

    enabled: bool
    hops_max: int
    classes: list[RetryClass]


class RuleSetView(View, frozen=True, kw_only=True):
    """The rules of one mode; version 0 is Loop's own, before any were set."""

    version: int
    rules: list[RuleView]
    fallback: str | None
    failover: FailoverView
    test_mode: bool
    livemode: bool
    created_at: Time | None


class RoutingCandidateView(View, frozen=True, kw_only=True):
    """A processor, and why it can or cannot take the order."""

    processor: str
    eligible: bool
    reason: str


class RoutingTestView(View, frozen=True, kw_only=True):
    """Which processor an order would get, and why; nothing was made."""

    processor: Annotated[str | None, Meta(description="Null: nobody can take it.")]
    rule: Annotated[
        str | None,
        Meta(
            description=(
                "The rule's id; `explicit` it was named, `fallback` of the rule set, `default` of "
                "the currency, `priority` of the merchant's processors."
            )
        ),
    ]
    version: int
    candidates: list[RoutingCandidateView]
    card_brand: str | None
    country: str | None
    test_mode: bool
    livemode: bool


def rule_set_view(policy: RoutingPolicy, mode: Mode, set_at: datetime | None) -> RuleSetView:
    """Render a rule set."""
    failover = policy.failover
    return RuleSetView(
        version=policy.version,
        rules=[_rule(rule) for rule in policy.rules],
        fallback=policy.fallback,
        failover=FailoverView(
            enabled=failover.enabled, hops_max=failover.hops_max, classes=list(failover.classes)
        ),
        test_mode=mode == "test",
        livemode=mode == "live",
        created_at=iso(set_at) if set_at else None,
    )


def _rule(rule: Rule) -> RuleView:
    asked = rule.conditions
    amount: RangeView | UnsetType = UNSET
    if asked.amount is not None:
        amount = RangeView(min=_or_unset(asked.amount.min), max=_or_unset(asked.amount.max))
    return RuleView(
        id=rule.id,
        conditions=ConditionsView(
            currency=asked.currency or UNSET,
            amount=amount,
            card_brand=asked.card_brand or UNSET,
            country=asked.country or UNSET,
        ),
        processor=rule.processor or UNSET,
        split=[ShareView(processor=s.processor, weight=s.weight) for s in rule.split] or UNSET,
        priority=rule.priority,
    )


def _or_unset(value: int | None) -> int | UnsetType:
    return UNSET if value is None else value


def routing_test_view(decision: Decision, mode: Mode) -> RoutingTestView:
    """Render a decision about an order that was only asked about."""
    return RoutingTestView(
        processor=decision.chosen,
        rule=decision.rule,
        version=decision.policy_version,
        candidates=[
            RoutingCandidateView(processor=c.processor, eligible=c.eligible, reason=c.reason)
            for c in decision.candidates
        ],
        card_brand=decision.inputs.card_brand,
        country=decision.inputs.country,
        test_mode=mode == "test",
        livemode=mode == "live",
    )


_RULES: Final[list[dict[str, Any]]] = [
    {
        "id": "large-eur",
        "conditions": {"currency": "EUR", "amount": {"min": 50000}},
        "processor": "stripe",
        "priority": 1,
    },
    {
        "id": "share-inr",
        "conditions": {"currency": "INR"},
        "split": [
            {"processor": "razorpay", "weight": 90},
            {"processor": "stripe", "weight": 10},
        ],
        "priority": 2,
    },
]
_FAILOVER: Final[dict[str, Any]] = {"enabled": True, "hopsMax": 1, "classes": ["failover"]}
NEW_RULES: Final[dict[str, Any]] = {
    "rules": _RULES,
    "fallback": "stripe",
    "failover": _FAILOVER,
    "testMode": True,
}
RULE_SET: Final[dict[str, Any]] = {
    **NEW_RULES,
    "version": 3,
    "livemode": False,
    "createdAt": "2026-11-20T10:00:00.000Z",
}
RULE_SETS: Final[list[dict[str, Any]]] = [
    RULE_SET,
    {
        "version": 0,
        "rules": [],
        "fallback": None,
        "failover": _FAILOVER,
        "testMode": False,
        "livemode": True,
        "createdAt": None,
    },
]
TEST: Final[dict[str, Any]] = {
    "processor": "stripe",
    "rule": "large-eur",
    "version": 3,
    "candidates": [
        {"processor": "sandbox", "eligible": False, "reason": "not configured"},
        {"processor": "stripe", "eligible": True, "reason": "eligible"},
        {"processor": "razorpay", "eligible": False, "reason": "circuit_open"},
    ],
    "cardBrand": "visa",
    "country": "DE",
    "testMode": True,
    "livemode": False,
}
