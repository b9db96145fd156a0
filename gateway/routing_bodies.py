"""What requests about routing may say, and what is checked of a rule set beyond its shape."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from domain.money import AMOUNT_MAX, EXPONENTS
from domain.routing import Conditions, Failover, Range, RoutingPolicy, Rule, Share
from gateway.bodies import (
    Amount,
    Body,
    Currency,
    PaymentMethodRequest,
    ProcessorName,
    form,
)
from gateway.errors import FieldError, Refused

RULES_MAX: Final = 100
SHARES_MAX: Final = 10
RESERVED: Final = ("explicit", "fallback", "default", "priority")
"""What routing calls its own choices; a rule is told apart from them."""

Bound: TypeAlias = Annotated[
    int, Meta(ge=0, le=AMOUNT_MAX, description="Minor units, both bounds included.")
]
RuleId: TypeAlias = Annotated[str, form("^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Brand: TypeAlias = Annotated[str, form("^[A-Za-z][A-Za-z0-9_ -]{0,31}$")]
Country: TypeAlias = Annotated[str, form("^[A-Za-z]{2}$", description="ISO 3166-1 alpha-2.")]


class RangeRequest(Body, frozen=True, kw_only=True):
    """Which amounts."""

    min: Bound | None = None
    max: Bound | None = None


class ConditionsRequest(Body, frozen=True, kw_only=True):
    """What has to hold, all of it; an unknown brand or country matches no rule that names one."""

    currency: Currency | None = None
    amount: RangeRequest | None = None
    card_brand: Brand | None = None
    country: Country | None = None


class ShareRequest(Body, frozen=True, kw_only=True):
    """A part of a split; weights are relative to each other."""

    processor: ProcessorName
    weight: Annotated[int, Meta(ge=1, le=10_000)]


class RuleRequest(Body, frozen=True, kw_only=True):
    """A rule: either one processor, or a split by a hash of the order's id."""

    id: RuleId
    conditions: ConditionsRequest = ConditionsRequest()
    processor: ProcessorName | None = None
    split: Annotated[tuple[ShareRequest, ...], Meta(max_length=SHARES_MAX)] | None = None
    priority: Annotated[
        int, Meta(ge=1, le=1000, description="A lower one is asked first, then by id.")
    ] = 1


class FailoverRequest(Body, frozen=True, kw_only=True):
    """When another processor may be tried after a proven no."""

    enabled: bool = True
    hops_max: Annotated[int, Meta(ge=0, le=2)] = 1
    classes: Annotated[tuple[Literal["failover", "later"], ...], Meta(max_length=2)] = ("failover",)


class RuleSetRequest(Body, frozen=True, kw_only=True):
    """Rules, who takes what no rule names, and failover."""

    rules: Annotated[tuple[RuleRequest, ...], Meta(max_length=RULES_MAX)] = ()
    fallback: ProcessorName | None = None
    failover: FailoverRequest = FailoverRequest()


class RoutingRequest(RuleSetRequest, frozen=True, kw_only=True):
    """A rule set that replaces the one of its mode; `version` says which, where that matters."""

    rules: Annotated[tuple[RuleRequest, ...], Meta(max_length=RULES_MAX)]
    version: Annotated[int, Meta(ge=0, le=10**9)] | None = None
    test_mode: bool = True


class RoutingTestRequest(Body, frozen=True, kw_only=True):
    """An order that is only asked about; with `ruleSet` by rules that are not set yet."""

    amount: Amount
    currency: Currency = "USD"
    order_id: (
        Annotated[
            str, form("^ord_[0-7][0-9a-hjkmnp-tv-z]{25}$", description="Decides about splits.")
        ]
        | None
    ) = None
    card_brand: Brand | None = None
    country: Country | None = None
    processor: ProcessorName | None = None
    payment_method: PaymentMethodRequest | None = None
    rule_set: RuleSetRequest | None = None
    test_mode: bool = True


def as_policy(given: RuleSetRequest, known: Collection[str], *, at: str = "") -> RoutingPolicy:
    """Return the policy that a rule set means, without its version.

    Args:
        given: in the right shape.
        known: names of all processors.
        at: where it stands in the body.

    Raises:
        Refused: `invalid_request` with everything that is wrong.
    """
    wrong = [FieldError(f"{at}{field}", message) for field, message in _wrong(given, known)]
    if wrong:
        message = f"{wrong[0].field}: {wrong[0].message}"
        raise Refused("invalid_request", message, tuple(wrong))
    return RoutingPolicy(
        rules=tuple(map(_rule, given.rules)),
        fallback=given.fallback,
        failover=Failover(
            enabled=given.failover.enabled,
            hops_max=given.failover.hops_max,
            classes=given.failover.classes,
        ),
    )


def _wrong(given: RuleSetRequest, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, each with its field."""
    ids = Counter(rule.id for rule in given.rules)
    for n, rule in enumerate(given.rules):
        field = f"rules[{n}]"
        if rule.id in RESERVED:
            yield f"{field}.id", f"{rule.id!r} is what routing calls a choice of its own"
        if ids[rule.id] > 1:
            yield f"{field}.id", "stands twice"
        yield from ((f"{field}{inner}", message) for inner, message in _wrong_in(rule, known))
    if given.fallback is not None and given.fallback not in known:
        yield "fallback", "is no known processor"
    if len(set(given.failover.classes)) < len(given.failover.classes):
        yield "failover.classes", "names a class twice"


def _wrong_in(rule: RuleRequest, known: Collection[str]) -> Iterator[tuple[str, str]]:
    if (rule.processor is None) == (rule.split is None):
        yield "", "names either a processor or a split"
    if rule.processor is not None and rule.processor not in known:
        yield ".processor", "is no known processor"
    shares = rule.split or ()
    if rule.split is not None and not shares:
        yield ".split", "is empty"
    if len({share.processor for share in shares}) < len(shares):
        yield ".split", "names a processor twice"
    for n, share in enumerate(shares):
        if share.processor not in known:
            yield f".split[{n}].processor", "is no known processor"
    currency = rule.conditions.currency
    if currency is not None and currency.upper() not in EXPONENTS:
        yield ".conditions.currency", "is no ISO 4217 code of a currency that money comes in"
    amount = rule.conditions.amount or RangeRequest()
    if amount.min is not None and amount.max is not None and amount.min > amount.max:
        yield ".conditions.amount", "has a min above its max"


def _rule(given: RuleRequest) -> Rule:
    asked = given.conditions
    amount = asked.amount
    return Rule(
        id=given.id,
        conditions=Conditions(
            currency=asked.currency.upper() if asked.currency else None,
            amount=Range(min=amount.min, max=amount.max) if amount else None,
            card_brand=asked.card_brand.lower() if asked.card_brand else None,
            country=asked.country.upper() if asked.country else None,
        ),
        processor=given.processor,
        split=tuple(Share(share.processor, share.weight) for share in given.split or ()),
        priority=given.priority,
    )
