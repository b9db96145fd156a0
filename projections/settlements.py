"""Payouts, their lines, and what moved at the processors: what explains a line, and what none has.

It sums over streams (a line of one stream settles a fact of another), so no event is left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import sql
from psycopg.rows import class_row

from domain import events as e
from domain.metadata import Mode
from projections.base import Connection, named

_SCHEMA: Final = """
CREATE TABLE {settlements} (
    settlement_id text COLLATE "C" PRIMARY KEY,
    merchant_id   text COLLATE "C" NOT NULL,
    mode          text COLLATE "C" NOT NULL,
    processor     text COLLATE "C" NOT NULL,
    account       text COLLATE "C" NOT NULL,
    payout_id     text COLLATE "C" NOT NULL,
    amount_minor  bigint           NOT NULL,
    currency      text COLLATE "C" NOT NULL,
    arrived_at    timestamptz      NOT NULL,
    reported_at   timestamptz      NOT NULL,
    lines         int              NOT NULL,  -- that the report has
    position      bigint           NOT NULL
);
CREATE INDEX ON {settlements} (merchant_id, mode, arrived_at DESC, settlement_id DESC);
CREATE TABLE {settlement_lines} (
    settlement_id text COLLATE "C" NOT NULL,
    line_id       text COLLATE "C" NOT NULL,
    kind          text COLLATE "C" NOT NULL,
    reference     text COLLATE "C",             -- the processor's object
    net_minor     bigint           NOT NULL,
    currency      text COLLATE "C" NOT NULL,
    matched       boolean          NOT NULL,
    reason        text COLLATE "C",             -- why it is not
    order_id      text COLLATE "C",
    subject       text COLLATE "C",
    position      bigint           NOT NULL,    -- of the last event about it
    PRIMARY KEY (settlement_id, line_id)
) WITH (fillfactor = 80);
CREATE INDEX ON {settlement_lines} (order_id, kind, subject) WHERE matched;
CREATE TABLE {settlement_facts} (
    order_id     text COLLATE "C" NOT NULL,
    position     bigint           NOT NULL,
    merchant_id  text COLLATE "C" NOT NULL,
    mode         text COLLATE "C" NOT NULL,
    processor    text COLLATE "C" NOT NULL,
    kind         text COLLATE "C",              -- null: it only says what a reference belongs to
    subject      text COLLATE "C" NOT NULL,
    reference    text COLLATE "C",
    amount_minor bigint           NOT NULL,
    currency     text COLLATE "C" NOT NULL,
    occurred_at  timestamptz      NOT NULL,
    PRIMARY KEY (order_id, position)
);
CREATE INDEX ON {settlement_facts} (reference) WHERE reference IS NOT NULL;
CREATE INDEX ON {settlement_facts} (merchant_id, mode, occurred_at) WHERE kind IS NOT NULL;
"""

_NAMES: Final = {
    "settlements": "settlements",
    "settlement_lines": "settlement_lines",
    "settlement_facts": "settlement_facts",
}

_REPORTED: Final = """
INSERT INTO {settlements} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_LINES: Final = """
INSERT INTO {settlement_lines} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (settlement_id, line_id) DO UPDATE SET
    matched = excluded.matched, reason = excluded.reason, order_id = excluded.order_id,
    subject = excluded.subject, position = excluded.position
"""

_FACTS: Final = """
INSERT INTO {settlement_facts} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class SettlementsView:
    """The projection `settlements`; see `projections.base.Projection`."""

    name = "settlements"
    version = 1
    tables = ("settlements", "settlement_lines", "settlement_facts")
    streams = ("ord_", "set_")

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of generation `n`."""
        return named(_SCHEMA, n, **_NAMES)

    async def apply(self, db: Connection, n: int, batch: Sequence[e.Recorded]) -> None:
        """Write the payouts, lines and facts of the rows."""
        for statement, columns in (
            (_REPORTED, _reported),
            (_LINES, _line),
            (_FACTS, _fact),
        ):
            rows = [values for row in batch if (values := columns(row)) is not None]
            if rows:
                async with db.cursor() as cursor:
                    await cursor.executemany(named(statement, n, **_NAMES), rows)


