"""Razorpay's SDK, made safe: threads of ours, one client per thread, errors as they were sent.

The SDK is synchronous, loses every error but its description, prints what it cannot send, follows
redirects and has no time limits. Loaded when first used.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import razorpay
import requests
from typing_extensions import override
from urllib3.exceptions import NewConnectionError

from adapters.processors.razorpay_answers import Json, Problem

CONNECT_S: Final = 3.0
CLIENTS_MAX: Final = 64

Call: TypeAlias = Callable[[Any, Any], Any]
"""Takes the SDK's client and the options of every call."""


class UndeliveredError(Exception):
    """A request without a whole answer; not of `requests`, whose errors the SDK prints."""


class Session(requests.Session):
    """Keeps the answer that the SDK throws away; goes where it is told and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = 0
        self.answer: requests.Response | None = None
        self.hooks["response"].append(self._keep)

    def _keep(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self.answer = response
        if not isinstance(_body(response), dict):
            raise UndeliveredError("the answer is no object") from None

    @override
    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.answer = None
        try:
            return super().request(*args, **kwargs)
        except requests.RequestException as error:
            raise UndeliveredError(type(error).__name__) from error


class Clients(threading.local):
    """The clients of one thread, one per account."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._by_key: OrderedDict[tuple[str, str], tuple[Any, Session]] = OrderedDict()

    def send(self, key: tuple[str, str], call: Call, *, read_s: float) -> Json | Problem:
        """Call once; every failure is a problem, no exception gets out."""
        client, session = self._of(key)
        try:
            value = call(client, {"timeout": (CONNECT_S, read_s)})
        except Exception as error:  # noqa: BLE001 - whatever it is, it may have been sent
            return _problem(session.answer, error)
        return value if isinstance(value, dict) else Problem(cause="no usable answer")

    def _of(self, key: tuple[str, str]) -> tuple[Any, Session]:
        made = self._by_key.get(key)
        if made is None:
            session = Session()
            made = (razorpay.Client(session=session, auth=key, base_url=self._base_url), session)
            self._by_key[key] = made
        self._by_key.move_to_end(key)
        if len(self._by_key) > CLIENTS_MAX:
            self._by_key.popitem(last=False)[1][1].close()
        return made


def _problem(answer: requests.Response | None, error: Exception) -> Problem:
    if answer is None:
        known = isinstance(error, UndeliveredError)
        cause = str(error) if known else type(error).__name__
        return Problem(cause=f"no answer: {cause}", sent=not _unsent(error.__cause__))
    status = answer.status_code
    body = _body(answer)
    told = body.get("error") if isinstance(body, dict) else None
    told = told if isinstance(told, dict) else {}
    words = (status, told.get("code"), told.get("reason"))
    return Problem(
        cause="http " + " ".join(str(word) for word in words if word), status=status, error=told
    )


def _unsent(error: BaseException | None) -> bool:
    """Whether no connection was made, so that nothing can have been sent."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    inner = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return isinstance(getattr(inner, "reason", None), NewConnectionError)


def _body(response: requests.Response) -> Any:
    """Return the JSON of an answer; None where it is cut off or is none."""
    try:
        return response.json()
    except (ValueError, RuntimeError, requests.RequestException):
        return None
