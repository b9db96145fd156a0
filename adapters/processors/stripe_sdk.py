"""Stripe's SDK: its clients, and its exceptions turned into plain data. Loaded when first used."""

import asyncio
import logging
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from adapters.processors.stripe_answers import REPLAYED
from adapters.processors.stripe_problems import Json, Problem
from adapters.processors.vendor_calls import patiently
from commands.processor import Credentials

if TYPE_CHECKING:
    import stripe

API_URL: Final = "https://api.stripe.com"
API_VERSION: Final = "2026-10-28.endive"
CLIENTS_MAX: Final = 256

Options: TypeAlias = Any
Call: TypeAlias = Callable[["stripe.StripeClient", Options], Awaitable[Any]]


class Line:
    """The way to Stripe, from every event loop.

    Args:
        base_url: of the API, or of a sandbox; live keys go to the API only.
        read_s: longest silence of the server, in seconds.
    """

    def __init__(self, base_url: str, read_s: float) -> None:
        self._base_url = base_url
        self._read_s = read_s
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Clients] = WeakKeyDictionary()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        clients = self._loops.pop(asyncio.get_running_loop(), None)
        if clients is not None:
            await clients.http.close_async()

    async def send(self, credentials: Credentials, key: str | None, call: Call) -> Json | Problem:
        """Send once, under an idempotency key; again only what a limiter turned away."""
        if "stripe" not in sys.modules:
            await asyncio.to_thread(import_module, "stripe")
        client = self._client(credentials)
        if isinstance(client, Problem):
            return client
        options = {"idempotency_key": key} if key else {}
        return await patiently(lambda: sent(call(client, options)))

    async def listed(self, credentials: Credentials, call: Call) -> list[Json] | Problem:
        """Return a list of Stripe's, whole or not at all."""
        found = await self.send(credentials, None, call)
        if isinstance(found, Problem):
            return found
        items = found.get("data")
        whole = isinstance(items, list) and not found.get("has_more")
        return items if whole else Problem(cause="no whole list")

    def _client(self, credentials: Credentials) -> "stripe.StripeClient | Problem":
        key = credentials.values.get("secret_key")
        if not key:
            return Problem(cause="no credentials", sent=False)
        if "_live_" in key and self._base_url != API_URL:
            return Problem(cause="a live key and a sandbox", sent=False)
        loop = asyncio.get_running_loop()
        clients = self._loops.get(loop)
        if clients is None:
            clients = self._loops[loop] = Clients(self._base_url, self._read_s)
        return clients.of(key)


class Clients:
    """The clients of one event loop, one per account; they share its connections."""

    def __init__(self, base_url: str, read_s: float) -> None:
        import stripe  # noqa: PLC0415 - heavy, and only who calls Stripe needs it

        from adapters.processors.stripe_http import Connections  # noqa: PLC0415 - as above

        stripe.enable_telemetry = False
        # Its debug lines hold whole bodies.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        self.http = Connections(base_url, read_s)
        self._base_url = base_url
        self._by_key: OrderedDict[str, stripe.StripeClient] = OrderedDict()

    def of(self, key: str) -> "stripe.StripeClient":
        """Return the account's client."""
        import stripe  # noqa: PLC0415 - loaded already

        client = self._by_key.get(key)
        if client is None:
            client = stripe.StripeClient(
                key,
                stripe_version=API_VERSION,
                base_addresses={"api": self._base_url},
                max_network_retries=0,
                http_client=self.http,
            )
            self._by_key[key] = client
        self._by_key.move_to_end(key)
        if len(self._by_key) > CLIENTS_MAX:
            self._by_key.popitem(last=False)
        return client


def raw(
    client: "stripe.StripeClient", method: str, path: str, params: Any, options: Any
) -> Awaitable[Any]:
    """Call the SDK without the objects that it makes of answers: each costs a millisecond."""
    return client.raw_request_async(method, f"/v1/{path}", **params, **options)


async def sent(call: Awaitable[Any]) -> Json | Problem:
    """Return Stripe's object as plain data, or the problem; no exception of the SDK gets out."""
    import stripe  # noqa: PLC0415 - loaded already

    try:
        made = await call
        if isinstance(made, stripe.StripeResponse):
            answer: Any = made.data
            headers = made.headers
        else:
            answer = made.to_dict()
            headers = made.last_response.headers if made.last_response else {}
        replayed = "idempotent-replayed" in headers
    except stripe.APIConnectionError as error:
        cause = type(error.__cause__).__name__
        unsent = cause in {"ConnectError", "ConnectTimeout", "PoolTimeout"}
        return Problem(cause=f"no answer: {cause}", sent=not unsent)
    except stripe.StripeError as error:
        body = error.json_body if isinstance(error.json_body, dict) else {}
        told = body.get("error")
        told = told if isinstance(told, dict) else {}
        words = (error.http_status, told.get("type"), told.get("code"))
        cause = " ".join(str(word) for word in words if word)
        return Problem(cause=f"http {cause}", status=error.http_status, error=told)
    except Exception as error:  # noqa: BLE001 - whatever else it is, it may have been sent
        return Problem(cause=f"no usable answer: {type(error).__name__}")
    if not isinstance(answer, dict):
        return Problem(cause="no usable answer")
    return answer | {REPLAYED: replayed}
