"""How Razorpay's synchronous SDK is called: in threads of ours, loaded by the first of them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from adapters.processors.razorpay_answers import Json, Problem
from adapters.processors.vendor_calls import patiently
from commands.processor import Credentials

if TYPE_CHECKING:
    from adapters.processors.razorpay_sdk import Call, Clients

API_URL: Final = "https://api.razorpay.com"
THREADS: Final = 16


class Line:
    """The way to Razorpay.

    Args:
        base_url: of the API, or of a sandbox; live keys go to the API only.
        read_s: longest silence of the server, in seconds.
    """

    def __init__(self, base_url: str, read_s: float) -> None:
        self._base_url = base_url
        self._read_s = read_s
        self._threads: ThreadPoolExecutor | None = None
        self._clients: Clients | None = None
        self._loading = threading.Lock()

    async def aclose(self) -> None:
        """Let go of the threads; who is in a call finishes it."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    async def send(self, credentials: Credentials, call: "Call") -> Any:
        """Send once in a thread; again only what a limiter turned away."""
        return await patiently(lambda: self._once(credentials, call))

    async def _once(self, credentials: Credentials, call: "Call") -> Json | Problem:
        key = (credentials.values.get("key_id", ""), credentials.values.get("key_secret", ""))
        if not all(key):
            return Problem(cause="no credentials", sent=False)
        if key[0].startswith("rzp_live_") and self._base_url != API_URL:
            return Problem(cause="a live key and a sandbox", sent=False)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="razorpay")
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._in_thread, key, call
        )

    def _in_thread(self, key: tuple[str, str], call: "Call") -> Json | Problem:
        with self._loading:
            if self._clients is None:
                from adapters.processors.razorpay_sdk import Clients  # noqa: PLC0415 - heavy

                self._clients = Clients(self._base_url)
        return self._clients.send(key, call, read_s=self._read_s)
