import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from typing_extensions import override

from adapters.embedded.stack import find_stack
from gateway.supervisor import RESTARTS_MAX, GaveUp, Restarts, Supervisor
from gateway.verbs.running import answers
from tests.gateway.loops import LOOP, Up, environment, folder, loop, up
from tests.waiting import until

SERVERS = ("sandbox", "postgres", "nats")
ORDER = {"amount": 4999, "currency": "USD"}
CARD = {"paymentMethod": {"type": "card", "token": "sbx_approve"}}


@pytest.fixture
def data() -> Iterator[Path]:
    with folder() as path:
        yield path


def paid_order(running: Up) -> dict[str, Any]:
    """Create and pay an order."""
    with httpx.Client(base_url=running.url, headers=running.headers, timeout=90) as http:
        order = http.post("/v1/orders", json=ORDER).raise_for_status().json()
        path = f"/v1/orders/{order['id']}"
        http.post(f"{path}/pay", json=CARD, headers={"Prefer": "wait=20"}).raise_for_status()
        paid: dict[str, Any] = http.get(path).raise_for_status().json()
    return paid


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether none of the processes is left."""
    _, alive = psutil.wait_procs(processes, timeout=90)
    return not alive


def until_all_are_counted(url: str) -> None:
    """Wait until the gateway's metrics tell of the workers' payment and read models, too."""
    wanted = (
        'payment_attempts_total{currency="USD",processor="sandbox",status="captured"} 1.0',
        'payment_amount_total{currency="USD",processor="sandbox"} 4999.0',
        'projection_lag_events{projection="orders"} 0.0',
        'http_requests_total{method="POST",route="/v1/orders",status="201"} 1.0',
    )

    def told() -> bool:
        lines = httpx.get(f"{url}/metrics").text.splitlines()
        return all(line in lines for line in wanted)

    asyncio.run(until(told))


def test_the_ready_line_is_exact_and_alone_and_sigterm_ends_everything(data: Path) -> None:
    with up(data, "--workers", "2") as running:
        ready, everybody = running.ready, running.everybody()
        assert list(ready) == [
            "ready", "url", "sandboxUrl", "apiKey", "merchantId", "data", "pids",
        ]  # fmt: skip
        assert ready["ready"] is True
        assert ready["data"] == str(data)
        assert ready["apiKey"].startswith("sk_test_")
        assert ready["merchantId"].startswith("mer_")
        assert httpx.get(f"{ready['url']}/ready").status_code == 200
        pids = ready["pids"]
        assert list(pids) == ["gateway", "worker", "sandbox", "postgres", "nats"]
        assert (len(pids["gateway"]), len(pids["worker"])) == (1, 2)
        named = {*pids["gateway"], *pids["worker"], *(pids[n] for n in SERVERS)}
        assert named <= {process.pid for process in everybody}
        assert paid_order(running)["status"] == "captured"
        until_all_are_counted(ready["url"])
        assert (data / "shop.json").stat().st_mode & 0o777 == 0o600
        assert (data / "up.json").stat().st_mode & 0o777 == 0o600

        assert running.end() == (0, "")

    assert all_gone(everybody)
    assert not (data / "up.json").exists()


def test_people_get_a_line_that_begins_with_ready(data: Path) -> None:
    command = [*LOOP, "up", "--data", data, "--port", "0"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        process.terminate()
        assert process.wait(60) == 0

    assert words[0] == "ready"
    assert words[1].startswith("http://127.0.0.1:")
    assert words[2:5] == ["data", str(data), "key"]
    assert words[5].startswith("sk_test_")


def test_a_killed_loop_leaves_nobody_and_the_next_one_finds_the_orders(data: Path) -> None:
    with up(data) as first:
        order = paid_order(first)
        everybody = first.everybody()
        first.kill()
    assert all_gone(everybody)

    with up(data) as second:
        assert second.ready["apiKey"] == first.ready["apiKey"]
        found = httpx.get(f"{second.url}/v1/orders/{order['id']}", headers=second.headers)
        assert found.json() | {"nextAction": None} == order


async def test_what_dies_is_started_again(data: Path) -> None:
    with up(data) as running:
        stack = find_stack(data)
        assert stack is not None
        pids = running.ready["pids"]
        for pid in (*pids["worker"], *pids["gateway"], pids["nats"], pids["postgres"]):
            os.kill(pid, signal.SIGKILL)

        def mended() -> bool:
            note = find_stack(data)
            return note is not None and note.pids.postgres != stack.pids.postgres

        await until(mended, 60)
        await until(lambda: answers(running.url), 60)
        assert paid_order(running)["status"] == "captured"
        assert running.end()[0] == 0


def test_a_second_loop_on_the_same_folder_is_refused(data: Path) -> None:
    with up(data) as first:
        second = loop("up", "--data", data, "--port", "0")

        assert second.returncode == 2
        assert f"another `loop up` (pid {first.process.pid})" in second.stderr
        assert second.stdout == ""
        assert answers(first.url)


def test_a_taken_port_is_told_before_anything_starts(data: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        refused = loop("up", "--data", data, "--port", port)

    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert not (data / "postgres").exists()


def test_external_servers_are_used_where_both_are_named(
    data: Path, database_url: str, nats_url: str
) -> None:
    servers = {
        "LOOP_DATABASE_URL": database_url,
        "LOOP_NATS_URL": nats_url,
        "LOOP_MASTER_KEYS": f"k1:{'ab' * 32}",
    }
    with up(data, **servers) as running:
        pids = running.ready["pids"]
        assert (pids["postgres"], pids["nats"]) == (None, None)
        assert paid_order(running)["status"] == "captured"
        with psycopg.connect(database_url) as db:
            (events,) = db.execute("SELECT count(*) FROM loop.events").fetchone() or (0,)
        assert events > 0
        assert running.end()[0] == 0


def test_one_external_server_alone_is_refused(data: Path) -> None:
    refused = loop("up", "--data", data, "--port", "0", LOOP_NATS_URL="nats://127.0.0.1:1")

    assert refused.returncode == 1
    assert "set both of LOOP_DATABASE_URL and LOOP_NATS_URL, or none" in refused.stderr


def test_restarts_wait_longer_each_time_and_end_after_ten_in_a_minute() -> None:
    now = 0.0
    restarts = Restarts(lambda: now)

    pauses = [restarts.pause_s() for _ in range(RESTARTS_MAX)]

    assert pauses == sorted(pauses)
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 5.0
    with pytest.raises(GaveUp, match="10 restarts within 60 s"):
        restarts.pause_s()
    now = 60.0
    assert restarts.pause_s() == 0.1


class AtOnce(Restarts):
    """Counts, but does not wait."""

    @override
    def pause_s(self) -> float:
        super().pause_s()
        return 0.0


async def test_a_child_that_cannot_live_ends_the_supervisor(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(
        environment={},
        logs=tmp_path,
        servers_up=lambda: False,
        say=told.append,
        restarts=AtOnce(),
    )
    supervisor.add("worker", "nonsense")

    def gave_up() -> str | None:
        try:
            supervisor.look()
        except GaveUp as error:
            return str(error)
        return None

    last: list[str | None] = []
    await until(lambda: last.append(gave_up()) or last[-1], 60)
    assert last[-1] is not None
    assert "the last of worker" in last[-1]
    assert "No such command 'nonsense'" in last[-1]
    assert told == ["worker ended with exit code 2; again in 0.0 s"] * RESTARTS_MAX
