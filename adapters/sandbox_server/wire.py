"""What goes over the wire: a request as it came, an answer, and the damage done to it."""

from typing import Any, Literal, TypeAlias

import msgspec

Json: TypeAlias = dict[str, Any]
Place = Literal["before", "after", "late"]
Deed = Literal["close", "hang", "delay", "status", "truncate", "garbage", "drip"]


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to an answer on its way.

    Attributes:
        do: the connection is closed, kept silent or slowed, or the answer replaced or mangled.
        seconds: of `hang`, `delay` and `drip`, on the virtual clock.
        status: of `status`.
        html: a `status` answer comes from a proxy and is a page; `garbage` is text at least.
    """

    do: Deed
    seconds: float = 0
    status: int = 0
    html: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request; header names are in lower case, `path` begins with `/v1`."""

    dialect: str
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""


class Answer(msgspec.Struct, kw_only=True):
    """An answer, and what is to happen to it.

    Attributes:
        damage: done to it once what it tells of is committed.
        again_after_s: nothing has happened yet; do it after so many virtual seconds.
        deliver_first: webhooks of these payments go out before the answer does.
        replayed: it was stored by an earlier request.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    damage: Damage | None = None
    again_after_s: float = 0
    deliver_first: tuple[str, ...] = ()
    replayed: bool = False


def json_answer(status: int, value: Any, **headers: str) -> Answer:
    """Give a JSON answer; `x_y` names the header `X-Y`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(
        status=status,
        body=msgspec.json.encode(value),
        headers={"content-type": "application/json", **named},
    )


def words(text: str) -> tuple[str, ...]:
    """Give the words of a text: long lists of names read better so."""
    return tuple(text.split())


def html_answer(status: int, page: str) -> Answer:
    """Give an HTML page."""
    return Answer(
        status=status, body=page.encode(), headers={"content-type": "text/html; charset=utf-8"}
    )
