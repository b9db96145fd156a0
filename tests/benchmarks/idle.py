"""`loop up` with nothing to do: time to the first answer, and the memory of all its processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from gateway.verbs.running import answers
from tests.benchmarks.measure import Bar, Outcome, Size, absolute
from tests.benchmarks.memory import family_mib
from tests.benchmarks.stack import Servers, free_port

SETTLE_S = 3.0
ANSWER_S = 60.0


@contextlib.asynccontextmanager
async def up(home: Path) -> AsyncIterator[tuple[int, float]]:
    """Run `loop up`; gives its pid and the seconds until HTTP answered."""
    port = free_port()
    start = time.perf_counter()
    arguments = ("up", "--json", "--data", str(home), "--port", str(port))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOOP_")}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "gateway.cli", *arguments],
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            async with asyncio.timeout(ANSWER_S):
                while not await asyncio.to_thread(answers, f"http://127.0.0.1:{port}"):
                    await asyncio.sleep(0.01)
            seconds = time.perf_counter() - start
            assert process.stdout is not None, "it is a pipe"
            ready = msgspec.json.decode(await asyncio.to_thread(process.stdout.readline))
            assert ready["ready"], "it says when it is ready"
            yield process.pid, seconds
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)


async def run(servers: Servers, size: Size) -> Outcome:
    """Start it on a new folder, then again and again on the same one."""
    home = servers.folder / "idle"
    async with up(home) as (_, first_s):
        pass
    seconds: list[float] = []
    memory: list[float] = []
    for _ in range(size.pairs):
        async with up(home) as (pid, took_s):
            await asyncio.sleep(SETTLE_S)
            seconds.append(took_s)
            memory.append(family_mib([pid], shared_memory=False))
    limit_s = Bar(kind="maximum", limit=3)
    return Outcome(
        results=[
            absolute("idle `loop up`, all processes (PSS)", memory, "MiB", Bar(kind="maximum", limit=300)),
            absolute("`loop up`, first HTTP answer", seconds, "s", limit_s),
            absolute("`loop up` on a new folder, first HTTP answer", [first_s], "s", limit_s),
        ]
    )
