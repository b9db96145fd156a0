"""Which processor an order gets, and why: a pure function of the policy and the order's facts."""

import hashlib
from typing import Final, Literal

import msgspec

RetryClass = Literal["stop", "fix_input", "authenticate", "later", "failover", "check_first"]

TOKEN_OWNERS: Final = {
    "pm_": "stripe",
    "tok_": "stripe",
    "card_": "stripe",
    "token_": "razorpay",
    "sbx_": "sandbox",
}
"""Token prefixes and the one processor that understands them."""

DEFAULT_BY_CURRENCY: Final = {"INR": "razorpay", "USD": "stripe", "EUR": "stripe"}
DEFAULT_OTHERWISE: Final = "stripe"
ASKS: Final = "eligible, the customer gives a payment method"
_ELIGIBLE: Final = ("eligible", ASKS)


class Range(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Inclusive bounds in minor units."""

    min: int | None = None
    max: int | None = None


class Conditions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must hold for a rule to apply; what is None is not asked."""

    currency: str | None = None
    amount: Range | None = None
    card_brand: str | None = None
    country: str | None = None


class Share(msgspec.Struct, frozen=True):
    """One part of a volume split; weights are relative."""

    processor: str
    weight: int


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One routing rule: either a processor or a split; a lower priority number is asked first."""

    id: str
    conditions: Conditions = Conditions()
    processor: str | None = None
    split: tuple[Share, ...] = ()
    priority: int = 1


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """When another processor may be tried after a proven no."""

    enabled: bool = True
    hops_max: int = 1
    classes: tuple[RetryClass, ...] = ("failover",)


class RoutingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's rules; version 0 is Loop's default."""

    version: int = 0
    rules: tuple[Rule, ...] = ()
    fallback: str | None = None
    failover: Failover = Failover()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A processor account that a merchant has configured, as far as routing cares."""

    processor: str
    fingerprint: str
    credential_version: int
    enabled: bool = True
    priority: int = 1


class Inputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that the decision depends on; recorded, so that it can be run again.

    Attributes:
        excluded: processors that this order was tried at already.
        unfit: processors that cannot take it now and why, for example
            `amount not representable` or `circuit_open`.
        tokens: by processor; `token` belongs to the one that its prefix names.
        asks: processors that can ask the customer for a payment method, where the customer can be
            reached; they need no token.
    """

    order_id: str
    amount_minor: int
    currency: str
    token: str | None = None
    card_brand: str | None = None
    country: str | None = None
    explicit: str | None = None
    excluded: tuple[str, ...] = ()
    unfit: tuple[tuple[str, str], ...] = ()
    accounts: tuple[Account, ...] = ()
    tokens: tuple[tuple[str, str], ...] = ()
    asks: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    """One processor and why it was or was not taken."""

    processor: str
    eligible: bool
    reason: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of routing, with all it was made of.

    Attributes:
        policy_version: of the merchant's routing policy; 0 is the default.
        rule: id of the rule that named the processor, `explicit`, `default` or `priority`.
        inputs: what was asked.
        candidates: every known processor with its reason.
        chosen: the processor, or None when no candidate is left.
    """

    policy_version: int
    rule: str | None
    inputs: Inputs
    candidates: tuple[Candidate, ...]
    chosen: str | None


def route(policy: RoutingPolicy, inputs: Inputs, known: tuple[str, ...]) -> Decision:
    """Choose a processor among the known ones.

    An explicit processor decides alone; otherwise the first matching rule by priority, then the
    policy's fallback, then the default for the currency, then the merchant's own priority.
    """
    accounts = {account.processor: account for account in inputs.accounts}
    candidates = tuple(
        Candidate(name, reason in _ELIGIBLE, reason)
        for name in known
        for reason in [_reason(name, accounts.get(name), inputs)]
    )
    rule: str | None = None
    chosen: str | None = None
    # Whom the customer has to be asked for comes after whom a token is there for.
    for wanted in _ELIGIBLE:
        if chosen is None:
            eligible = tuple(c.processor for c in candidates if c.reason == wanted)
            rule, chosen = _choose(policy, inputs, eligible, accounts)
    return Decision(
        policy_version=policy.version,
        rule=rule,
        inputs=inputs,
        candidates=candidates,
        chosen=chosen,
    )


def owner_of(token: str) -> str | None:
    """Return the one processor that understands a token, None where its prefix names none."""
    return next((o for p, o in TOKEN_OWNERS.items() if token.startswith(p)), None)


def token_for(inputs: Inputs, processor: str) -> str | None:
    """Return the token that a processor is given, None where there is none for it."""
    named = dict(inputs.tokens).get(processor)
    if named is not None or inputs.token is None:
        return named
    return inputs.token if owner_of(inputs.token) in {None, processor} else None


def _reason(name: str, account: Account | None, inputs: Inputs) -> str:
    """Say why a processor cannot take this order, or `eligible`."""
    foreign = (inputs.token or inputs.tokens) and token_for(inputs, name) is None
    if account is None:
        return "not configured"
    if not account.enabled:
        return "disabled"
    if inputs.explicit not in (None, name):
        return "another processor was named"
    if foreign and name not in inputs.asks:
        return "foreign token"
    if name in inputs.excluded:
        return "already tried"
    return dict(inputs.unfit).get(name, ASKS if foreign else "eligible")


def _choose(
    policy: RoutingPolicy,
    inputs: Inputs,
    eligible: tuple[str, ...],
    accounts: dict[str, Account],
) -> tuple[str | None, str | None]:
    """Return the rule's name and the processor."""
    if not eligible:
        return None, None
    if inputs.explicit is not None:
        return "explicit", inputs.explicit
    for rule in sorted(policy.rules, key=lambda r: (r.priority, r.id)):
        named = _named_by(rule, inputs, eligible) if _applies(rule.conditions, inputs) else None
        if named is not None:
            return rule.id, named
    default = DEFAULT_BY_CURRENCY.get(inputs.currency, DEFAULT_OTHERWISE)
    for name, processor in (("fallback", policy.fallback), ("default", default)):
        if processor in eligible:
            return name, processor
    return "priority", min(eligible, key=lambda p: (accounts[p].priority, p))


def _applies(conditions: Conditions, inputs: Inputs) -> bool:
    """Tell whether a rule's conditions hold; an unknown brand or country matches none that asks."""
    bounds = conditions.amount or Range()
    return (
        conditions.currency in (None, inputs.currency)
        and conditions.card_brand in (None, inputs.card_brand)
        and conditions.country in (None, inputs.country)
        and (bounds.min is None or inputs.amount_minor >= bounds.min)
        and (bounds.max is None or inputs.amount_minor <= bounds.max)
    )


def _named_by(rule: Rule, inputs: Inputs, eligible: tuple[str, ...]) -> str | None:
    """Return the rule's processor; a split is decided by a hash of the order's id."""
    if rule.processor is not None:
        return rule.processor if rule.processor in eligible else None
    shares = [share for share in rule.split if share.processor in eligible and share.weight > 0]
    if not shares:
        return None
    digest = hashlib.sha256(f"{rule.id}:{inputs.order_id}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") % sum(share.weight for share in shares)
    for share in shares:
        point -= share.weight
        if point < 0:
            return share.processor
    raise AssertionError("weights add up")
