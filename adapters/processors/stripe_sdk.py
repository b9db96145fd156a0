"""Stripe's SDK: its clients, and its exceptions turned into plain data. Loaded when first used."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from adapters.processors.stripe_answers import REPLAYED, Json, Problem

if TYPE_CHECKING:
    import stripe

API_VERSION: Final = "2026-10-28.endive"
CLIENTS_MAX: Final = 256


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
