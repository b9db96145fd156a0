"""How the SDK's requests share connections, and that no answer gets to another request."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typing_extensions import override

from adapters.processors.stripe import StripeProcessor
from commands.outcomes import Referenced
from commands.processor import Credentials
from tests.adapters.processors.calls import attempt
from tests.waiting import until

KEYS = Credentials({"secret_key": "sk_test_x"})


class Counting:
    """A server that keeps connections open; the n-th request makes `pi_n`, the held ones wait."""

    def __init__(self) -> None:
        self.connections = 0
        self.paths: list[str] = []
        self.held: set[int] = set()
        self.go_on = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            @override
            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.paths.append(self.path)
                number = len(outer.paths)
                if number in outer.held:
                    outer.go_on.wait(60)
                body = json.dumps({"id": f"pi_{number}", "object": "payment_intent"}).encode()
                with suppress(OSError):
                    self.send_response(200)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            @override
            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Counting]:
    made = Counting()
    yield made
    made.close()


@pytest.fixture
async def stripe(server: Counting) -> AsyncIterator[StripeProcessor]:
    made = StripeProcessor(base_url=server.url)
    yield made
    await made.aclose()


async def made_by(stripe: StripeProcessor) -> str:
    made = await stripe.prepare(attempt(), KEYS)
    assert isinstance(made, Referenced), made
    return made.reference


async def test_calls_one_after_the_other_share_a_connection(
    stripe: StripeProcessor, server: Counting
) -> None:
    assert [await made_by(stripe) for _ in range(4)] == ["pi_1", "pi_2", "pi_3", "pi_4"]
    assert server.connections == 1


async def test_calls_at_once_have_a_connection_each(
    stripe: StripeProcessor, server: Counting
) -> None:
    server.held = {1, 2, 3}
    calls = [asyncio.create_task(made_by(stripe)) for _ in range(3)]
    await until(lambda: len(server.paths) == 3, 60)
    server.go_on.set()

    assert sorted(await asyncio.gather(*calls)) == ["pi_1", "pi_2", "pi_3"]
    assert server.connections == 3


async def test_the_answer_to_a_call_that_was_given_up_gets_to_no_other(
    stripe: StripeProcessor, server: Counting
) -> None:
    server.held = {1}
    given_up = asyncio.create_task(made_by(stripe))
    await until(lambda: len(server.paths) == 1, 60)
    given_up.cancel()
    with suppress(asyncio.CancelledError):
        await given_up
    server.go_on.set()

    assert [await made_by(stripe) for _ in range(2)] == ["pi_2", "pi_3"]


async def test_the_proxy_of_the_environment_is_used(
    server: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    stripe = StripeProcessor(base_url="http://stripe.test")

    assert await made_by(stripe) == "pi_1"
    assert server.paths == ["http://stripe.test/v1/payment_intents"]
    await stripe.aclose()
