"""What processes use: memory as Linux shares it out (PSS), and CPU time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import psutil

MIB = 1024.0 * 1024


def pss_mib(pid: int, *, shared_memory: bool = True) -> float:
    """Return a process's PSS, 0.0 when it is gone.

    Args:
        pid: of the process.
        shared_memory: whether shared memory counts; PostgreSQL's caches are there.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return 0.0
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (kib["Pss"] - (0 if shared_memory else kib["Pss_Shmem"])) / 1024


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def family_cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time of processes and their descendants, also ended ones, in seconds."""
    total = 0.0
    for member in {member for pid in pids for member in family(pid)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(member).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def family_mib(pids: Iterable[int], *, shared_memory: bool = True) -> float:
    """Return the PSS of processes and their descendants."""
    members = {member for pid in pids for member in family(pid)}
    return sum(pss_mib(pid, shared_memory=shared_memory) for pid in members)


@contextlib.asynccontextmanager
async def sampled(pid: int, every_s: float = 0.2) -> AsyncIterator[list[float]]:
    """Give a list that grows by a process's PSS in MiB as long as the block lasts."""
    samples: list[float] = []

    async def sample() -> None:
        while True:
            samples.append(pss_mib(pid))
            await asyncio.sleep(every_s)

    task = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        task.cancel()
