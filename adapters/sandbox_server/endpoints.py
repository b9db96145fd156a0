"""What the control plane does with webhooks: endpoints, held, dropped and repeated deliveries."""

import random
from collections.abc import Callable
from typing import Final

from adapters.sandbox_server.box import Box, Call
from adapters.sandbox_server.ids import razorpay_id
from adapters.sandbox_server.outbox import EVERYBODY
from adapters.sandbox_server.stripe_dialect.accounts import endpoint as stripe_endpoint
from adapters.sandbox_server.wire import Json

STRIPE: Final = "stripe.endpoint"
RAZORPAY: Final = "razorpay.endpoint"


def add(
    box: Box, dialect: str, url: str, secret: str, *, events: list[str] | None = None,
    account: str = EVERYBODY,
) -> str:  # fmt: skip
    """Add an endpoint, by default for every account; one with this URL gets the secret instead.

    Raises:
        ValueError: there is no such dialect.
    """
    if dialect not in ("stripe", "razorpay"):
        raise ValueError("the dialect is stripe or razorpay")
    kind = STRIPE if dialect == "stripe" else RAZORPAY
    call = Call(box=box, account=account)
    with box.store.transaction():
        for known in box.store.newest(kind, account):
            if known["url"] == url:
                _roll(known, secret)
                box.store.save(kind, known)
                return str(known["id"])
        made = stripe_endpoint(call, url, [secret], events or ["*"])
        if dialect == "razorpay":
            made |= {"id": razorpay_id("rwe_"), "object": "webhook"}
        box.store.add(kind, made, account=account)
        return str(made["id"])


def listed(box: Box) -> list[Json]:
    """Give every endpoint with its secrets, newest first."""
    rows = box.store.db.execute(
        "SELECT id, kind, account FROM objects WHERE kind IN (?, ?) ORDER BY seq",
        (STRIPE, RAZORPAY),
    ).fetchall()
    found = [(row, box.store.get(row["kind"], row["id"]) or {}) for row in rows]
    return [
        {
            "id": row["id"],
            "dialect": row["kind"].partition(".")[0],
            "account": row["account"],
            "url": one["url"],
            "events": one["enabled_events"],
            "status": one["status"],
            "secrets": one["_secrets"],
        }
        for row, one in found
    ]


def remove(box: Box, rest: str) -> Json:
    """Take an endpoint away: `DELETE /_sandbox/webhooks/:id`."""
    with box.store.transaction():
        box.store.remove(_kind(rest), rest)
    return {"ok": True}


def change(box: Box, rest: str, asked: Json) -> Json:
    """Answer `POST /_sandbox/webhooks[/verb]`.

    Raises:
        ValueError: there is no such verb.
    """
    verb = rest or "endpoints"
    if verb not in _VERBS:
        raise ValueError(f"there are the verbs {', '.join(_VERBS)}")
    with box.store.transaction():
        return _VERBS[verb](box, asked)


def _add(box: Box, asked: Json) -> Json:
    given = {name: asked[name] for name in ("events", "account") if name in asked}
    return {"id": add(box, asked["dialect"], asked["url"], asked["secret"], **given)}


def _roll_one(box: Box, asked: Json) -> Json:
    """Give an endpoint a new secret; the old one stays known as the old one."""
    kind = _kind(asked["id"])
    found = box.store.get(kind, asked["id"])
    if found is None:
        raise ValueError("no such endpoint")
    _roll(found, asked["secret"])
    found["status"] = "enabled"
    box.store.save(kind, found)
    return {"id": found["id"], "secrets": found["_secrets"]}


def _roll(endpoint: Json, secret: str) -> None:
    if endpoint["_secrets"][0] != secret:
        endpoint["_secrets"] = [secret, *endpoint["_secrets"]]


def _redeliver(box: Box, asked: Json) -> Json:
    """Deliver again: one delivery by number, or an event's, or what failed or was dropped."""
    now = box.clock.now()
    cursor = box.store.db.execute(
        "UPDATE deliveries SET state = 'pending', due = ?1, mode = '', tries = 0 WHERE "
        "CASE WHEN ?2 IS NOT NULL THEN n = ?2 WHEN ?3 IS NOT NULL THEN event_id = ?3 "
        "ELSE state IN ('failed', 'dropped') END",
        (now, asked.get("delivery"), asked.get("event")),
    )
    return {"again": cursor.rowcount}


def _drop(box: Box, _: Json) -> Json:
    cursor = box.store.db.execute(
        "UPDATE deliveries SET state = 'dropped' WHERE state IN ('pending', 'held')"
    )
    return {"dropped": cursor.rowcount}


def _hold(box: Box, _: Json) -> Json:
    box.store.set_meta("webhooks_held", value=True)
    cursor = box.store.db.execute("UPDATE deliveries SET state = 'held' WHERE state = 'pending'")
    return {"held": cursor.rowcount}


def _release(box: Box, asked: Json) -> Json:
    """Let held deliveries go: as they came, `order: reversed` or `order: shuffled`."""
    box.store.set_meta("webhooks_held", value=False)
    rows = box.store.db.execute("SELECT n FROM deliveries WHERE state = 'held' ORDER BY n")
    numbers = [row["n"] for row in rows]
    order = asked.get("order", "as_made")
    if order == "reversed":
        numbers.reverse()
    elif order == "shuffled":
        random.Random(f"{box.seed} {numbers}").shuffle(numbers)  # noqa: S311 - reproducible
    now = box.clock.now()
    box.store.db.executemany(
        "UPDATE deliveries SET state = 'pending', due = ? WHERE n = ?",
        [(now + place / 1_000_000, number) for place, number in enumerate(numbers)],
    )
    return {"released": len(numbers)}


def _kind(endpoint_id: str) -> str:
    return STRIPE if endpoint_id.startswith("we_") else RAZORPAY


_VERBS: Final[dict[str, Callable[[Box, Json], Json]]] = {
    "endpoints": _add,
    "roll": _roll_one,
    "redeliver": _redeliver,
    "drop": _drop,
    "hold": _hold,
    "release": _release,
    "shuffle": lambda box, _: _release(box, {"order": "shuffled"}),
}
