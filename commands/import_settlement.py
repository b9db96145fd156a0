"""The verb: take in a report of a payout, and explain its lines by the orders' books.

A payout is one stream, whoever brings its report and however often. Lines are written in batches,
each with the fees that the orders learn from it; an import that was cut off is finished by the
next.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from commands.append import Append, DueChange, NewEvent, VersionTaken, Write
from commands.caller import Caller
from commands.execute import CONFLICTS_MAX, due_changes
from commands.ports import Ports
from commands.settlement_reports import SettlementIndex
from domain import events as e
from domain import settlement as s
from domain.errors import Conflict, NotFound, Rejected
from domain.ids import is_id, named_id
from domain.order.commands import RecordFee
from domain.order.decide import decide
from domain.order.evolve import evolve, fold
from domain.order.state import Order

BATCH: Final = 100
"""Lines that are written at once."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a report.

    Attributes:
        new: whether the payout was not known before.
        added: lines that were not known before.
    """

    settlement: s.Settlement
    new: bool
    added: int


async def import_settlement(
    ports: Ports, caller: Caller, index: SettlementIndex, report: s.Report, *, account: str
) -> Imported:
    """Write the payout, unless it is known, and every line of it that is not.

    Args:
        ports: where it is written.
        caller: on whose behalf; the merchant and mode that the payout is of.
        index: must be level with the log, or lines stay without a match until they are matched.
        report: what the processor says.
        account: the fingerprint of the account that it is of.

    Raises:
        Rejected: `invalid_report`; `settlement_differs`: it was reported otherwise before.
        Conflict: `concurrent_change`.
    """
    event = s.reported(report, account)
    settlement_id, new = await _begun(ports, caller, event)
    known = await load_settlement(ports, caller, settlement_id)
    _check(known, event, report)
    fresh = [entry for entry in report.entries if known.line(entry.line.id) is None]
    for start in range(0, len(fresh), BATCH):
        known = await explained(ports, caller, index, known, fresh[start : start + BATCH])
    return Imported(settlement=known, new=new, added=len(fresh))


async def _begun(ports: Ports, caller: Caller, event: e.SettlementReported) -> tuple[str, bool]:
    """Return the stream of a payout, and whether it was begun now."""
    mode, names = caller.mode, (event.processor, event.account, event.payout_id)
    settlement_id = named_id("set", caller.merchant_id, mode, *names)
    write = Write(stream_id=settlement_id, expected_version=0, events=(_new(ports, caller, event),))
    try:
        await ports.store.append(Append(writes=(write,)))
    except VersionTaken:
        return settlement_id, False
    return settlement_id, True


def _new(ports: Ports, caller: Caller, event: e.AnyEvent) -> NewEvent:
    return NewEvent(metadata=caller.metadata(ports.now(), mode=caller.mode), data=event)


async def load_settlement(ports: Ports, caller: Caller, settlement_id: str) -> s.Settlement:
    """Return a settlement of the caller's merchant and mode.

    Raises:
        NotFound: for any other id.
    """
    missing = NotFound("not_found", "There is no such settlement.")
    if not is_id(settlement_id, "set"):
        raise missing
    found = s.fold((await ports.store.load([settlement_id]))[settlement_id])
    if found is None or (found.merchant_id, found.mode) != (caller.merchant_id, caller.mode):
        raise missing
    return found


def _check(known: s.Settlement, event: e.SettlementReported, report: s.Report) -> None:
    if (known.amount, known.count) != (event.amount, event.lines):
        message = (
            f"{known.payout_id} was reported with {known.count} lines and {known.amount}, "
            f"not {event.lines} and {event.amount}."
        )
        raise Rejected("settlement_differs", message)
    for entry in report.entries:
        state = known.line(entry.line.id)
        if state is not None and _figures(state.line) != _figures(entry.line):
            message = f"{entry.line.id} of {known.payout_id} was reported otherwise before."
            raise Rejected("settlement_differs", message)


def _figures(line: e.Line) -> tuple[object, ...]:
    """Return what all reports of a line agree on; only some say the rate."""
    return line.kind, line.reference, line.gross, line.settled, line.fee


async def explained(
    ports: Ports,
    caller: Caller,
    index: SettlementIndex,
    settlement: s.Settlement,
    entries: Sequence[s.Entry],
) -> s.Settlement:
    """Explain lines as far as the orders' books do, write it, and return the settlement after.

    Lines that have no match already and get none again are written only if the reason is another.

    Raises:
        Conflict: `concurrent_change`.
    """
    for _ in range(CONFLICTS_MAX):
        orders = await _orders(ports, caller, index, settlement, entries)
        taken = settlement.taken | await index.taken(list(orders))
        try:
            await _append(ports, caller, settlement, entries, orders, taken)
        except VersionTaken:
            settlement = await load_settlement(ports, caller, settlement.id)
            continue
        return await load_settlement(ports, caller, settlement.id)
    raise Conflict("concurrent_change", "The settlement changed meanwhile; try again.")


async def _orders(
    ports: Ports,
    caller: Caller,
    index: SettlementIndex,
    settlement: s.Settlement,
    entries: Sequence[s.Entry],
) -> dict[str, tuple[e.Recorded, ...]]:
    """Return the rows of the merchant's orders that the lines may be about."""
    references = [x.line.reference for x in entries if x.line.reference is not None]
    found = await index.orders_of(
        merchant_id=caller.merchant_id,
        mode=caller.mode,
        processor=settlement.processor,
        references=references,
    )
    named = {x.order_id for x in entries if x.order_id is not None and is_id(x.order_id, "ord")}
    ids = sorted(named | set(found.values()))
    rows = await ports.store.load(ids) if ids else {}
    return {
        order_id: events
        for order_id, events in rows.items()
        if events
        and (events[0].metadata.merchant_id, events[0].metadata.mode)
        == (caller.merchant_id, caller.mode)
    }


