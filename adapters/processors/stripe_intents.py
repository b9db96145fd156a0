"""PaymentIntents at Stripe, or at what plays it: read and changed, each with its charge."""

from urllib.parse import quote

import msgspec

from adapters.processors import stripe_problems as problems
from adapters.processors import stripe_requests as requests
from adapters.processors.stripe_problems import Json, Problem
from adapters.processors.stripe_requests import CHARGE, Verb, path
from adapters.processors.stripe_sdk import Call, Line, raw
from commands.processor import Credentials


class Intents:
    """PaymentIntents, over a line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def get(self, reference: str, credentials: Credentials) -> Json | Problem:
        """Read a PaymentIntent."""
        pi = await self._line.send(
            credentials,
            None,
            lambda client, options: raw(
                client, "get", path(reference), {"expand": CHARGE}, options
            ),
        )
        return await self._whole(pi, credentials)

    async def change(
        self, verb: Verb, reference: str, params: Json, credentials: Credentials, key: str
    ) -> Json | Problem:
        """Confirm, capture or cancel.

        A parameter that the server does not know and that can be spared is left out: with the
        refusal nothing was done, so the call is made again, under a key of its own. A refusal
        without a reason may say that an earlier try was not: what is there decides.
        """
        where = f"{path(reference)}/{verb}"
        spare, given = requests.SPARE.get(verb, ""), dict(params)
        pi = await self._line.send(credentials, key, _post(where, given))
        if isinstance(pi, Problem) and spare in given and pi.does_not_know(spare):
            del given[spare]
            pi = await self._line.send(credentials, f"{key}:spared", _post(where, given))
        if not isinstance(pi, Problem):
            return await self._whole(pi, credentials)
        if pi.reasoned or problems.open_question(pi) is not None:
            return pi
        current = await self.get(reference, credentials)
        if isinstance(current, Problem):
            return Problem(cause=current.cause)
        if current.get("status") in requests.ALLOWED[verb]:
            return pi
        return msgspec.structs.replace(pi, error=pi.error | {"payment_intent": current})

    async def _whole(self, pi: Json | Problem, credentials: Credentials) -> Json | Problem:
        """Return a PaymentIntent with its charge, where a server sent no more than its id."""
        charge = None if isinstance(pi, Problem) else pi.get("latest_charge")
        if isinstance(pi, Problem) or not isinstance(charge, str):
            return pi
        params: Json = {"expand": ["balance_transaction"]}
        found = await self._line.send(
            credentials,
            None,
            lambda client, options: raw(
                client, "get", f"charges/{quote(charge, safe='')}", params, options
            ),
        )
        return pi if isinstance(found, Problem) else pi | {"latest_charge": found}


def _post(where: str, params: Json) -> Call:
    return lambda client, options: raw(client, "post", where, params, options)
