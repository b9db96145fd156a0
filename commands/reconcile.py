"""Comparing what a processor lists with the log: what it has that we do not know, what differs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from commands.observed import Listed, ListedPayment, Observed
from commands.ports import Ports
from commands.processor import Credentials
from domain.events import ProcessorConfigured, Recorded
from domain.ids import is_id
from domain.metadata import Mode
from domain.order.evolve import fold
from domain.order.parts import Attempt
from domain.order.state import Order

YOUNG: Final = timedelta(minutes=2)
"""What is younger is still being worked on: only whether we know it is asked, not how far it is."""


class AccountAt(msgspec.Struct, frozen=True, kw_only=True):
    """An account that a merchant has or had at a processor, with its newest credentials.

    Attributes:
        since: when it was first configured.
    """

    merchant_id: str
    mode: Mode
    processor: str
    account: str
    credential_version: int
    since: datetime


class Unplaced(msgspec.Struct, frozen=True, kw_only=True):
    """An object that carries our ids, and whose reference the log does not know.

    Attributes:
        attempt_known: the log has this attempt, but with another reference, or closed without one.
    """

    item: Listed
    attempt_known: bool


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What a page of a list shows.

    Attributes:
        unplaced: orphans, if they have money.
        differing: order and attempt of what the log has otherwise; to be looked at.
        under_way: when the oldest object was made whose reference is about to be committed.
    """

    unplaced: tuple[Unplaced, ...] = ()
    differing: tuple[tuple[str, str], ...] = ()
    under_way: datetime | None = None


def accounts_of(merchant_id: str, rows: Sequence[Recorded]) -> list[AccountAt]:
    """Return every account that a merchant's stream names, in the order of their first use."""
    found: dict[tuple[str, str, str], AccountAt] = {}
    for row in rows:
        event = row.data
        if not isinstance(event, ProcessorConfigured):
            continue
        key = (event.mode, event.processor, event.account)
        before = found.get(key)
        found[key] = AccountAt(
            merchant_id=merchant_id,
            mode=event.mode,
            processor=event.processor,
            account=event.account,
            credential_version=event.credential_version,
            since=before.since if before else row.recorded_at,
        )
    return list(found.values())


async def credentials_of(ports: Ports, account: AccountAt) -> Credentials | None:
    """Return what opens the account; None where that was destroyed, so that nobody can ask."""
    processor = ports.processors.get(account.processor)
    if processor is None:
        return None
    found = await ports.vault.credentials(
        account.merchant_id, account.mode, account.processor, account.credential_version
    )
    return found if found.values or not processor.fields else None


async def compare(
    ports: Ports, account: AccountAt, items: Sequence[Listed], *, now: datetime
) -> Compared:
    """Compare listed objects with the log, which is read afterwards and so knows what was routed.

    What carries no id of this merchant is somebody else's and left alone.

    Raises:
        domain.errors.Unavailable: the log cannot be reached.
    """
    ours = [item for item in items if item.merchant_id == account.merchant_id]
    ids = {item.order_id for item in ours if item.order_id and is_id(item.order_id, "ord")}
    streams = await ports.store.load(sorted(ids)) if ids else {}
    orders = {order_id: fold(rows) for order_id, rows in streams.items()}
    unplaced: list[Unplaced] = []
    differing: list[tuple[str, str]] = []
    under_way: list[datetime] = []
    for item in ours:
        order = orders.get(item.order_id or "")
        if order is not None and order.merchant_id != account.merchant_id:
            order = None
        attempt = order.attempt(item.attempt_id or "") if order else None
        if order is not None and attempt is not None and attempt.reference == item.reference:
            if now - item.at > YOUNG and differs(order, attempt, item):
                differing.append((order.id, attempt.id))
        elif attempt is not None and attempt.reference is None and attempt.can_take_money:
            under_way.append(item.at)
        else:
            unplaced.append(Unplaced(item=item, attempt_known=attempt is not None))
    return Compared(
        unplaced=tuple(unplaced),
        differing=tuple(differing),
        under_way=min(under_way, default=None),
    )


def differs(order: Order, attempt: Attempt, item: Listed) -> bool:
    """Tell whether a list shows money of an attempt that the order has not recorded so."""
    shown = {payment.payment_id for payment in item.payments}
    held = attempt.held.minor if attempt.held is not None else 0
    if held and attempt.payment_id not in shown:
        return True
    return any(_differs(order, attempt, payment) for payment in item.payments)


def _differs(order: Order, attempt: Attempt, payment: ListedPayment) -> bool:
    stray = order.stray(payment.payment_id)
    if stray is None and attempt.payment_id != payment.payment_id:
        return True
    if stray is not None:
        captured = stray.amount.minor if stray.state == "captured" else 0
    else:
        captured = sum(
            capture.amount.minor
            for capture in order.captures
            if capture.attempt_id == attempt.id and capture.status == "succeeded"
        )
    refunds = [r for r in order.refunds if r.payment_id == payment.payment_id]
    sure = sum(r.amount.minor for r in refunds if r.status == "succeeded")
    open_ = sum(r.amount.minor for r in refunds if r.status in {"pending", "unknown"})
    asked = payment.captured_minor != captured and order.pending_capture is None
    return asked or not sure <= payment.refunded_minor <= sure + open_


class OrphanMoney(msgspec.Struct, frozen=True, kw_only=True):
    """What an orphan holds, over all payments of its reference, in ISO minor units."""

    status: str
    currency: str
    held_minor: int
    captured_minor: int
    refunded_minor: int

    @property
    def settled(self) -> bool:
        """Whether nothing is there any more, and nothing can come."""
        ended = self.status in {"cancelled", "expired", "captured"}
        return ended and not self.held_minor and self.captured_minor <= self.refunded_minor


def money_of(seen: Observed) -> OrphanMoney:
    """Return what a lookup shows of an orphan's money."""
    parts = (seen, *seen.others)
    return OrphanMoney(
        status=seen.status,
        currency=seen.currency,
        held_minor=sum(part.held_minor for part in parts),
        captured_minor=sum(c.amount_minor for part in parts for c in part.captures),
        refunded_minor=sum(
            r.amount_minor for part in parts for r in part.refunds if r.status == "succeeded"
        ),
    )
