"""Which processor an order gets now: what routing goes by is gathered here, and recorded by it."""

import asyncio
import logging
from typing import Final

import msgspec
from msgspec.structs import replace

from commands.circuit import REASON
from commands.ports import CircuitKey, Ports
from commands.processor import Described, unfit
from domain.merchant import Merchant
from domain.metadata import Mode
from domain.money import Money
from domain.routing import Account, Decision, Inputs, RoutingPolicy, owner_of, route

DESCRIBE_S: Final = 2.0
"""How long a payment method's brand and country are waited for; then they are unknown."""

log = logging.getLogger(__name__)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of routing, besides what the order and the merchant say.

    Attributes:
        explicit: the one processor that is wanted.
        tokens: by processor; `token` belongs to the one that its prefix names.
        brand: lower case; `country` upper case; None where they are not known.
        excluded: processors that were tried already.
        asks: processors that may ask the customer for a payment method.
        probe_as: the attempt that may be the probe of a circuit; None only asks.
    """

    explicit: str | None = None
    token: str | None = None
    tokens: tuple[tuple[str, str], ...] = ()
    brand: str | None = None
    country: str | None = None
    excluded: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    probe_as: str | None = None


async def route_order(
    ports: Ports,
    merchant: Merchant,
    *,
    order_id: str,
    amount: Money,
    mode: Mode,
    wish: Wish,
    policy: RoutingPolicy | None = None,
) -> Decision:
    """Return which processor takes the order, and why; `policy` None is the merchant's own.

    A processor whose circuit is open is no candidate; where a probe is due and this attempt may be
    it, only the one that claims it goes through.
    """
    policy = policy or merchant.policy_of(mode)
    shut = await ports.circuits.shut(merchant.id)
    accounts = merchant.accounts_of(mode)
    keys = {account.processor: _key(merchant.id, account) for account in accounts}
    out = {name for name, key in keys.items() if shut.get(key) is False}
    described = await _described(ports, merchant, mode, policy, wish, out)
    inputs = Inputs(
        order_id=order_id,
        amount_minor=amount.minor,
        currency=amount.currency,
        token=wish.token,
        card_brand=described.brand,
        country=described.country,
        explicit=wish.explicit,
        excluded=wish.excluded,
        accounts=accounts,
        tokens=wish.tokens,
        asks=wish.asks,
    )
    while True:
        reasons = dict(unfit(ports.processors, amount)) | dict.fromkeys(sorted(out), REASON)
        inputs = replace(inputs, unfit=tuple(reasons.items()))
        decision = route(policy, inputs, tuple(ports.processors))
        chosen = decision.chosen
        if chosen is None or wish.probe_as is None or keys[chosen] not in shut:
            return decision
        if await ports.circuits.probe(keys[chosen], wish.probe_as):
            return decision
        out.add(chosen)


def _key(merchant_id: str, account: Account) -> CircuitKey:
    return CircuitKey(
        merchant_id=merchant_id, processor=account.processor, account=account.fingerprint
    )


async def _described(
    ports: Ports,
    merchant: Merchant,
    mode: Mode,
    policy: RoutingPolicy,
    wish: Wish,
    out: set[str],
) -> Described:
    """Return brand and country: those given, else read, where a rule asks for what is missing."""
    asked = [rule.conditions for rule in policy.rules]
    wants = (any(c.card_brand for c in asked) and wish.brand is None) or (
        any(c.country for c in asked) and wish.country is None
    )
    given = Described(brand=wish.brand, country=wish.country)
    if not wants:
        return given
    named = ((owner_of(wish.token), wish.token),) if wish.token else ()
    for name, token in (*named, *wish.tokens):
        account = next((a for a in merchant.accounts_of(mode) if a.processor == name), None)
        if account is not None and account.enabled and name not in out:
            read = await _read(ports, merchant.id, mode, account, token)
            given = Described(
                brand=given.brand or read.brand, country=given.country or read.country
            )
    return given


async def _read(
    ports: Ports, merchant_id: str, mode: Mode, account: Account, token: str
) -> Described:
    """Read a payment method; whatever goes wrong, nothing is known of it."""
    processor = ports.processors.get(account.processor)
    if processor is None:
        return Described()
    credentials = await ports.vault.credentials(
        merchant_id, mode, account.processor, account.credential_version
    )
    try:
        async with asyncio.timeout(DESCRIBE_S):
            return await processor.describe(token, credentials)
    except TimeoutError:
        return Described()
    except Exception:
        log.exception("a processor adapter raised")
        return Described()