async def _append(
    ports: Ports,
    caller: Caller,
    settlement: s.Settlement,
    entries: Sequence[s.Entry],
    orders: Mapping[str, Sequence[e.Recorded]],
    taken: set[s.Key],
) -> None:
    facts = [fact for rows in orders.values() for fact in s.facts(rows)]
    events: list[e.AnyEvent] = []
    fees: list[tuple[s.Fact, e.Line]] = []
    for entry in entries:
        found, fact = s.explain(entry.line, facts, taken)
        if isinstance(found, e.Match):
            if fact is not None:
                taken.add(fact.key)
                fees.append((fact, entry.line))
            events.append(
                e.SettlementMatched(processor=settlement.processor, line=entry.line, match=found)
            )
        elif _is_news(settlement, entry.line, found):
            events.append(unmatched(settlement.processor, entry.line, found, fact))
    if events:
        await append(ports, caller, settlement, events, fees, orders)


def _is_news(settlement: s.Settlement, line: e.Line, reason: e.Mismatch) -> bool:
    state = settlement.line(line.id)
    return state is None or state.reason != reason


def unmatched(
    processor: str, line: e.Line, reason: e.Mismatch, fact: s.Fact | None
) -> e.SettlementUnmatched:
    """Return the event of a line without a match."""
    return e.SettlementUnmatched(
        processor=processor,
        line=line,
        reason=reason,
        order_id=fact.order_id if fact else None,
        subject=fact.subject if fact else None,
    )


async def append(
    ports: Ports,
    caller: Caller,
    settlement: s.Settlement,
    events: Sequence[e.AnyEvent],
    fees: Sequence[tuple[s.Fact, e.Line]],
    orders: Mapping[str, Sequence[e.Recorded]],
) -> None:
    """Write events of a settlement, and to the orders the fees that its lines told.

    Raises:
        VersionTaken: another append was first.
    """
    writes: list[Write] = []
    due: list[DueChange] = []
    for order_id, rows in orders.items():
        of_order = [(f, line) for f, line in fees if f.order_id == order_id and f.fee is None]
        before = fold(rows)
        if before is None or not of_order:
            continue
        write, after = _told(ports, caller, before, of_order)
        if write is not None:
            writes.append(write)
            due += due_changes(before, after)
    own = Write(
        stream_id=settlement.id,
        expected_version=settlement.version,
        events=tuple(_new(ports, caller, event) for event in events),
    )
    await ports.store.append(Append(writes=(*writes, own), due=tuple(due)))


def _told(
    ports: Ports, caller: Caller, before: Order, fees: Sequence[tuple[s.Fact, e.Line]]
) -> tuple[Write | None, Order]:
    """Return what an order learns of its fees, and the order after it."""
    after, new = before, list[NewEvent]()
    for fact, line in fees:
        command = RecordFee(
            attempt_id=fact.attempt_id,
            of=fact.of,
            subject=fact.subject,
            amount=line.fee,
            reversal=fact.is_reversal,
        )
        for event in decide(after, command):
            made = _new(ports, caller, event)
            after = evolve(after, event, made.metadata)
            new.append(made)
    if not new:
        return None, before
    return Write(stream_id=before.id, expected_version=before.version, events=tuple(new)), after