def _reported(row: e.Recorded) -> tuple[Any, ...] | None:
    data = row.data
    if not isinstance(data, e.SettlementReported):
        return None
    of = (row.stream_id, row.metadata.merchant_id, row.metadata.mode)
    payout = (data.processor, data.account, data.payout_id)
    amount = (data.amount.minor, data.amount.currency)
    times = (data.arrived_at, row.metadata.occurred_at)
    return (*of, *payout, *amount, *times, data.lines, row.position)


def _line(row: e.Recorded) -> tuple[Any, ...] | None:
    match row.data:
        case e.SettlementMatched(line=line, match=match):
            state = (True, None, match.order_id, match.subject)
        case e.SettlementUnmatched(line=line) as data:
            state = (False, data.reason, data.order_id, data.subject)
        case _:
            return None
    net = (line.net.minor, line.net.currency)
    return (row.stream_id, line.id, line.kind, line.reference, *net, *state, row.position)


def _fact(row: e.Recorded) -> tuple[Any, ...] | None:
    moved = _moved(row.data)
    if moved is None:
        return None
    kind, subject, reference, processor, amount, sign = moved
    of = (row.stream_id, row.position, row.metadata.merchant_id, row.metadata.mode, processor)
    figures = (sign * amount.minor, amount.currency, row.metadata.occurred_at)
    return (*of, kind, subject, reference, *figures)


def _moved(data: e.AnyEvent) -> tuple[Any, ...] | None:
    """Return kind, subject, reference, processor, amount and its sign."""
    match data:
        case e.OrderCaptured():
            of = (data.capture_id, data.processor_id, data.processor, data.amount, 1)
            return ("capture", *of)
        case e.StrayPaymentFound() if data.state == "captured":
            of = (data.payment_id, data.payment_id, data.processor, data.amount, 1)
            return ("capture", *of)
        case e.OrderRefunded():
            of = (data.refund_id, data.processor_id, data.processor, data.amount, -1)
            return ("refund", *of)
        case e.RefundReversed():
            return ("refund_reversal", data.refund_id, None, data.processor, data.amount, 1)
        case e.DisputeOpened():
            return (None, data.dispute_id, data.processor_id, data.processor, data.amount, 0)
        case e.DisputeFundsWithdrawn():
            return ("dispute", data.dispute_id, None, data.processor, data.amount, -1)
        case e.DisputeFundsReinstated():
            return ("dispute_reversal", data.dispute_id, None, data.processor, data.amount, 1)
        case _:
            return None


class SettlementRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A payout; `unmatched` lines are not explained, `missing` ones not in the log yet."""

    settlement_id: str
    merchant_id: str
    mode: Mode
    processor: str
    account: str
    payout_id: str
    amount_minor: int
    currency: str
    arrived_at: datetime
    reported_at: datetime
    lines: int
    matched: int
    unmatched: int

    @property
    def missing(self) -> int:
        """Lines of the report that were not imported, because an import was cut off."""
        return self.lines - self.matched - self.unmatched


class MissingRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A movement at a processor that no report has brought."""

    order_id: str
    processor: str
    kind: e.LineKind
    subject: str
    amount_minor: int
    currency: str
    occurred_at: datetime


class ExceptionRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A line that is not explained."""

    settlement_id: str
    processor: str
    payout_id: str
    line_id: str
    kind: e.LineKind
    net_minor: int
    currency: str
    reason: e.Mismatch
    reference: str | None = None
    order_id: str | None = None
    subject: str | None = None


_LIST: Final = """
SELECT s.settlement_id, s.merchant_id, s.mode, s.processor, s.account, s.payout_id,
       s.amount_minor, s.currency, s.arrived_at, s.reported_at, s.lines,
       (SELECT count(*) FROM settlement_lines l
        WHERE l.settlement_id = s.settlement_id AND l.matched)::int AS matched,
       (SELECT count(*) FROM settlement_lines l
        WHERE l.settlement_id = s.settlement_id AND NOT l.matched)::int AS unmatched
