"""What becomes of a webhook in the inbox: whose it is, and whether the processor is asked.

A webhook is a hint. Nothing of it is recorded: it makes somebody look, unless the order knows
already what it tells.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from commands.ports import InboxRow, Ports
from commands.processor import Hint
from commands.sagas.payment import Looked
from domain.ids import is_id
from domain.order.evolve import fold
from domain.order.parts import Attempt
from domain.order.state import Order

State = Literal["applied", "known", "ignored", "quarantined", "unmatched"]
Look: TypeAlias = Callable[[str, str], Awaitable[Looked]]


class Settled(msgspec.Struct, frozen=True):
    """The end of a row; `reason` holds no ids."""

    state: State
    reason: str | None = None


class Parked(msgspec.Struct, frozen=True):
    """Nothing can be said yet: the row is tried again later, some times, and then stays so."""

    reason: str
    stays: Literal["parked", "unmatched"] = "unmatched"


async def apply_webhook(ports: Ports, look: Look, rows: Sequence[InboxRow]) -> Settled | Parked:
    """Apply rows that point at the same object of the same accounts; one look is for them all.

    Raises:
        domain.errors.Unavailable: the log cannot be reached.
    """
    hints = [row.hint for row in rows]
    if not hints[0].reference:
        return Settled("ignored", "about no payment")
    found = await _owner(ports, rows)
    if not isinstance(found, tuple):
        return found
    order, attempt = found
    if all(knows(attempt, hint) for hint in hints):
        return Settled("known")
    match await look(order.id, attempt.id):
        case "changed":
            return Settled("applied")
        case "same":
            return Settled("known")
        case "unseen":
            return Parked("the processor does not show it", stays="parked")


async def _owner(
    ports: Ports, rows: Sequence[InboxRow]
) -> tuple[Order, Attempt] | Settled | Parked:
    """Return whose object it is; by the log where it names it, else by the ids that it carries."""
    row = rows[0]
    reference = row.hint.reference
    named = next((r.hint for r in rows if r.hint.order_id and is_id(r.hint.order_id, "ord")), None)
    ids = await ports.inbox.orders_of(reference)
    if named is not None and named.order_id is not None and named.order_id not in ids:
        ids = [*ids, named.order_id]
    streams = await ports.store.load(ids) if ids else {}
    orders = [order for rows in streams.values() if (order := fold(rows)) is not None]
    owners = [(o, a) for o in orders for a in o.attempts if a.reference == reference]
    mine = [owner for owner in owners if foreign(row, *owner) is None]
    if mine:
        return mine[0]
    if owners:
        return Settled("quarantined", foreign(row, *owners[0]))
    return _not_referenced(row, named, orders)


def _not_referenced(row: InboxRow, named: Hint | None, orders: Sequence[Order]) -> Settled | Parked:
    """Say what an object is that the log does not name: it may be about to."""
    order = next((o for o in orders if named is not None and o.id == named.order_id), None)
    if named is None or order is None:
        return Parked("the log knows no such object")
    attempt = order.attempt(named.attempt_id or "")
    reason = foreign(row, order, attempt)
    if reason is not None:
        return Settled("quarantined", reason)
    if attempt is None or attempt.reference is None:
        return Parked("the attempt has no reference yet")
    return Settled("unmatched", "the attempt has another reference")


def foreign(row: InboxRow, order: Order, attempt: Attempt | None) -> str | None:
    """Say what of an order is not of those who signed; None where all is."""
    modes = {account.partition(":")[0] for account in row.accounts}
    if order.merchant_id != row.merchant_id:
        return "another merchant's order"
    if order.mode not in modes:
        return "an order of the other mode"
    if attempt is None:
        return None
    if attempt.processor != row.processor:
        return "another processor's attempt"
    if f"{order.mode}:{attempt.account}" not in row.accounts:
        return "an attempt at another account"
    return None


def knows(attempt: Attempt, hint: Hint) -> bool:
    """Tell whether the order knows already all that such an event can tell."""
    same = hint.payment_id is not None and hint.payment_id == attempt.payment_id
    match hint.tells:
        case "opened":
            return True
        case "authorized":
            return same and attempt.authorized is not None
        case "captured":
            return same and attempt.status == "captured"
        case "other":
            return False
