"""Logs of many random orders, and books kept from them by plain addition."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

from msgspec.structs import replace

from domain import events as e
from domain.metadata import Actor, Metadata
from domain.postings import balance, postings
from tests.domain.histories import Life
from tests.history import START

SHOPS = (("mer_a", "test"), ("mer_a", "live"), ("mer_b", "test"))


def random_log(seed: int, *, orders: int, length: int = 25) -> list[e.Recorded]:
    """Return the interleaved events of random orders of two merchants, in position order."""
    random = Random(seed)
    streams: list[list[e.Recorded]] = []
    for number in range(orders):
        life = Life(random)
        while len(life.events) < length and life.count < 4 * length:
            life.step()
        merchant, mode = random.choice(SHOPS)
        streams.append(_rows(f"ord_{number:04}", merchant, mode, life.events))
    turns = [n for n, rows in enumerate(streams) for _ in rows]
    random.shuffle(turns)
    heads = [iter(rows) for rows in streams]
    log = [next(heads[n]) for n in turns]
    return [
        replace(row, position=at, recorded_at=START + timedelta(seconds=at))
        for at, row in enumerate(log, 1)
    ]


def _rows(
    stream: str, merchant: str, mode: Any, events: Sequence[e.OrderEvent]
) -> list[e.Recorded]:
    return [
        e.Recorded(
            stream_id=stream,
            version=version,
            position=0,
            recorded_at=START,
            metadata=Metadata(
                event_id=f"evt_{stream}_{version}",
                merchant_id=merchant,
                mode=mode,
                occurred_at=START + timedelta(minutes=version),
                actor=Actor("operator", "test"),
                correlation_id="c",
            ),
            data=event,
        )
        for version, event in enumerate(events, 1)
    ]


Books = dict[tuple[str, str], int]
"""Balances by currency and account."""


class Fold:
    """Books of every merchant and mode, by adding up one event after the other."""

    def __init__(self) -> None:
        self.debits: Counter[tuple[str, str, str, str]] = Counter()
        self.credits: Counter[tuple[str, str, str, str]] = Counter()

    def see(self, row: e.Recorded) -> None:
        transfer = postings(row.data, row.metadata)
        for entry in transfer.entries if transfer else ():
            key = (row.metadata.merchant_id, str(row.metadata.mode), entry.amount.currency)
            side = self.debits if entry.direction == "debit" else self.credits
            side[*key, entry.account] += entry.amount.minor

    def of(self, merchant: str, mode: str) -> Books:
        return {
            (currency, account): balance(
                account,
                self.debits[merchant, mode, currency, account],
                self.credits[merchant, mode, currency, account],
            )
            for whose, which, currency, account in {*self.debits, *self.credits}
            if (whose, which) == (merchant, mode)
        }