FROM settlements s WHERE (%(merchant_id)s::text IS NULL OR s.merchant_id = %(merchant_id)s)
  AND s.mode = %(mode)s
ORDER BY s.arrived_at DESC, s.settlement_id DESC LIMIT %(limit)s
"""

_EXCEPTIONS: Final = """
SELECT s.settlement_id, s.processor, s.payout_id, l.line_id, l.kind, l.net_minor, l.currency,
       l.reason, l.reference, l.order_id, l.subject
FROM settlements s JOIN settlement_lines l USING (settlement_id)
WHERE (%(merchant_id)s::text IS NULL OR s.merchant_id = %(merchant_id)s)
  AND s.mode = %(mode)s AND NOT l.matched
ORDER BY s.arrived_at, s.settlement_id, l.position LIMIT %(limit)s
"""

_MISSING: Final = """
SELECT f.order_id, f.processor, f.kind, f.subject, f.amount_minor, f.currency, f.occurred_at
FROM settlement_facts f
WHERE (%(merchant_id)s::text IS NULL OR f.merchant_id = %(merchant_id)s)
  AND f.mode = %(mode)s AND f.kind IS NOT NULL AND f.processor = ANY(%(processors)s)
  AND f.occurred_at < %(before)s
  AND NOT EXISTS (
      SELECT 1 FROM settlement_lines l
      WHERE l.matched AND (l.order_id, l.kind, l.subject) = (f.order_id, f.kind, f.subject))
  AND NOT EXISTS (  -- what came back before any report is in none: the two cancel each other out
      SELECT 1 FROM settlement_facts o
      WHERE o.order_id = f.order_id AND o.subject = f.subject AND o.currency = f.currency
        AND o.kind IS NOT NULL AND o.amount_minor = -f.amount_minor
        AND NOT EXISTS (
            SELECT 1 FROM settlement_lines l
            WHERE l.matched AND (l.order_id, l.kind, l.subject) = (o.order_id, o.kind, o.subject)))
ORDER BY f.occurred_at, f.order_id LIMIT %(limit)s
"""


async def settlements(
    db: Connection, *, merchant_id: str | None, mode: Mode, limit: int
) -> list[SettlementRow]:
    """Return payouts, the latest arrival first."""
    async with db.cursor(row_factory=class_row(SettlementRow)) as cursor:
        await cursor.execute(_LIST, {"merchant_id": merchant_id, "mode": mode, "limit": limit})
        return await cursor.fetchall()


async def exceptions(
    db: Connection, *, merchant_id: str | None, mode: Mode, limit: int
) -> list[ExceptionRow]:
    """Return the lines that are not explained, the oldest payout first."""
    params = {"merchant_id": merchant_id, "mode": mode, "limit": limit}
    async with db.cursor(row_factory=class_row(ExceptionRow)) as cursor:
        await cursor.execute(_EXCEPTIONS, params)
        return await cursor.fetchall()


async def missing(
    db: Connection,
    *,
    merchant_id: str | None,
    mode: Mode,
    processors: Sequence[str],
    before: datetime,
    limit: int,
) -> list[MissingRow]:
    """Return what moved before a time at one of the processors and is in no report.

    What went and came back, both in no report, is not missing.
    """
    params = {"merchant_id": merchant_id, "mode": mode, "limit": limit}
    params |= {"processors": list(processors), "before": before}
    async with db.cursor(row_factory=class_row(MissingRow)) as cursor:
        await cursor.execute(_MISSING, params)
        return await cursor.fetchall()


async def orders_of(
    db: Connection, *, merchant_id: str, mode: Mode, processor: str, references: Sequence[str]
) -> dict[str, str]:
    """Return the orders that the processor's ids belong to."""
    found = await db.execute(
        "SELECT reference, order_id FROM settlement_facts WHERE reference = ANY(%s)"
        " AND merchant_id = %s AND mode = %s AND processor = %s",
        (list(references), merchant_id, mode, processor),
    )
    return {str(reference): str(order_id) for reference, order_id in await found.fetchall()}
