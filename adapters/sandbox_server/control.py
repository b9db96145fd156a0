"""The control plane `/_sandbox/*`: clock, faults, webhooks, triggers, books and journal."""

import hmac
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from adapters.sandbox_server import books, endpoints, outcomes, triggers, webhooks
from adapters.sandbox_server.box import OPTIONS, Box
from adapters.sandbox_server.faults import PROFILES, Faults, Rule
from adapters.sandbox_server.stripe_dialect.methods import CARDS
from adapters.sandbox_server.wire import Answer, Json, Request, json_answer

_Handler: TypeAlias = Callable[["Control", Json, str], Any]
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN: Final = re.compile(r"\+?(\d+(?:\.\d+)?)([smhd]?)")
JOURNAL_MAX: Final = 10_000


class AskedError(ValueError):
    """The control plane was asked for something that it cannot do; the text says why."""


class Control:
    """Answers `/_sandbox/*`.

    Args:
        token: the bearer token that guards it.
    """

    def __init__(self, box: Box, faults: Faults, token: str) -> None:
        self.box = box
        self.faults = faults
        self._token = token

    async def answer(self, request: Request) -> Answer:
        """Answer one request; anything but `health` needs the token."""
        steps = request.path.removeprefix("/_sandbox").strip("/").split("/")
        if steps == ["health"]:
            return json_answer(200, {"ok": True, "now": self.box.clock.now()})
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return json_answer(401, {"error": "give the control token as a bearer token"})
        rest = "/".join(steps[1:])
        handler = _HANDLERS.get(f"{request.method} {steps[0]}")
        if handler is None:
            return json_answer(404, {"error": "no such call", "calls": sorted(_HANDLERS)})
        try:
            asked = msgspec.json.decode(request.body or b"{}", type=Json)
            answer = handler(self, asked, rest)
        except (AskedError, ValueError, KeyError, msgspec.ValidationError) as error:
            return json_answer(400, {"error": f"{type(error).__name__}: {error}"})
        self.box.changed()
        return json_answer(200, answer)


def span_of(value: Any) -> float:
    """Read seconds: a number, or text such as `90`, `+3d`, `15m`.

    Raises:
        AskedError: it is neither.
    """
    found = _SPAN.fullmatch(str(value))
    if not found:
        raise AskedError(f"cannot read {value!r}: say 90, '15m', '6h' or '3d'")
    return float(found[1]) * _UNITS[found[2] or "s"]


def _clock(control: Control, asked: Json, _: str) -> Json:
    struck = control.box.advance(span_of(asked["advance"])) if "advance" in asked else 0
    return {"now": control.box.clock.now(), "ahead": control.box.clock.offset, "struck": struck}


def _reset(control: Control, _: Json, __: str) -> Json:
    control.box.store.reset()
    control.faults.load()
    return {"ok": True}


def _add_fault(control: Control, asked: Json, _: str) -> Json:
    return {"id": control.faults.add(msgspec.convert(asked, Rule))}


def _remove_fault(control: Control, _: Json, rest: str) -> Json:
    control.faults.remove(rest or None)
    return {"ok": True}


def _profile(control: Control, asked: Json, _: str) -> Json:
    if asked["name"] not in PROFILES:
        raise AskedError(f"there are the profiles {', '.join(PROFILES)}")
    if "seed" in asked:
        control.box.seed = int(asked["seed"])
        control.box.store.set_meta("seed", control.box.seed)
    control.faults.profile(asked["name"])
    return {"faults": control.faults.listed()}


def _options(control: Control, asked: Json, _: str) -> Json:
    if set(asked) - set(OPTIONS):
        raise AskedError(f"there are the options {', '.join(OPTIONS)}")
    chosen = control.box.store.meta("options", {}) | asked
    control.box.store.set_meta("options", chosen)
    return OPTIONS | chosen


def _requests(control: Control, _: Json, __: str) -> Json:
    rows = control.box.store.db.execute(
        "SELECT * FROM requests ORDER BY n DESC LIMIT ?", (JOURNAL_MAX,)
    )
    found = [
        dict(row) | {"decisions": msgspec.json.decode(row["decisions"] or b"[]")} for row in rows
    ]
    return {"seed": control.box.seed, "requests": found[::-1]}


def _scenarios(_: Control, __: Json, ___: str) -> Json:
    return {
        "amounts": outcomes.AMOUNTS,
        "profiles": PROFILES,
        "stripe": list(CARDS),
        "triggers": list(triggers.TRIGGERS),
    }


def _trigger(control: Control, asked: Json, rest: str) -> Json:
    if rest not in triggers.TRIGGERS:
        raise AskedError(f"there are the triggers {', '.join(triggers.TRIGGERS)}")
    with control.box.store.transaction():
        return triggers.TRIGGERS[rest](control.box, asked)


_HANDLERS: Final[dict[str, _Handler]] = {
    "GET clock": _clock,
    "POST clock": _clock,
    "POST reset": _reset,
    "GET faults": lambda control, _, __: {"faults": control.faults.listed()},
    "POST faults": _add_fault,
    "DELETE faults": _remove_fault,
    "POST profile": _profile,
    "GET options": _options,
    "POST options": _options,
    "GET books": lambda control, _, rest: books.read(control.box.store, rest or None),
    "GET reports": lambda control, _, rest: triggers.report(control.box, rest),
    "GET requests": _requests,
    "GET scenarios": _scenarios,
    "GET webhooks": lambda control, _, __: {
        "endpoints": endpoints.listed(control.box),
        "log": webhooks.log(control.box),
    },
    "POST webhooks": lambda control, asked, rest: endpoints.change(control.box, rest, asked),
    "DELETE webhooks": lambda control, _, rest: endpoints.remove(control.box, rest),
    "POST trigger": _trigger,
}
"""Every call by method and first step."""
