"""What `/ready` says when a read model that sums meets an event that it cannot apply."""

import asyncio
from typing import Any

import httpx

from domain.ids import new_id
from tests.gateway.conftest import Service
from tests.history import History, life
from tests.waiting import until


def checks(service: Service) -> dict[str, Any]:
    answer = httpx.get(f"{service.url}/ready", timeout=90)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["checks"]
    return found


def test_a_sum_stops_at_an_event_that_it_cannot_apply_and_ready_says_so(service: Service) -> None:
    asyncio.run(until(lambda: checks(service)["projections"].get("ledger") == 0))
    assert "stopped" not in checks(service)
    history = History(service.database_url)
    order = new_id("ord")
    history.append(life(order)[:5])
    poison = history.append_raw([(order, "order.teleported.v9", b"{}")])
    history.append(life())

    asyncio.run(until(lambda: "ledger" in checks(service).get("stopped", ())))
    asyncio.run(until(lambda: checks(service)["projections"]["orders"] == 0))
    assert checks(service)["projections"]["ledger"] == history.head - poison + 1
    row = history.db.execute(
        "SELECT position, error FROM projection_positions WHERE name = 'ledger' AND live"
    ).fetchone()
    assert row is not None
    assert row[0] == poison - 1
    assert "order.teleported.v9" in row[1]
    history.close()
