"""Rows for the log, written straight into its table: what a test needs without an event store."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from adapters.codec import encode
from domain import events as e
from domain.ids import new_id
from domain.metadata import Actor, Metadata, Mode, Sealed
from domain.money import Money
from domain.routing import Candidate, Decision, Inputs

START = datetime(2026, 1, 1, tzinfo=UTC)
USD = "USD"


class History:
    """Writes to the log of one test's database; every database's log gets a name of its own."""

    def __init__(self, url: str) -> None:
        self.db = psycopg.connect(url, autocommit=True, options="-c search_path=loop")
        self.at = START
        self.db.execute("UPDATE log_identity SET log_id = %s", [str(uuid.uuid4())])

    def close(self) -> None:
        self.db.close()

    @property
    def head(self) -> int:
        row = self.db.execute("SELECT coalesce(max(notification_id), 0) FROM events").fetchone()
        assert row is not None
        return int(row[0])

    def append(self, rows: Sequence[tuple[str, e.AnyEvent]], merchant: str = "mer_a") -> int:
        """Append events to their streams, in order; return the new head."""
        stored = [(stream, e.tag_of(event), self.state(event, merchant)) for stream, event in rows]
        return self.append_raw(stored)

    def append_raw(self, rows: Sequence[tuple[str, str, bytes]]) -> int:
        """Append (stream, tag, state) as they are."""
        streams, tags, states = (list(column) for column in zip(*rows, strict=True))
        with self.db.transaction():
            self.db.execute("SELECT pg_advisory_xact_lock(hashtextextended('loop.events', 0))")
            self.db.execute(_INSERT, {"streams": streams, "tags": tags, "states": states})
            self.db.execute("NOTIFY loop_events")
        return self.head

    def state(self, event: e.AnyEvent, merchant: str = "mer_a") -> bytes:
        mode = None if isinstance(event, e.MerchantEvent) else "test"
        self.at += timedelta(milliseconds=7)
        metadata = Metadata(
            event_id=new_id("evt"),
            merchant_id=merchant,
            mode=mode,
            occurred_at=self.at,
            actor=Actor("operator", "test"),
            correlation_id="corr",
        )
        return encode(metadata, event)


_INSERT = """
INSERT INTO events (originator_id, originator_version, topic, state, notification_id, recorded_at)
SELECT n.stream,
       coalesce((SELECT max(originator_version) FROM events WHERE originator_id = n.stream), 0)
           + row_number() OVER (PARTITION BY n.stream ORDER BY n.i),
       n.topic, n.state,
       (SELECT coalesce(max(notification_id), 0) FROM events) + n.i, clock_timestamp()
FROM unnest(%(streams)s::text[], %(tags)s::text[], %(states)s::bytea[])
     WITH ORDINALITY AS n (stream, topic, state, i)
ORDER BY n.i
"""


def created(amount: int = 1000, **fields: Any) -> e.OrderCreated:
    return e.OrderCreated(amount=Money(amount, USD), **fields)


def life(order_id: str | None = None, amount: int = 1000) -> list[tuple[str, e.OrderEvent]]:
    """An order that is authorized, captured and partly refunded: seven events."""
    order = order_id or new_id("ord")
    money, attempt, capture, refund = Money(amount, USD), f"att_{order}", f"cap_{order}", "ref_1"
    facts: list[e.OrderEvent] = [
        created(amount, external_id=f"x-{order}", personal=Sealed("key_1", b"\x00sealed\xff")),
        routed(attempt, money),
        e.OrderAuthorized(attempt_id=attempt, processor="stripe", payment_id="pi_1", amount=money),
        e.CaptureRequested(
            attempt_id=attempt,
            capture_id=capture,
            processor="stripe",
            amount=money,
            remainder="released",
            idempotency_key=f"capture:{capture}",
        ),
        e.OrderCaptured(
            attempt_id=attempt,
            capture_id=capture,
            processor="stripe",
            processor_id="ch_1",
            amount=money,
            released=Money(0, USD),
            remaining=Money(0, USD),
        ),
        e.RefundRequested(
            refund_id=refund,
            attempt_id=attempt,
            processor="stripe",
            payment_id="pi_1",
            amount=Money(amount // 2, USD),
            kind="merchant",
            idempotency_key="refund:ref_1",
        ),
        e.OrderRefunded(
            refund_id=refund,
            attempt_id=attempt,
            processor="stripe",
            processor_id="re_1",
            amount=Money(amount // 2, USD),
            kind="merchant",
        ),
    ]
    return [(order, fact) for fact in facts]


def endpoint_added(
    endpoint_id: str = "whe_a", *events: str, mode: Mode = "test"
) -> e.EndpointAdded:
    return e.EndpointAdded(
        endpoint_id=endpoint_id,
        mode=mode,
        url=Sealed("key_1", b"sealed"),
        events=events or ("*",),
        api_version="2026-11-01",
    )


def routed(attempt: str, money: Money, processor: str = "stripe", number: int = 1) -> e.OrderRouted:
    return e.OrderRouted(
        attempt_id=attempt,
        number=number,
        processor=processor,
        account="acct",
        credential_version=1,
        idempotency_key=f"pay:{attempt}",
        amount=money,
        decision=decision(money, processor),
    )


def decision(money: Money, processor: str) -> Decision:
    return Decision(
        policy_version=0,
        rule="default",
        inputs=Inputs(order_id="ord_x", amount_minor=money.minor, currency=money.currency),
        candidates=(
            Candidate("stripe", eligible=True, reason="configured"),
            Candidate("razorpay", eligible=False, reason="not configured"),
        ),
        chosen=processor,
    )
