"""Why an order went where it went: `route` runs again on what was recorded. Pure."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from domain.events import OrderRouted, Recorded, RoutingSet
from domain.routing import Conditions, Decision, RoutingPolicy, Rule, route


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the log, and the same question asked again.

    Attributes:
        row: the `order.routed` event.
        recorded: the decision as it stands there.
        again: what `route` says today; None where its policy is not in the log.
        policy: the rules that it was made by, None where they are not in the log.
        differences: what does not agree, in words; empty when all does.
    """

    row: Recorded
    attempt_id: str
    number: int
    processor: str
    recorded: Decision
    again: Decision | None
    policy: RoutingPolicy | None
    differences: tuple[str, ...]


def explain(order: Sequence[Recorded], merchant: Iterable[Recorded]) -> list[Explained]:
    """Return every decision of an order, in order, each made again by the policy of its version."""
    policies = _policies(merchant)
    return [
        _explained(row, row.data, policies.get((row.metadata.mode, _version(row.data))))
        for row in order
        if isinstance(row.data, OrderRouted)
    ]


def _version(routed: OrderRouted) -> int:
    return routed.decision.policy_version


def _policies(merchant: Iterable[Recorded]) -> dict[tuple[str | None, int], RoutingPolicy]:
    """Return the merchant's policies by mode and version; version 0 is Loop's own."""
    found: dict[tuple[str | None, int], RoutingPolicy] = {
        (mode, 0): RoutingPolicy() for mode in ("test", "live")
    }
    for row in merchant:
        if isinstance(row.data, RoutingSet):
            found[row.data.mode, row.data.policy.version] = row.data.policy
    return found


def _explained(row: Recorded, routed: OrderRouted, policy: RoutingPolicy | None) -> Explained:
    recorded = routed.decision
    again: Decision | None = None
    if policy is not None:
        again = route(policy, recorded.inputs, tuple(c.processor for c in recorded.candidates))
    return Explained(
        row=row,
        attempt_id=routed.attempt_id,
        number=routed.number,
        processor=routed.processor,
        recorded=recorded,
        again=again,
        policy=policy,
        differences=tuple(_differences(routed, recorded, again)),
    )


def _differences(routed: OrderRouted, recorded: Decision, again: Decision | None) -> Iterator[str]:
    if routed.processor != recorded.chosen:
        yield f"the attempt is at {routed.processor}, the decision says {recorded.chosen}"
    if again is None:
        yield f"version {recorded.policy_version} of the rules is not in the log"
        return
    if again.chosen != recorded.chosen:
        yield f"recorded {recorded.chosen}, now {again.chosen}"
    if again.rule != recorded.rule:
        yield f"recorded rule {recorded.rule}, now {again.rule}"
    for then, now in zip(recorded.candidates, again.candidates, strict=True):
        if then != now:
            yield f"{then.processor}: recorded {then.reason!r}, now {now.reason!r}"


def in_words(one: Explained) -> Iterator[str]:
    """Yield sentences that explain a decision."""
    decision, inputs = one.recorded, one.recorded.inputs
    card = ", ".join(filter(None, (inputs.card_brand, inputs.country)))
    yield (
        f"Asked for {inputs.amount_minor} {inputs.currency} (minor units)"
        f"{f', card {card}' if card else ''}"
        f"{', with a token' if inputs.token or inputs.tokens else ''}"
        f"{f', without {_and(inputs.excluded)}, tried before' if inputs.excluded else ''}."
    )
    version = decision.policy_version
    by = f"version {version} of the merchant's rules" if version else "no rules of the merchant's"
    yield f"By {by}: {_chosen(one)}."


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


def _chosen(one: Explained) -> str:
    chosen, rule = one.recorded.chosen, one.recorded.rule
    match rule:
        case None:
            return "nobody could take it"
        case "explicit":
            return f"{chosen}, because the merchant named it"
        case "fallback":
            return f"{chosen}, the fallback, because no rule named another that could"
        case "default":
            return f"{chosen}, the default for {one.recorded.inputs.currency}"
        case "priority":
            return f"{chosen}, the one that the merchant prefers of those that could"
        case _:
            found = next(
                (r for r in (one.policy.rules if one.policy else ()) if r.id == rule), None
            )
            return f"{chosen}, because rule {rule}{_rule(found) if found else ''} names it"


def _rule(rule: Rule) -> str:
    how = f" ({_asked(rule.conditions)})"
    if not rule.split:
        return how
    parts = ", ".join(f"{share.processor} {share.weight}" for share in rule.split)
    return f"{how}, a split of {parts} by the order's id,"


def _asked(asked: Conditions) -> str:
    said = [x for x in (asked.currency, asked.card_brand, asked.country) if x]
    if asked.amount is not None:
        low = "" if asked.amount.min is None else str(asked.amount.min)
        high = "" if asked.amount.max is None else str(asked.amount.max)
        said.append(f"{low}..{high}")
    return ", ".join(said) or "always"
