"""The HTTP load generator, a process of its own: raw sockets, keep-alive, one request at a time.

It reads a `Job` as JSON from stdin and prints a `Report`. Every connection sends its next request
as soon as the last byte of the answer is there. `{serial}` in a request becomes 16 digits that
never repeat, so that each request is a new one.
"""

import asyncio
import itertools
import random
import statistics
import sys
import time
from typing import Any, Final

import msgspec
import uvloop
from typing_extensions import override

SERIAL: Final = b"{serial}--------"
"""Stands in a request where the serial number goes: 16 bytes, as long as the number."""

GENERATOR: Final = "tests/benchmarks/load.py (asyncio protocol on uvloop, one process)"
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, and for how long; requests are sent in turn.

    Attributes:
        rate: requests/s of all connections together; None is as fast as answers come. With a rate
            the time of a request counts from when it was due.
    """

    host: str
    port: int
    connections: int
    seconds: float
    warm_up_s: float
    requests: list[bytes]
    status: int = 201
    rate: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came back inside the window; `failed` had another status.

    Attributes:
        answered: requests answered in all, before and after the window too.
        cpu_us: CPU time of whoever answered, for each of them.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    answered: int
    cpu_us: float = 0.0


class Run:
    """What all connections share."""

    def __init__(self, job: Job) -> None:
        self._requests = itertools.cycle(job.requests)
        self._serials = itertools.count(time.time_ns() // 1000)
        self.every_s = job.connections / job.rate if job.rate else 0.0
        self.status = str(job.status).encode()
        self.counting = False
        self.stopping = False
        self.failed = 0
        self.answered = 0
        self.latencies: list[float] = []

    def request(self) -> bytes:
        return next(self._requests).replace(SERIAL, b"%016d" % next(self._serials))

    def done(self, status: bytes, seconds: float) -> None:
        self.answered += 1
        if self.counting:
            self.latencies.append(seconds)
            self.failed += status != self.status


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: Any = None
        self._buffer = b""
        self._sent = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._sent = time.perf_counter() + random.uniform(0, self._run.every_s)
        self._next()

    def _next(self) -> None:
        """Send the next request, or wait until it is due."""
        early_s = self._sent - time.perf_counter()
        if early_s > 0:
            asyncio.get_running_loop().call_later(early_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if not self._run.stopping:
            self._transport.write(self._run.request())

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(_END)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.index(_LENGTH) + len(_LENGTH)
        length = int(head[at:].split(b"\r", 1)[0])
        if len(self._buffer) < end + len(_END) + length:
            return
        now = time.perf_counter()
        self._run.done(head[9:12], now - self._sent)
        self._buffer = b""
        self._sent = self._sent + self._run.every_s if self._run.every_s else now
        self._next()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self._run.stopping:
            raise ConnectionError("the server closed a connection") from exc


async def generate(job: Job) -> Report:
    """Run a job."""
    loop = asyncio.get_running_loop()
    run = Run(job)
    opened = [
        await loop.create_connection(lambda: Connection(run), job.host, job.port)
        for _ in range(job.connections)
    ]
    await asyncio.sleep(job.warm_up_s)
    run.counting = True
    start = time.perf_counter()
    await asyncio.sleep(job.seconds)
    run.counting = False
    seconds = time.perf_counter() - start
    run.stopping = True
    for transport, _ in opened:
        transport.close()
    cuts = statistics.quantiles(run.latencies, n=100)
    return Report(
        per_second=len(run.latencies) / seconds,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
        failed=run.failed,
        answered=run.answered,
    )


async def loaded(job: Job) -> Report:
    """Run a job in a process of its own.

    Raises:
        AssertionError: it failed, or some answers had another status.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(msgspec.json.encode(job))
    assert process.returncode == 0, "the load generator failed"
    report = msgspec.json.decode(output, type=Report)
    assert report.failed == 0, f"{report.failed} answers had another status"
    return report


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(generate(job))))


if __name__ == "__main__":
    main()
