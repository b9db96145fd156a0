"""When something is away, broken or told to stop: what callers still get."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from litestar import Litestar
from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg import sql

from gateway import edge
from gateway.app import create_app
from gateway.deps import Checks
from gateway.parts import deps_of_application
from tests.gateway.conftest import Service, settings_for
from tests.gateway.problems import is_problem, logged
from tests.waiting import until


def asked(app: Litestar, path: str, headers: dict[str, str]) -> httpx.Response:
    """GET from an application that no server runs."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


class Broken:
    """A part with a bug, whose message says more than a caller may know."""

    async def checks(self) -> Checks:
        raise RuntimeError("s3cr3t detail")


def test_bug_is_a_500_that_says_nothing_and_is_logged(
    service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    app = create_app(replace(deps_of_application(service.app), readiness=Broken()))
    answer = asked(app, "/ready", {"X-Correlation-ID": "bug-1"})
    is_problem(answer, 500, "internal_error")
    assert answer.headers["x-correlation-id"] == "bug-1"
    assert "s3cr3t" not in answer.text
    assert "RuntimeError" in logged(capfd, "RuntimeError")


def test_without_a_sandbox_its_pages_do_not_exist(service: Service) -> None:
    app = create_app(replace(deps_of_application(service.app), bank=None))
    is_problem(asked(app, "/sandbox/challenge/x", {}), 404, "not_found")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(edge, "_tracer", provider.get_tracer("tests"))
    yield exporter
    provider.shutdown()


def test_request_is_a_server_span_under_the_callers_trace(
    client: httpx.Client, spans: InMemorySpanExporter
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.get("/v1/orders/x?secret=1", headers={"traceparent": parent})
    asyncio.run(until(spans.get_finished_spans))  # it ends after the answer
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /v1/orders/{order_id}"
    assert span.kind is trace.SpanKind.SERVER
    assert span.context is not None
    assert span.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert span.parent is not None
    assert span.parent.span_id == 0xB7AD6B7169203331
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/orders/{order_id}",
        "http.response.status_code": 400,
    }


def test_access_log_has_route_status_and_ids_but_no_path_query_or_key(
    client: httpx.Client, api_key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    client.get("/v1/orders/x?a=query-text", headers={"X-Correlation-ID": "log-1"})
    (line,) = [found for found in logged(capfd, "log-1").splitlines() if "log-1" in found]
    assert "/v1/orders/{order_id}" in line
    assert "status=400" in line
    assert "merchant_id=mer_" in line
    assert "query-text" not in line
    assert api_key not in line


def test_stop_finishes_what_was_begun_and_takes_nothing_more(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    with Service(settings_for(tmp_path, database_url, nats_url)) as running:
        key, _ = running.key(running.merchant())
        with running.client(key) as client, ThreadPoolExecutor(1) as pool:
            order_id = client.post("/v1/orders", json={"amount": 1}).json()["id"]
            body = {"paymentMethod": {"type": "card", "token": "sbx_hang_before"}}
            path = f"/v1/orders/{order_id}/pay"
            waiting = pool.submit(client.post, path, json=body, headers={"Prefer": "wait=2"})
            with running.client(key) as watcher:
                asyncio.run(
                    until(lambda: len(watcher.get(f"/v1/orders/{order_id}").json()["attempts"]))
                )
            running.stop()
            answer = waiting.result(90)
            assert (answer.status_code, answer.json()["status"]) == (200, "processing")

            def refused() -> bool:
                try:
                    httpx.get(f"{running.url}/health", trust_env=False)
                except httpx.ConnectError:
                    return True
                return False

            asyncio.run(until(refused))


ALLOW = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")


def test_database_away_is_a_503_and_the_process_lives(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    with Service(settings_for(tmp_path, database_url, nats_url)) as running:
        key, _ = running.key(running.merchant())
        with running.client(key) as client:
            order_id = client.post("/v1/orders", json={"amount": 1}).json()["id"]
            assert client.get("/ready").status_code == 200
            name = urlsplit(database_url).path.removeprefix("/")
            admin = database_url.replace(f"/{name}?", "/postgres?")
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(ALLOW.format(sql.Identifier(name), sql.SQL("false")))
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    (name,),
                )
                with ThreadPoolExecutor(3) as together:
                    asking = [
                        together.submit(client.post, "/v1/orders", json={"amount": 1}),
                        together.submit(client.get, f"/v1/orders/{order_id}"),
                        together.submit(client.get, "/v1/orders"),
                    ]
                for answer in [one.result() for one in asking]:
                    is_problem(answer, 503, "database_unavailable")
                    assert int(answer.headers["retry-after"]) >= 1
                ready = client.get("/ready")
                assert ready.status_code == 503
                assert ready.json()["checks"]["postgres"] == "unavailable"
                assert client.get("/health").status_code == 200
                connection.execute(ALLOW.format(sql.Identifier(name), sql.SQL("true")))
            asyncio.run(until(lambda: client.get("/ready").is_success))
            assert client.get(f"/v1/orders/{order_id}").status_code == 200
            assert json.loads(client.post("/v1/orders", json={"amount": 1}).text)["amount"] == 1
