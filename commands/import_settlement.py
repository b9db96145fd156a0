"""The verb: take in a report of a payout, and explain its lines by the orders' books.

A payout is one stream, whoever brings its report and however often. Lines are written in batches,
each with the fees that the orders learn from it; an import that was cut off is finished by the
next.
"""

from typing import Final

import msgspec

from commands.append import Append, NewEvent, VersionTaken, Write
from commands.caller import Caller
from commands.explain_lines import explained, load_settlement
from commands.ports import Ports
from commands.settlement_reports import SettlementIndex
from domain import events as e
from domain import settlement as s
from domain.errors import Rejected
from domain.ids import named_id

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
    new = NewEvent(metadata=caller.metadata(ports.now(), mode=mode), data=event)
    write = Write(stream_id=settlement_id, expected_version=0, events=(new,))
    try:
        await ports.store.append(Append(writes=(write,)))
    except VersionTaken:
        return settlement_id, False
    return settlement_id, True


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
