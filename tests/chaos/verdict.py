"""What a storm has left behind, judged: the log, the bus, the read models, the bank's own books."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import psycopg
from nats.js.api import ConsumerConfig, DeliverPolicy

from adapters.migrations import OPTIONS
from adapters.nats import EVENT_ID, STREAM, Bus
from adapters.read_models import decoded
from adapters.sandbox.bank import Bank
from adapters.sandbox.books import Books
from adapters.settings import Settings
from domain.events import Recorded
from domain.order.evolve import evolve
from domain.order.state import Order
from domain.order.steps import steps
from projections import PROJECTIONS
from replay.compare import compare
from tests.chaos.processes import GOOD
from tests.chaos.witnesses import Acknowledged, Entry, Tail, entry_of, rows

SAID_MAX: Final = 5


class Verdict(msgspec.Struct, frozen=True):
    """One promise, how much was looked at, and what breaks it (the first few)."""

    promise: str
    looked_at: int
    wrong: tuple[str, ...]


class History:
    """The whole log, read once after the storm."""

    def __init__(self, url: str) -> None:
        self.entries: list[Entry] = []
        self.orders: dict[str, Order] = {}
        self.keys: Counter[str] = Counter()
        self.disorder: list[str] = []
        self._versions: dict[str, int] = {}
        with psycopg.connect(url, autocommit=True, options=OPTIONS) as db:
            last_at = None
            while page := rows(db, len(self.entries)):
                for row in page:
                    if row.position != len(self.entries) + 1:
                        self.disorder.append(f"{row.position} follows on {len(self.entries)}")
                    if last_at is not None and row.recorded_at < last_at:
                        self.disorder.append(f"{row.position} is older than the one before")
                    last_at = row.recorded_at
                    self.entries.append(entry_of(row))
                    self._fold(decoded(row))
            self.due = {
                (order, subject): operation
                for order, subject, operation in db.execute(
                    "SELECT order_id, subject, operation FROM due"
                ).fetchall()
            }
            self.answers = Counter(
                key for (key,) in db.execute("SELECT key FROM idempotency").fetchall()
            )

    def _fold(self, row: Recorded) -> None:
        if row.version != self._versions.get(row.stream_id, 0) + 1:
            self.disorder.append(f"{row.stream_id} has version {row.version} out of turn")
        self._versions[row.stream_id] = row.version
        if row.metadata.idempotency_key and row.metadata.actor.kind == "operator":
            self.keys[row.metadata.idempotency_key] += 1
        if row.stream_id.startswith("ord_"):
            order = evolve(
                self.orders.get(row.stream_id), row.data, row.metadata, stream_id=row.stream_id
            )
            assert order is not None, "an event makes an order"
            self.orders[row.stream_id] = order


def judge(settings: Settings, acknowledged: Acknowledged, tail: Tail) -> list[Verdict]:
    """Judge everything, after all has come to rest."""
    log = History(settings.database_url)
    bank = Bank(settings.sandbox_books)
    try:
        books = bank.books()
    finally:
        bank.close()
    head = len(log.entries)
    ids = Counter(entry.event_id for entry in log.entries)
    return [
        _verdict("positions are dense, versions too, time never goes back", head, log.disorder),
        _verdict("no event is twice in the log", head, [i for i, n in ids.items() if n > 1]),
        _verdict(
            "nothing acknowledged is lost", len(acknowledged.entries), _lost(acknowledged, log)
        ),
        _verdict("a reader never sees a hole or a row behind it", head, _unlike(tail, log)),
        _verdict("no caller gets an answer that it should not", head, acknowledged.complaints),
        _verdict("one key, one effect, one record", len(log.keys), _keys(log)),
        _verdict("due rows are what the log derives", len(log.due), _due(log)),
        *_of_money(log, books),
        asyncio.run(_bus(settings, log)),
        *asyncio.run(_read_models(settings, head)),
    ]


def _verdict(promise: str, looked_at: int, wrong: Iterable[str]) -> Verdict:
    return Verdict(promise, looked_at, tuple(wrong)[:SAID_MAX])


def _lost(acknowledged: Acknowledged, log: History) -> list[str]:
    return [
        f"{entry} was acknowledged"
        for entry in acknowledged.entries.values()
        if entry.position > len(log.entries) or log.entries[entry.position - 1] != entry
    ]


def _unlike(tail: Tail, log: History) -> list[str]:
    unlike = [
        f"the reader saw {seen}, the log has {entry}"
        for seen, entry in zip(tail.entries, log.entries, strict=False)
        if seen != entry
    ]
    missing = [] if len(tail.entries) == len(log.entries) else ["the reader saw not all of it"]
    return [*tail.complaints, *missing, *unlike]


def _keys(log: History) -> list[str]:
    twice = [f"{key} has {n} records" for key, n in log.answers.items() if n > 1]
    without = [f"{key} has events and no record" for key in log.keys.keys() - log.answers.keys()]
    return twice + without


def _due(log: History) -> list[str]:
    derived = {
        (order.id, step.subject): step.operation
        for order in log.orders.values()
        for step in steps(order)
    }
    return [str(row) for row in derived.items() ^ log.due.items()]


def _of_money(log: History, books: Books) -> list[Verdict]:
    orders = log.orders.values()
    good = [o for o in orders if o.live and o.live.token in GOOD]
    automatic = [o for o in good if o.capture_method == "automatic" and not o.cancel_requested]
    bad = [o for o in orders if o.live and o.live.token not in GOOD]

    def total(order: Order, name: str) -> int:
        book = books.orders.get(order.id)
        return getattr(book, name) if book else 0

    def taken(order: Order) -> int:
        book = books.orders.get(order.id)
        return sum(1 for p in book.payments if p.captured) if book else 0

    def differs(name: str, ours: Callable[[Order], int]) -> list[str]:
        return [
            f"{order.id} has {name} {ours(order)}, the bank says {total(order, name)}"
            for order in orders
            if total(order, name) != ours(order)
        ]

    unequal = differs("captured", lambda o: o.amount_captured)
    unequal += differs("refunded", lambda o: o.amount_refunded)
    unequal += differs("held", _held)
    uncaptured = [
        f"{o.id} is {o.status}, captured by {taken(o)} payments"
        for o in automatic
        if (taken(o), total(o, "captured")) != (1, o.amount.minor)
    ]
    ends = {"failed", "cancelled"}
    charged = [f"{o.id} is {o.status}" for o in bad if taken(o) or o.status not in ends]
    strays = [o.id for o in orders if o.strays or o.discrepancies]
    return [
        _verdict("the bank finds no violation", len(books.orders), map(str, books.violations)),
        _verdict("totals per order are the bank's", len(orders), unequal),
        _verdict("every good order is captured exactly once", len(automatic), uncaptured),
        _verdict("no declined order is charged", len(bad), charged),
        _verdict("no money is stray, nothing is in question", len(orders), strays),
    ]


def _held(order: Order) -> int:
    return sum(a.held.minor for a in order.attempts if a.held)


async def _bus(settings: Settings, log: History) -> Verdict:
    """Compare every message's sequence and event id with the log."""
    promise = "the stream is the log: sequence for position, id for id"
    wrong: list[str] = []
    async with Bus(settings.nats_url, name="verdict") as bus:
        js = (await bus.client(10)).jetstream(timeout=10)
        state = (await js.stream_info(STREAM)).state
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, headers_only=True)
        pull = await js.pull_subscribe("", stream=STREAM, config=config)
        position = state.first_seq - 1
        while position < state.last_seq:
            for message in await pull.fetch(500, timeout=10):
                position += 1
                sequence = message.metadata.sequence.stream
                event_id = (message.headers or {}).get(EVENT_ID)
                if sequence != position or log.entries[position - 1].event_id != event_id:
                    wrong.append(f"sequence {sequence} after {position - 1} is {event_id}")
                await message.ack()
        await pull.unsubscribe()
    if state.last_seq != len(log.entries):
        wrong.append(f"the stream ends at {state.last_seq}, the log at {len(log.entries)}")
    return _verdict(promise, state.messages, wrong)


async def _read_models(settings: Settings, head: int) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for projection in PROJECTIONS.values():
        found = await compare(settings.database_url, projection)
        wrong = [str(difference) for difference in found.differences]
        if (found.position, found.parked) != (head, 0):
            wrong.append(f"stands at {found.position} of {head}, {found.parked} parked")
        verdicts.append(_verdict(f"{projection.name} is the fold of the log", head, wrong))
    return verdicts
