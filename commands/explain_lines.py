"""Explaining lines of a payout's report: by orders' facts, by earlier payouts, each used once."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from commands.append import (
    Append,
    Claim,
    ClaimTaken,
    DueChange,
    NewEvent,
    VersionTaken,
    Write,
)
from commands.caller import Caller
from commands.execute import CONFLICTS_MAX, due_changes
from commands.ports import Ports
from commands.settlement_reports import SettlementIndex
from domain import events as e
from domain import settlement as s
from domain.errors import Conflict, NotFound
from domain.ids import is_id, named_id
from domain.order.commands import RecordFee
from domain.order.decide import decide
from domain.order.evolve import evolve, fold
from domain.order.state import Order
from domain.settlement_facts import Fact, Key, facts


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
        known = await _known(ports, caller, index, settlement, entries)
        try:
            await _append(ports, caller, settlement, entries, known)
        except (VersionTaken, ClaimTaken):
            settlement = await load_settlement(ports, caller, settlement.id)
            continue
        return await load_settlement(ports, caller, settlement.id)
    raise Conflict("concurrent_change", "The settlement changed meanwhile; try again.")


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What may explain lines: orders by id, earlier payouts by theirs, and what does so already."""

    orders: Mapping[str, Sequence[e.Recorded]]
    facts: Sequence[Fact]
    payouts: Mapping[str, s.Settlement]
    taken: set[Key]


async def _known(
    ports: Ports,
    caller: Caller,
    index: SettlementIndex,
    settlement: s.Settlement,
    entries: Sequence[s.Entry],
) -> _Known:
    orders = await _orders(ports, caller, index, settlement, entries)
    found = [fact for rows in orders.values() for fact in facts(rows)]
    payouts = await _payouts(ports, settlement, entries)
    keys = {fact.key for fact in found} | {s.return_key(payout_id) for payout_id in payouts}
    taken = await index.taken(merchant_id=caller.merchant_id, mode=caller.mode, keys=keys)
    return _Known(orders=orders, facts=found, payouts=payouts, taken=settlement.taken | taken)


async def _payouts(
    ports: Ports, settlement: s.Settlement, entries: Sequence[s.Entry]
) -> dict[str, s.Settlement]:
    """Return the payouts of the same account that came back, as the lines say."""
    lines = [x.line for x in entries if x.line.kind == "payout_reversal"]
    of = (settlement.merchant_id, settlement.mode, settlement.processor, settlement.account)
    ids = {line.reference: named_id("set", *of, line.reference) for line in lines if line.reference}
    rows = await ports.store.load(sorted(ids.values())) if ids else {}
    folded = {payout_id: s.fold(rows[stream_id]) for payout_id, stream_id in ids.items()}
    return {payout_id: found for payout_id, found in folded.items() if found is not None}


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
    known: _Known,
) -> None:
    taken = set(known.taken)
    events: list[e.AnyEvent] = []
    fees: list[tuple[Fact, e.Line]] = []
    for entry in entries:
        found, fact = _explain(entry.line, known, taken)
        if isinstance(found, e.Match):
            if (key := s.key_of(entry.line, found)) is not None:
                taken.add(key)
            if fact is not None:
                fees.append((fact, entry.line))
            events.append(
                e.SettlementMatched(processor=settlement.processor, line=entry.line, match=found)
            )
        elif _is_news(settlement, entry.line, found):
            events.append(unmatched(settlement.processor, entry.line, found, fact))
    if events:
        await append(ports, caller, settlement, events, fees, known.orders)


def _explain(
    line: e.Line, known: _Known, taken: set[Key]
) -> tuple[e.Match | e.Mismatch, Fact | None]:
    if line.kind == "payout_reversal":
        return s.explain_return(line, known.payouts.get(line.reference or ""), taken), None
    return s.explain(line, known.facts, taken)


def _is_news(settlement: s.Settlement, line: e.Line, reason: e.Mismatch) -> bool:
    state = settlement.line(line.id)
    return state is None or state.reason != reason


def unmatched(
    processor: str, line: e.Line, reason: e.Mismatch, fact: Fact | None
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
    fees: Sequence[tuple[Fact, e.Line]],
    orders: Mapping[str, Sequence[e.Recorded]],
) -> None:
    """Write events of a settlement, and to the orders the fees that its lines told.

    What explains a line is claimed in the same append, and given back where it does no more.

    Raises:
        ClaimTaken: something of it explains a line of another payout.
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
    claims = tuple(_claims(caller, settlement, events))
    await ports.store.append(Append(writes=(*writes, own), claims=claims, due=tuple(due)))


def _claims(
    caller: Caller, settlement: s.Settlement, events: Sequence[e.AnyEvent]
) -> Iterator[Claim]:
    scope = f"{caller.merchant_id}:{caller.mode}"
    for event in events:
        match event:
            case e.SettlementMatched(line=line, match=match):
                key, owner = s.key_of(line, match), settlement.id
            case e.SettlementUnmatched(line=line, undone=match) if match is not None:
                key, owner = s.key_of(line, match), None
            case _:
                continue
        if key is not None:
            yield Claim(kind="settled", scope=scope, value=s.key_text(key), owner=owner)


def _told(
    ports: Ports, caller: Caller, before: Order, fees: Sequence[tuple[Fact, e.Line]]
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


def _new(ports: Ports, caller: Caller, event: e.AnyEvent) -> NewEvent:
    return NewEvent(metadata=caller.metadata(ports.now(), mode=caller.mode), data=event)
