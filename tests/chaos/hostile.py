"""A hostile run: three calls in ten go wrong at both vendors while workers are killed."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from adapters.api_keys import key_hash
from adapters.embedded.process import free_port
from adapters.migrations import OPTIONS
from adapters.settings import Settings
from adapters.wiring import application
from commands.caller import Caller
from commands.issue_key import issue_key
from commands.register_merchant import register_merchant
from domain.ids import new_id
from domain.metadata import Actor
from gateway.verbs.running import answers
from gateway.verbs.sandbox_connect import connected
from tests.chaos.buyers import Buyers
from tests.chaos.hostile_verdict import PAID, judge_money
from tests.chaos.hostile_watch import Poller, heard, threads
from tests.chaos.storm import Progress, _folder
from tests.chaos.troupe import Player, Troupe, troupe
from tests.chaos.verdict import History, Verdict
from tests.sandbox_server import SandboxServer, sandbox_server

ROLES: Final = ("gateway", "worker", "worker")
CALL_LIMIT_S: Final = "5"
"""Short, for many calls hang; on a busy machine good ones take their time, too."""
KILL_EVERY_S: Final = 2.5
AIMED: Final = 0.7
AIM_S: Final = 1.0
REST_S: Final = 1200.0
ROUND_S: Final = 1.0
STEP_S: Final = 120
"""How far the sandbox's clock goes with each round of the rest."""
WINDOWS_S: Final = 8 * 86_400
QUIET_ROUNDS: Final = 4
FAULTS_MIN: Final = 50
UNTOUCHED_MAX: Final = 0.02
OVERTIME: Final = 40
"""A slow machine may need so many times the seconds that were asked for."""

# What waits for time alone: everything else is made due by a round.
_HINT: Final = (
    "UPDATE due SET due_at = clock_timestamp() WHERE worker IS NULL AND operation <> ALL(%s)"
)
_WAITING: Final = """
    SELECT count(*) FILTER (WHERE operation <> ALL(%s)), count(worker) FROM due
"""
_UNTOUCHED: Final = (
    "SELECT count(*) FROM due WHERE operation IN ('authorize', 'capture') AND tries = 0"
)
PATIENT: Final = ["warn_expiring", "expire", "watch_hold", "challenge", "expire_session"]


class HostileReport(msgspec.Struct, frozen=True):
    """What a hostile run came to; `answers` are the bad ones that are no fault's."""

    seed: int
    seconds: float
    orders: int
    kills: int
    between: int
    faults: dict[str, int]
    polls: int
    events: int
    rest_s: float
    good: int
    captured: int
    kinds: dict[str, int]
    statuses: dict[str, int]
    odd: dict[str, int]
    answers: dict[str, int]
    webhooks: dict[str, int]
    ended: list[str]
    verdicts: list[Verdict]

    @property
    def failures(self) -> list[str]:
        """What was not as promised; nothing after a good run."""
        return [f"{v.promise}: {wrong}" for v in self.verdicts for wrong in v.wrong]


def hostile(
    *,
    seed: int,
    seconds: float,
    orders: int,
    progress: Progress,
    keep: Path | None = None,
    faults_min: int = FAULTS_MIN,
) -> HostileReport:
    """Sell `orders` within about `seconds` while workers are killed, let windows pass, judge.

    Must run in the main thread, as the servers do. Logs and data stay in `keep`, if it is given.
    """
    with (
        _folder(keep) as folder,
        sandbox_server(folder, lasting=True, seed=seed) as server,
        troupe(
            folder,
            whole=True,
            port=str(free_port()),
            call_limit_s=CALL_LIMIT_S,
            stripe_base_url=server.ready.stripe_url,
            razorpay_base_url=server.ready.razorpay_url,
        ) as all_of_it,
    ):
        # Where a data folder has it: `connected` looks for the sandbox there.
        (folder / "home" / "sandbox-server").symlink_to(folder / "data")
        settings = all_of_it.settings
        all_of_it.start(ROLES)
        api_key = asyncio.run(_shop(settings))
        url = f"http://{settings.host}:{settings.port}"
        _await(all_of_it, url)
        server.control("POST", "profile", name="hostile", seed=seed)
        poller = Poller(server, settings.database_url)
        buyers = Buyers(
            url=url,
            api_key=api_key,
            sandbox_url=server.ready.url,
            database_url=settings.database_url,
            seed=seed,
            orders=orders,
            seconds=seconds,
        )
        began = time.monotonic()
        with threads(poller.run, buyers.run, ends=(poller.end, lambda: _end(buyers))):
            kills = _storm(all_of_it, server, buyers, seconds, faults_min, progress)
            stormed_s = time.monotonic() - began
            faults = {
                _name(rule): rule["fired"] for rule in server.control("GET", "faults")["faults"]
            }
            server.control("POST", "profile", name="calm")
            rest_s = _come_to_rest(all_of_it, server, progress)
        for role in ("worker", "gateway"):
            all_of_it.drain(role)
        log = History(settings.database_url)
        answered, webhooks = heard(folder / "data" / "sandbox.sqlite3")
        verdicts = [
            Verdict("the books never show a violation", poller.polls, tuple(poller.wrong)[:5]),
            _enough("every kind of fault fired", faults, faults_min),
            _enough("webhooks told Loop", {"delivered": webhooks.get("delivered", 0)}, 1),
            _enough("kills fell between intent and outcome", {"kills": kills["between"]}, 1),
            *judge_money(log, server.books(), buyers.sold),
        ]
        good = [o for o in log.orders.values() if o.id in buyers.sold and buyers.sold[o.id].good]
        return HostileReport(
            seed=seed,
            seconds=round(stormed_s, 1),
            orders=len(buyers.sold),
            kills=kills["kills"],
            between=kills["between"],
            faults=faults,
            polls=poller.polls,
            events=len(log.entries),
            rest_s=round(rest_s, 1),
            good=len(good),
            captured=sum(order.status in PAID for order in good),
            kinds=dict(Counter(str(sold.kind) for sold in buyers.sold.values())),
            statuses=dict(Counter(str(order.status) for order in log.orders.values())),
            odd=dict(buyers.odd),
            answers=answered,
            webhooks=webhooks,
            ended=[f"{e.role} {e.code} after {e.after_s:.1f} s" for e in all_of_it.ended],
            verdicts=verdicts,
        )


