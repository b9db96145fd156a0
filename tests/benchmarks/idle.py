"""`loop up` with nothing to do: time to the first answer, and the memory of all its processes."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from tests.benchmarks import stack
from tests.benchmarks.measure import Bar, Outcome, Size, absolute
from tests.benchmarks.memory import family_mib
from tests.benchmarks.stack import Servers, free_port

SETTLE_S = 3.0


@contextlib.asynccontextmanager
async def up(home: Path) -> AsyncIterator[tuple[int, float]]:
    """Run `loop up`; gives its pid and the seconds until HTTP answered."""
    port = free_port()
    begun = time.perf_counter()
    arguments = ("up", "--json", "--data", str(home), "--port", str(port))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOOP_")}
    process = stack.start("gateway.cli", *arguments, env=clean, output=subprocess.PIPE)
    assert process.stdout is not None, "it is a pipe"
    try:
        await stack.responds(f"http://127.0.0.1:{port}", process)
        seconds = time.perf_counter() - begun
        ready = msgspec.json.decode(await asyncio.to_thread(process.stdout.readline))
        assert ready["ready"], "it says when it is ready"
        yield process.pid, seconds
    finally:
        await stack.ended(process)
        process.stdout.close()


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
            absolute(
                "idle `loop up`, all processes (PSS)", memory, "MiB", Bar(kind="maximum", limit=300)
            ),
            absolute("`loop up`, first HTTP answer", seconds, "s", limit_s),
            absolute("`loop up` on a new folder, first HTTP answer", [first_s], "s", limit_s),
        ]
    )
