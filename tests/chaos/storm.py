"""A storm: the whole of Loop at work while everything that can be killed is killed."""

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from nats.errors import Error as NatsError

from adapters.migrations import OPTIONS
from adapters.nats import STREAM, Bus
from projections import PROJECTIONS
from tests.chaos.kills import Killer
from tests.chaos.troupe import Troupe, troupe
from tests.chaos.verdict import Verdict, judge
from tests.chaos.witnesses import Acknowledged, Tail

ORDERS_PER_S: Final = 24.0
OVERTIME: Final = 4
"""A slow machine may need so many times the seconds that were asked for."""
REST_S: Final = 180.0
INSIDE_MIN: Final = 0.5

_WAITING: Final = """
    SELECT (SELECT count(*) FROM due
            WHERE operation NOT IN ('warn_expiring', 'expire', 'challenge', 'watch_hold'))
         + (SELECT count(*) FROM projection_positions
            WHERE position < (SELECT max(notification_id) FROM events))
"""


class Report(msgspec.Struct, frozen=True):
    """What a storm came to."""

    seed: int
    seconds: float
    kills: dict[str, int]
    inside: dict[str, int]
    open: dict[str, int]
    share_inside: float
    events: int
    acknowledged: int
    rest_s: float
    ended: list[str]
    drained: dict[str, list[int]]
    verdicts: list[Verdict]

    @property
    def failures(self) -> list[str]:
        """What was not as promised; nothing after a good run."""
        broken = [f"{v.promise}: {wrong}" for v in self.verdicts for wrong in v.wrong]
        undrained = [f"{role} ended with {codes}" for role, codes in self.drained.items()
                     if any(codes)]  # fmt: skip
        missed = [] if self.share_inside >= INSIDE_MIN else [
            f"only {self.share_inside:.0%} of the kills fell inside a critical section"
        ]  # fmt: skip
        return broken + undrained + missed


Progress = Callable[[int, str], None]


def storm(
    *, seed: int, seconds: float, kills: int, progress: Progress, keep: Path | None = None
) -> Report:
    """Kill `kills` times within about `seconds`, let all come to rest, and judge.

    Must run in the main thread, as the servers do. Logs and data stay in `keep`, if it is given.
    """
    with (
        _folder(keep) as folder,
        troupe(folder, orders_per_s=ORDERS_PER_S) as all_of_it,
        Acknowledged(folder / "acks") as acknowledged,
    ):
        with Tail(all_of_it.postgres.url) as tail:
            all_of_it.start()
            killer = Killer(all_of_it, seed)
            began = time.monotonic()
            _storm(all_of_it, killer, random.Random(seed), seconds, kills, progress)
            stormed_s = time.monotonic() - began
            drained, rest_s = _come_to_rest(all_of_it, tail, progress)
        acknowledged.end()
        progress(kills, "judging")
        verdicts = judge(all_of_it.settings, acknowledged, tail)
        tally = killer.tally
        return Report(
            seed=seed,
            seconds=round(stormed_s, 1),
            kills=dict(tally.kills),
            inside=dict(tally.inside),
            open=dict(tally.open),
            share_inside=round(tally.share, 3),
            events=len(tail.entries),
            acknowledged=len(acknowledged.entries),
            rest_s=round(rest_s, 1),
            ended=[f"{e.role} {e.code} after {e.after_s:.1f} s" for e in all_of_it.ended],
            drained=drained,
            verdicts=verdicts,
        )


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give a folder that PostgreSQL's own user may pass through."""
    if keep is not None:
        keep.mkdir(mode=0o711, parents=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="loop-storm-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def _storm(
    all_of_it: Troupe,
    killer: Killer,
    rng: random.Random,
    seconds: float,
    kills: int,
    progress: Progress,
) -> None:
    """Strike at random moments, spread evenly; who is late strikes without a pause."""
    began = time.monotonic()
    moments = sorted(rng.uniform(0.5, seconds) for _ in range(kills))
    done = 0
    while (done := sum(killer.tally.kills.values())) < kills:
        late_s = time.monotonic() - began - moments[done]
        assert late_s < seconds * OVERTIME, "the machine is too slow for so many kills"
        time.sleep(max(0.0, -late_s))
        killer.strike()
        all_of_it.revive()
        progress(done + 1, "storm")
    killer.close()


def _come_to_rest(
    all_of_it: Troupe, tail: Tail, progress: Progress
) -> tuple[dict[str, list[int]], float]:
    """End the writers, let the workers finish what waits, end them too; return exit codes."""
    progress(0, "coming to rest")
    began = time.monotonic()
    while not all_of_it.settled():
        assert time.monotonic() < began + REST_S, "processes that nobody kills stay up"
        time.sleep(0.05)
    codes = {"writer": all_of_it.drain("writer")}
    while _waiting(all_of_it):
        all_of_it.revive()
        if time.monotonic() > began + REST_S:
            break
        time.sleep(0.1)
    rest_s = time.monotonic() - began
    asyncio.run(_published(all_of_it))
    for role in ("saga", "projections", "relay"):
        codes[role] = all_of_it.drain(role)
    with psycopg.connect(all_of_it.postgres.url, autocommit=True, options=OPTIONS) as db:
        (head,) = db.execute("SELECT max(notification_id) FROM events").fetchone() or (0,)
    while len(tail.entries) < head and time.monotonic() < began + REST_S:
        time.sleep(0.01)
    return codes, rest_s


def _waiting(all_of_it: Troupe) -> int:
    """Return how many steps and projections are not done."""
    with psycopg.connect(all_of_it.postgres.url, autocommit=True, options=OPTIONS) as db:
        row = db.execute(_WAITING).fetchone()
        assert row is not None
        made = db.execute("SELECT count(*) FROM projection_positions").fetchone()
        return int(row[0]) + len(PROJECTIONS) - (made or (0,))[0]


async def _published(all_of_it: Troupe) -> None:
    """Wait until the stream has the whole log, for a while."""
    with psycopg.connect(all_of_it.postgres.url, autocommit=True, options=OPTIONS) as db:
        (head,) = db.execute("SELECT max(notification_id) FROM events").fetchone() or (0,)
    async with Bus(all_of_it.settings.nats_url, name="storm") as bus:
        js = (await bus.client(10)).jetstream(timeout=5)
        deadline = time.monotonic() + REST_S / 3
        while time.monotonic() < deadline:
            with contextlib.suppress(NatsError, TimeoutError):
                if (await js.stream_info(STREAM)).state.last_seq >= head:
                    return
            await asyncio.sleep(0.1)
