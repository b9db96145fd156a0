"""The verbs on lines of a settlement: look again, accept in spite of the figures, take back."""

from collections.abc import Sequence

from commands.append import ClaimTaken, VersionTaken
from commands.caller import Caller
from commands.explain_lines import append, explained, load_settlement
from commands.ports import Ports
from commands.settlement_reports import SettlementIndex
from domain import events as e
from domain import settlement as s
from domain.errors import Conflict, NotFound, Rejected
from domain.settlement_facts import Fact, facts


async def match_again(
    ports: Ports, caller: Caller, index: SettlementIndex, settlement_id: str
) -> s.Settlement:
    """Look for matches of all lines that have none.

    Raises:
        NotFound: no such settlement.
        Conflict: `concurrent_change`.
    """
    settlement = await load_settlement(ports, caller, settlement_id)
    open_lines = [s.Entry(line=x.line, order_id=x.order_id) for x in _open(settlement)]
    if not open_lines:
        return settlement
    return await explained(ports, caller, index, settlement, open_lines)


def _open(settlement: s.Settlement) -> list[s.LineState]:
    return [line for line in settlement.lines if line.match is None]


async def accept_line(
    ports: Ports,
    caller: Caller,
    *,
    settlement_id: str,
    line_id: str,
    outside: bool,
) -> s.Settlement:
    """Explain a line although its figures differ; what is off is posted as a correction.

    Args:
        ports: where it is written.
        caller: on whose behalf.
        settlement_id: of the payout.
        line_id: the processor's.
        outside: the money never went through Loop, whatever the line is about.

    Raises:
        NotFound: no such settlement or line.
        Rejected: `already_matched`; `currency_differs`; `not_ours`: no order is known, say that it
            is from outside; `duplicate`: what it is about explains another line.
        Conflict: `concurrent_change`.
    """
    settlement = await load_settlement(ports, caller, settlement_id)
    state = _line(settlement, line_id)
    if state.match is not None:
        raise Rejected("already_matched", f"{line_id} is explained already.")
    rows = await _rows(ports, state)
    fact = None if outside else _fact(state, rows)
    if fact is not None and fact.key in settlement.taken:
        raise _duplicate()
    match = e.Match(outside=True) if outside else s.accepted(state.line, fact)
    event = e.SettlementMatched(processor=settlement.processor, line=state.line, match=match)
    fees = [(fact, state.line)] if fact else []
    orders = {fact.order_id: rows} if fact else {}
    try:
        await append(ports, caller, settlement, [event], fees, orders)
    except VersionTaken:
        raise Conflict("concurrent_change", "It changed meanwhile; try again.") from None
    except ClaimTaken:
        raise _duplicate() from None
    return await load_settlement(ports, caller, settlement_id)


def _duplicate() -> Rejected:
    return Rejected("duplicate", "What the line is about explains another one already.")


async def _rows(ports: Ports, state: s.LineState) -> Sequence[e.Recorded]:
    if state.order_id is None:
        return ()
    return (await ports.store.load([state.order_id]))[state.order_id]


def _fact(state: s.LineState, rows: Sequence[e.Recorded]) -> Fact:
    found = [
        fact
        for fact in facts(rows)
        if (fact.kind, fact.subject) == (state.line.kind, state.subject)
    ]
    if not found:
        message = "No order is known that it is about; say --outside if it is none of Loop's."
        raise Rejected("not_ours", message)
    return found[0]


async def unmatch_line(
    ports: Ports, caller: Caller, settlement_id: str, line_id: str
) -> s.Settlement:
    """Take a match back: the line is not explained any more.

    Raises:
        NotFound: no such settlement or line.
        Rejected: `not_matched`.
        Conflict: `concurrent_change`.
    """
    settlement = await load_settlement(ports, caller, settlement_id)
    state = _line(settlement, line_id)
    if state.match is None:
        raise Rejected("not_matched", f"{line_id} has no match.")
    event = e.SettlementUnmatched(
        processor=settlement.processor,
        line=state.line,
        reason="undone",
        order_id=state.match.order_id,
        subject=state.match.subject,
        undone=state.match,
    )
    try:
        await append(ports, caller, settlement, [event], [], {})
    except VersionTaken:
        raise Conflict("concurrent_change", "It changed meanwhile; try again.") from None
    return await load_settlement(ports, caller, settlement_id)


def _line(settlement: s.Settlement, line_id: str) -> s.LineState:
    found = settlement.line(line_id)
    if found is None:
        raise NotFound("not_found", f"{settlement.payout_id} has no line {line_id}.")
    return found
