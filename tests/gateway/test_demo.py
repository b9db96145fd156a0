import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway.verbs.demo_orders import SCENARIOS, SHOWN
from gateway.verbs.demo_play import Played, differences
from gateway.verbs.demo_steps import Scenario
from tests.gateway.loops import LOOP, environment, folder, loop
from tests.waiting import until


@pytest.fixture(scope="module")
def outcome() -> dict[str, Any]:
    with folder() as data:
        done = loop("demo", "--data", data, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not (data / "up.json").exists()
        found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_demo_ends_as_expected_and_proves_it(outcome: dict[str, Any]) -> None:
    orders = outcome["orders"]
    assert outcome["ok"]
    assert len(orders) == len(SCENARIOS) >= 20
    assert all(order["ok"] for order in orders)
    assert len({order["orderId"] for order in orders}) == len(SCENARIOS)
    assert {"captured", "failed", "cancelled", "refunded", "partially_refunded"} == {
        order["status"] for order in orders
    }


def test_every_order_was_compared_with_read_model_and_bank(outcome: dict[str, Any]) -> None:
    assert outcome["compared"] == len(SCENARIOS) + outcome["rush"]["orders"]
    assert outcome["rush"]["failed"] == 0
    assert outcome["readModelDiffers"] == outcome["bankDiffers"] == outcome["violations"] == []


def test_an_order_that_ends_otherwise_is_told() -> None:
    scenario = Scenario(name="x", steps=(), ends="captured", amount=100)
    order = {"amountCaptured": 200, "amountRefunded": 0, "failure": None}

    assert differences(Played(scenario=scenario, order=order)) == "captured 200, expected 100"
    assert not differences(Played(scenario=scenario, order=order | {"amountCaptured": 100}))


def test_the_script_has_each_name_once_and_what_it_shows() -> None:
    names = [scenario.name for scenario in SCENARIOS]

    assert len(set(names)) == len(names)
    assert set(SHOWN) <= set(names)


def test_a_demo_that_is_stopped_leaves_nothing() -> None:
    with folder() as base:
        base.mkdir(mode=0o711)
        with subprocess.Popen(
            [*LOOP, "demo"],
            env=environment(TMPDIR=str(base)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            asyncio.run(until(lambda: list(base.glob("loop-demo-*/up.json")), 60))
            everybody = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            said, _ = process.communicate(timeout=60)

        _, alive = psutil.wait_procs(everybody, timeout=90)
        assert process.returncode == 130
        assert not alive
        assert "Traceback" not in said
        assert list(base.iterdir()) == []


def test_a_data_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()

    done = loop("demo", "--data", taken)

    assert done.returncode == 2
    assert "is a file" in done.stderr
