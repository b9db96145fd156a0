"""Webhooks on their way: queued in the same database transaction as what they tell of."""

from typing import Final

import msgspec

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.outcomes import Delivery
from adapters.sandbox_server.wire import Json

LATE_S: Final = 600
REVERSED_S: Final = 1.0
EVERYBODY: Final = "*"
"""Endpoints of the command line and the control plane hear of every account."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One event for any number of endpoints."""

    event: str
    event_id: str
    payment: str
    mode: Delivery | None


def endpoints(call: Call, kind: str, event: str) -> list[Json]:
    """Give the enabled endpoints that want an event."""
    rows = call.store.db.execute(
        "SELECT body FROM objects WHERE kind = ? AND account IN (?, ?) ORDER BY seq",
        (kind, call.account, EVERYBODY),
    )
    found = [msgspec.json.decode(row["body"]) for row in rows]
    return [
        one
        for one in found
        if one["status"] == "enabled"
        and ("*" in one["enabled_events"] or event in one["enabled_events"])
    ]


def queue(call: Call, endpoint: Json, outgoing: Outgoing, body: bytes) -> None:
    """Queue one delivery, as the payment's amount wants it."""
    mode = outgoing.mode
    if mode == "first":
        call.touched.append(outgoing.payment)
    now = call.box.clock.now()
    due = now + (LATE_S if mode == "late" else 0)
    if mode == "reversed":
        due = _before_the_others(call, outgoing, endpoint, now)
    held = call.store.meta("webhooks_held", default=False)
    state = "dropped" if mode == "never" else "held" if held else "pending"
    for _ in range(3 if mode == "thrice" else 1):
        call.store.db.execute(
            "INSERT INTO deliveries (event, event_id, payment, endpoint, made, due, state, mode, "
            "secret, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                outgoing.event,
                outgoing.event_id,
                outgoing.payment,
                endpoint["id"],
                now,
                due,
                state,
                mode or "",
                # Razorpay goes on with the secret of the event's time, Stripe with the newest.
                endpoint["_secrets"][0] if endpoint["id"].startswith("rwe_") else None,
                body,
            ),
        )


def _before_the_others(call: Call, outgoing: Outgoing, endpoint: Json, now: float) -> float:
    """Give a moment before all that wait for the payment: the last event goes first."""
    row = call.store.db.execute(
        "SELECT min(due) AS first FROM deliveries "
        "WHERE payment = ? AND endpoint = ? AND state = 'pending' AND tries = 0",
        (outgoing.payment, endpoint["id"]),
    ).fetchone()
    if row["first"] is None:
        return now + REVERSED_S
    return float(row["first"]) - 0.001
