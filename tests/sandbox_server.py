"""A sandbox server in a process of its own, and somebody who listens to its webhooks."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import razorpay
import requests
import stripe
from typing_extensions import override

from adapters.embedded.process import end, free_port, open_log, pause, spawn
from adapters.sandbox_server.server import Options, Ready

START_S = 90
ROOT = Path(__file__).parent.parent


class SandboxServer:
    """The server, its control plane and the SDKs that speak to it.

    `kill` and `start` keep the port, the token and, on a data folder, everything else.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        self._log = folder / "sandbox.log"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(trust_env=False, timeout=90)
        self.ready: Ready

    def start(self) -> None:
        self._log.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "adapters.sandbox_server"]
        asked = msgspec.json.encode(self._options).decode()
        self._process = spawn(
            [*argv, asked], death_signal=signal.SIGKILL, output=open_log(self._log), cwd=ROOT
        )
        deadline = time.monotonic() + START_S
        while not self._said().endswith("}\n"):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            pause()
        self.ready = msgspec.json.decode(self._said().encode(), type=Ready)

    def _said(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            end(self._process, (signal.SIGTERM, 10))

    def close(self) -> None:
        self.stop()
        self._http.close()

    def control(self, method: str, path: str, **body: Any) -> Any:
        """Ask the control plane; the answer must be 200."""
        answer = self.ask(method, path, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        """Ask the control plane."""
        return self._http.request(
            method,
            f"{self.ready.control_url}/{path}",
            content=msgspec.json.encode(body),
            headers={"authorization": f"Bearer {self.ready.token}"},
        )

    def advance(self, span: str | float) -> None:
        self.control("POST", "clock", advance=span)

    def books(self) -> Any:
        return self.control("GET", "books")

    def violations(self) -> list[str]:
        return [violation["kind"] for violation in self.books()["violations"]]

    def fault(self, do: str, place: str = "before", **more: Any) -> str:
        """Add a fault rule; `match` and `limit` as the server takes them."""
        added: str = self.control("POST", "faults", do=do, place=place, **more)["id"]
        return added

    def trigger(self, name: str, **asked: Any) -> Any:
        return self.control("POST", f"trigger/{name}", **asked)

    def journal(self) -> list[Any]:
        found: list[Any] = self.control("GET", "requests")["requests"]
        return found

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Look again until it is so."""
        deadline = time.monotonic() + START_S
        while not what():
            assert time.monotonic() < deadline, self._said()
            pause()

    def page(self, method: str, path: str, **fields: str) -> httpx.Response:
        """Do what a customer does."""
        return self._http.request(method, self.ready.url + path, data=fields or None)

    def browser(self, method: str, path: str, **fields: str) -> httpx.Response:
        """Do it as a browser, which wants pages."""
        headers = {"accept": "text/html"}
        return self._http.request(method, self.ready.url + path, data=fields, headers=headers)

    @contextmanager
    def stripe(self, key: str = "sk_test_sandbox", timeout_s: float = 10) -> Iterator[Any]:
        """The SDK with synchronous calls: one process, one thread, no event loop."""
        session = requests.Session()
        session.trust_env = False
        yield stripe.StripeClient(
            key,
            base_addresses={"api": self.ready.stripe_url},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout_s, session=session),
        )
        session.close()

    @contextmanager
    def razorpay(self, auth: tuple[str, str] = ("rzp_test_sandbox", "sandbox_secret")) -> Any:
        session = requests.Session()
        session.trust_env = False
        yield razorpay.Client(session=session, auth=auth, base_url=self.ready.razorpay_url)
        session.close()


@contextmanager
def sandbox_server(
    folder: Path, *, lasting: bool = False, **options: Any
) -> Iterator[SandboxServer]:
    """Run a sandbox; `folder` gets its log and, if it is `lasting`, its data."""
    data = str(folder / "data") if lasting else None
    server = SandboxServer(folder, Options(data=data, port=free_port(), **options))
    try:
        server.start()
        yield server
    finally:
        server.close()


class Heard(msgspec.Struct, frozen=True):
    """One webhook as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def kind(self) -> str:
        return str(self.event.get("type") or self.event.get("event"))


class Listener:
    """A shop's webhook endpoint on loopback; it answers `answers` in turn and then 200."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answers: list[int] = []
        self.came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with outer.came:
                    status = outer.answers.pop(0) if outer.answers else 200
                    outer.heard.append(Heard(self.path, headers, body))
                    outer.came.notify_all()
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            @override
            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, count: int, timeout_s: float = 60) -> list[Heard]:
        """Give the first `count` webhooks, once they are there."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.heard) >= count, timeout_s), self.kinds()
            return self.heard[:count]

    def kinds(self) -> Sequence[str]:
        return [heard.kind for heard in self.heard]
