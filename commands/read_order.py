"""Reads of one order: the fold of its stream, so that everybody reads their own writes."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from commands.caller import Caller
from commands.execute import load_order
from commands.ports import Ports
from domain.events import ChallengeKind
from domain.order.parts import Refund
from domain.order.state import Order
from domain.personal import Personal


async def read_order(ports: Ports, caller: Caller, order_id: str) -> Order:
    """Return an order of the caller's merchant and mode.

    Raises:
        NotFound: for any other id.
    """
    return await load_order(ports, caller, order_id)


async def open_personal(ports: Ports, orders: Sequence[Order]) -> list[Personal]:
    """Return the personal part of each order, in order; empty where none is left."""
    boxes = [order.personal for order in orders if order.personal is not None]
    opened = iter(await ports.vault.open(boxes) if boxes else [])
    found: list[Personal] = []
    for order in orders:
        raw = next(opened) if order.personal is not None else None
        found.append(msgspec.json.decode(raw, type=Personal) if raw else Personal())
    return found


async def open_reasons(ports: Ports, refunds: Sequence[Refund]) -> list[str | None]:
    """Return the reason of each refund, in order; None where there is none or it is erased."""
    boxes = [refund.reason for refund in refunds if refund.reason is not None]
    opened = iter(await ports.vault.open(boxes) if boxes else [])
    found: list[str | None] = []
    for refund in refunds:
        raw = next(opened) if refund.reason is not None else None
        found.append(msgspec.json.decode(raw, type=str) if raw else None)
    return found


class OpenChallenge(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer has to do now. `expires_at` is UTC."""

    kind: ChallengeKind
    redirect_url: str
    client_secret: str | None
    expires_at: datetime
    publishable_key: str | None = None
    key_id: str | None = None

    def __repr__(self) -> str:
        return f"OpenChallenge({self.kind}, ***)"


class ChallengeSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What the vault keeps of an open challenge."""

    redirect_url: str | None = None
    client_secret: str | None = None
    publishable_key: str | None = None
    key_id: str | None = None

    def __repr__(self) -> str:
        return "ChallengeSecret(***)"


CHALLENGE_FIELD = "challenge"


async def open_challenge(ports: Ports, order: Order) -> OpenChallenge | None:
    """Return the open challenge of an order that requires an action, None for any other."""
    live = order.live
    if order.ended or live is None or live.status != "challenged":
        return None
    assert live.challenge is not None, "a challenge has a kind"
    assert live.deadline is not None, "a challenge has a deadline"
    raw = await ports.vault.get_secret(live.id, CHALLENGE_FIELD, merchant_id=order.merchant_id)
    secret = msgspec.json.decode(raw, type=ChallengeSecret) if raw else ChallengeSecret()
    return OpenChallenge(
        kind=live.challenge,
        redirect_url=secret.redirect_url or f"{ports.public_url}/checkout/{order.id}",
        client_secret=secret.client_secret,
        expires_at=live.deadline,
        publishable_key=secret.publishable_key,
        key_id=secret.key_id,
    )