def _end(buyers: Buyers) -> None:
    buyers.ended = True


def _enough(promise: str, counts: dict[str, int], least: int) -> Verdict:
    few = tuple(f"{name}: {n} of {least}" for name, n in counts.items() if n < least)
    return Verdict(promise, sum(counts.values()), few)


def _name(rule: dict[str, Any]) -> str:
    return f"{rule['do']} {rule.get('place', 'before')}"


async def _shop(settings: Settings) -> str:
    """Register a merchant with accounts at both vendors and webhooks to Loop; return a key."""
    async with application(settings, name="hostile") as app:
        actor = Actor("operator", "hostile")
        caller = Caller(actor=actor, merchant_id="", mode="test", correlation_id=new_id("req"))
        merchant = await register_merchant(app.ports, caller, name="Hostile shop")
        caller = msgspec.structs.replace(caller, merchant_id=merchant.id)
        assert await connected(app, caller) == ["stripe", "razorpay"]
        issued = await issue_key(
            app.ports,
            caller,
            name="hostile",
            mode="test",
            hash_secret=lambda secret: key_hash(app.master_keys, secret),
        )
        return issued.secret


def _await(all_of_it: Troupe, url: str) -> None:
    deadline = time.monotonic() + 60
    while not answers(url):
        assert time.monotonic() < deadline, "the gateway becomes ready"
        all_of_it.revive()
        time.sleep(0.05)


def _storm(
    all_of_it: Troupe,
    server: SandboxServer,
    buyers: Buyers,
    seconds: float,
    faults_min: int,
    progress: Progress,
) -> Counter[str]:
    """Kill a worker every few seconds until all is sold and every fault has come often enough."""
    dice = random.Random(buyers.seed)
    tally: Counter[str] = Counter()
    began = time.monotonic()
    while True:
        time.sleep(dice.uniform(0.5, 1.5) * KILL_EVERY_S)
        workers = [player for player in all_of_it.players if player.role == "worker"]
        sections = _kill(all_of_it, dice.choice(workers), aimed=dice.random() < AIMED)
        tally.update(kills=1, between=int("call" in sections))
        all_of_it.revive()
        progress(len(buyers.sold), "hostile")
        passed_s = time.monotonic() - began
        assert passed_s < max(seconds, 30) * OVERTIME, "the machine is too slow for so many orders"
        if len(buyers.sold) < buyers.orders or passed_s < seconds:
            continue
        if _untouched(all_of_it) > UNTOUCHED_MAX * buyers.orders:
            continue
        fired = [rule["fired"] for rule in server.control("GET", "faults")["faults"]]
        if min(fired) >= faults_min or passed_s > (seconds + 20) * OVERTIME / 4:
            return tally


def _untouched(all_of_it: Troupe) -> int:
    """Count the payments that nobody has begun: the storm is to meet them all."""
    url = all_of_it.settings.database_url
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as db:
        (count,) = db.execute(_UNTOUCHED).fetchone() or (0,)
        return int(count)


def _kill(all_of_it: Troupe, victim: Player, *, aimed: bool) -> tuple[str, ...]:
    """Kill a worker, if it is aimed within a call of a processor; return what it had open."""
    deadline = time.monotonic() + (AIM_S if aimed else 0)
    while True:
        sections = all_of_it.stop_still(victim)
        if "call" in sections or time.monotonic() >= deadline:
            all_of_it.kill(victim)
            return sections
        all_of_it.go_on(victim)
        time.sleep(0.002)


def _come_to_rest(all_of_it: Troupe, server: SandboxServer, progress: Progress) -> float:
    """Let time pass at the vendors and make due what waits, until nothing does any more."""
    began = time.monotonic()
    with psycopg.connect(all_of_it.settings.database_url, autocommit=True, options=OPTIONS) as db:
        _rounds(all_of_it, server, db, progress, PATIENT, STEP_S)
        server.advance(WINDOWS_S)
        _rounds(all_of_it, server, db, progress, ["challenge", "expire_session"], STEP_S)
    return time.monotonic() - began


def _rounds(
    all_of_it: Troupe,
    server: SandboxServer,
    db: psycopg.Connection[Any],
    progress: Progress,
    patient: list[str],
    step_s: float,
) -> None:
    """Make everything due but the patient, until some rounds have brought nothing new."""
    deadline = time.monotonic() + REST_S
    quiet, before = 0, -1
    while quiet < QUIET_ROUNDS and time.monotonic() < deadline:
        all_of_it.revive()
        server.advance(step_s)
        db.execute(_HINT, [patient])
        db.execute("NOTIFY loop_due")
        time.sleep(ROUND_S)
        waiting, acting = db.execute(_WAITING, [patient]).fetchone() or (0, 0)
        (head,) = db.execute("SELECT max(notification_id) FROM events").fetchone() or (0,)
        quiet = quiet + 1 if head == before and not acting else 0
        before = head
        progress(0, f"rest, {waiting} wait")
