"""Equal requests at once over two gateways, and gateways that die with the answer on their lips."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from adapters.api_keys import key_hash
from adapters.settings import Settings
from commands.issue_key import issue_key
from tests.chaos import gateways as g
from tests.chaos.conftest import Log, WorkerProcess
from tests.shop import Shop

EQUAL: Final = 50
TRIES_MAX: Final = 20
ORDER: Final = {"amount": 1000, "currency": "USD", "customerEmail": "a@b.example"}
_numbers = itertools.count(1)


@pytest.fixture
def both(settings: Settings, tmp_path: Path) -> Iterator[list[g.Gateway]]:
    with g.gateways(settings, tmp_path / "gateways.log", 2) as running:
        yield running


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    issued = await issue_key(
        shop.app.ports,
        shop.caller,
        name="races",
        mode="test",
        hash_secret=lambda secret: key_hash(shop.app.master_keys, secret),
    )
    limits = httpx.Limits(max_connections=100)
    headers = {"X-API-Key": issued.secret}
    async with httpx.AsyncClient(
        headers=headers, timeout=60, trust_env=False, limits=limits
    ) as http:
        yield http


def fresh_key() -> str:
    return f"race-{next(_numbers)}"


async def post(
    client: httpx.AsyncClient, gateway: g.Gateway, path: str, key: str, body: dict[str, Any]
) -> httpx.Response:
    headers = {"Idempotency-Key": key, "Prefer": "wait=20"}
    return await client.post(f"{gateway.url}{path}", json=body, headers=headers)


async def at_once(
    client: httpx.AsyncClient,
    both: list[g.Gateway],
    path: str,
    requests: list[tuple[str, dict[str, Any]]],
) -> list[httpx.Response]:
    """Send all at the same time, in turn to the one and the other gateway."""
    turns = zip(itertools.cycle(both), requests, strict=False)
    return list(
        await asyncio.gather(
            *(post(client, gateway, path, key, body) for gateway, (key, body) in turns)
        )
    )


async def equal(
    client: httpx.AsyncClient,
    both: list[g.Gateway],
    path: str,
    body: dict[str, Any],
    status: int,
) -> dict[str, Any]:
    """Send 50 equal requests; return the one answer that they got, byte for byte."""
    answers = await at_once(client, both, path, [(fresh_key(), body)] * EQUAL)
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[status] > 0, statuses
    assert statuses.keys() <= {status, 409}, statuses
    done = [answer for answer in answers if answer.status_code == status]
    assert len({answer.content for answer in done}) == 1, {answer.content for answer in done}
    assert sum("idempotent-replayed" not in answer.headers for answer in done) == 1
    found: dict[str, Any] = done[0].json()
    return found


def count(log: Log, topic: str) -> int:
    (found,) = log.column(f"SELECT count(*) FROM events WHERE topic = '{topic}'")  # noqa: S608
    return int(found)


async def test_fifty_equal_requests_over_two_gateways_have_one_effect_and_one_answer(
    client: httpx.AsyncClient,
    both: list[g.Gateway],
    shop: Shop,
    log: Log,
    worker: WorkerProcess,
) -> None:
    worker.start()
    order = await equal(client, both, "/v1/orders", ORDER | {"captureMethod": "manual"}, 201)
    assert count(log, "order.created.v1") == 1

    path = f"/v1/orders/{order['id']}"
    token = {"paymentMethod": {"type": "card", "token": "sbx_approve"}}
    await equal(client, both, f"{path}/pay", token, 200)
    assert count(log, "order.routed.v1") == 1

    captured = await equal(client, both, f"{path}/capture", {"amount": 1000}, 200)
    assert captured["status"] == "captured"
    assert count(log, "order.capture_requested.v1") == 1

    await equal(client, both, f"{path}/refund", {"amount": 600, "reason": "why"}, 201)
    assert count(log, "order.refund_requested.v1") == 1
    await shop.until(order["id"], lambda o: o.amount_refunded == 600)
    assert (shop.book(order["id"]).captured, shop.book(order["id"]).refunded) == (1000, 600)


async def test_of_two_bodies_under_one_key_one_wins_and_the_other_is_a_422(
    client: httpx.AsyncClient, both: list[g.Gateway], log: Log
) -> None:
    key = fresh_key()
    mixed = [(key, ORDER | {"amount": 1000 + n % 4 // 2}) for n in range(EQUAL)]
    answers = await at_once(client, both, "/v1/orders", mixed)
    won = {answer.json()["amount"] for answer in answers if answer.status_code == 201}
    assert len(won) == 1
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    for (_, body), answer in zip(mixed, answers, strict=True):
        if body["amount"] not in won:
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        else:
            assert answer.status_code == 201
    assert count(log, "order.created.v1") == 1


async def test_of_two_keys_with_one_external_id_one_makes_the_order_and_the_other_is_told_which(
    client: httpx.AsyncClient, both: list[g.Gateway], log: Log
) -> None:
    keys = fresh_key(), fresh_key()
    body = ORDER | {"externalId": "cart-1"}
    mixed = [(keys[n % 4 // 2], body) for n in range(EQUAL)]
    answers = await at_once(client, both, "/v1/orders", mixed)
    by_key = {
        key: {
            (answer.status_code, answer.json().get("orderId") or answer.json()["id"])
            for (used, _), answer in zip(mixed, answers, strict=True)
            if used == key
        }
        for key in keys
    }
    (order_id,) = log.column("SELECT originator_id FROM events WHERE topic = 'order.created.v1'")
    assert sorted(by_key.values(), key=str) == [{(201, order_id)}, {(409, order_id)}]


async def _answer_lost(
    client: httpx.AsyncClient, settings: Settings, log: Path, path: str, key: str,
    body: dict[str, Any], dies: Callable[[], None],
) -> None:  # fmt: skip
    """Ask a gateway that dies at its commit."""
    doomed = g.start(settings, log, dies)
    try:
        await asyncio.to_thread(doomed.wait_ready)
        with pytest.raises(httpx.TransportError):
            await post(client, doomed, path, key, body)
        assert await asyncio.to_thread(doomed.process.wait, 60) == -9
    finally:
        doomed.kill()


async def test_a_gateway_that_dies_between_commit_and_answer_is_answered_for_by_the_next(
    client: httpx.AsyncClient,
    both: list[g.Gateway],
    settings: Settings,
    shop: Shop,
    log: Log,
    worker: WorkerProcess,
    tmp_path: Path,
) -> None:
    worker.start()
    doomed = tmp_path / "doomed.log"
    manual = ORDER | {"captureMethod": "manual"}
    steps: list[tuple[str, dict[str, Any], int, str]] = [
        ("", manual, 201, "created"),
        ("/pay", {"paymentMethod": {"type": "card", "token": "sbx_approve"}}, 200, "routed"),
        ("/capture", {"amount": 1000}, 200, "capture_requested"),
        ("/refund", {"amount": 400}, 201, "refund_requested"),
    ]
    order_id = ""
    for verb, body, status, tag in steps:
        key, path = fresh_key(), f"/v1/orders/{order_id}{verb}".rstrip("/")
        await _answer_lost(client, settings, doomed, path, key, body, g.dies_after)
        assert count(log, f"order.{tag}.v1") == 1, "the commit was before the death"

        answers = [await post(client, gateway, path, key, body) for gateway in both]
        assert [answer.status_code for answer in answers] == [status, status]
        assert {answer.headers["idempotent-replayed"] for answer in answers} == {"true"}
        assert answers[0].content == answers[1].content
        assert count(log, f"order.{tag}.v1") == 1
        other = await post(client, both[0], path, key, body | {"amount": 999})
        if verb != "/pay":
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        order_id = order_id or answers[0].json()["id"]
    await shop.until(order_id, lambda o: o.amount_refunded == 400)
    assert (shop.book(order_id).captured, shop.book(order_id).refunded) == (1000, 400)


async def test_a_gateway_that_dies_before_its_commit_has_done_nothing(
    client: httpx.AsyncClient,
    both: list[g.Gateway],
    settings: Settings,
    log: Log,
    tmp_path: Path,
) -> None:
    key = fresh_key()
    doomed = tmp_path / "doomed.log"
    await _answer_lost(client, settings, doomed, "/v1/orders", key, ORDER, g.dies_before)
    assert count(log, "order.created.v1") == 0
    answer = await post(client, both[1], "/v1/orders", key, ORDER)
    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers
    assert count(log, "order.created.v1") == 1


async def until_answered(
    client: httpx.AsyncClient, both: list[g.Gateway], keys: list[str]
) -> list[httpx.Response]:
    """Ask for an order with each key; again with the same key when a busy gateway says 503."""
    answers: dict[str, httpx.Response] = {}
    for _ in range(TRIES_MAX):
        asked = [key for key in keys if key not in answers]
        found = await at_once(client, both, "/v1/orders", [(key, ORDER) for key in asked])
        pairs = zip(asked, found, strict=True)
        answers |= {key: answer for key, answer in pairs if answer.status_code != 503}
    return [answers[key] for key in keys]


async def test_gateways_killed_under_load_leave_one_order_for_every_key(
    client: httpx.AsyncClient,
    both: list[g.Gateway],
    settings: Settings,
    log: Log,
    tmp_path: Path,
) -> None:

    keys: list[str] = []
    unanswered = 0
    for _ in range(3):
        doomed = g.start(settings, tmp_path / "doomed.log")
        await asyncio.to_thread(doomed.wait_ready)
        batch = [fresh_key() for _ in range(80)]
        keys += batch
        asked = [
            asyncio.ensure_future(post(client, doomed, "/v1/orders", key, ORDER)) for key in batch
        ]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        doomed.kill()
        done = await asyncio.gather(*asked, return_exceptions=True)
        again = await until_answered(client, both, batch)
        for first, second in zip(done, again, strict=True):
            assert second.status_code == 201
            if isinstance(first, httpx.Response) and first.status_code == 201:
                assert second.headers["idempotent-replayed"] == "true"
                assert second.content == first.content
            else:
                unanswered += 1
    assert unanswered > 0, "some were killed with requests under way"
    assert count(log, "order.created.v1") == len(keys)
