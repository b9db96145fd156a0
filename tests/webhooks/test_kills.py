"""Dispatchers that die by SIGKILL in the middle of sending: everything arrives, in order."""

import subprocess
import sys
from collections import defaultdict

from tests.receiver import Receiver
from tests.waiting import running, until
from tests.webhooks.conftest import Told
from tests.webhooks.test_deliveries import LIFE

KILLS = 2
ORDERS = 40


async def test_nothing_is_lost_when_dispatchers_are_killed(idle: Told, receiver: Receiver) -> None:
    """Two at a time share the work; whoever is killed leaves what it held to the other."""
    await idle.endpoint(receiver.url)
    orders = [idle.order() for _ in range(ORDERS)]
    alive: list[subprocess.Popen[bytes]] = []
    relay, feed, projector, _ = idle.workers()
    try:
        async with running(relay, feed, projector):
            await idle.made(ORDERS * len(LIFE))
            alive += [start(idle), start(idle)]
            for kill in range(1, KILLS + 1):
                await until(lambda n=kill: len(receiver.received) >= n * 50, 60)
                killed = alive.pop(0)
                killed.kill()
                killed.wait()
                alive.append(start(idle))
            await idle.over(ORDERS * len(LIFE))
    finally:
        for process in alive:
            process.kill()
            process.wait()
    arrived: dict[str, list[str]] = defaultdict(list)
    for one in receiver.received:
        if one.body["type"] not in arrived[one.body["orderId"]]:
            arrived[one.body["orderId"]].append(one.body["type"])
    assert dict(arrived) == dict.fromkeys(orders, LIFE)


def start(told: Told) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "work", "--only", "dispatcher"],
        env=told.app.settings.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
