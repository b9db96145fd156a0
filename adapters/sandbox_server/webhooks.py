"""The courier: delivers queued webhooks, signed as each vendor signs, and retries."""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from adapters.sandbox_server.box import Box
from adapters.sandbox_server.wire import Json

if TYPE_CHECKING:
    import httpx

AT_ONCE_MAX: Final = 16
TIMEOUT_S: Final = 5.0
FLUSH_S: Final = 5.0
RETRIES_S: Final = {
    "stripe": (10, 60, 300, 1800, 7200, 18_000, 36_000, 43_200, 86_400, 86_400),
    "razorpay": (10, 60, 300, 1800, 3600, 7200, 14_400, 28_800, 28_800),
}
"""Pauses between tries in virtual seconds: about three days, and about one."""
NOTE_MAX: Final = 200
READ_AHEAD: Final = 256
PAUSE_MAX_S: Final = 60.0
_TIMEOUT: Final = {
    "timeout": dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S),
}
OK: Final = range(200, 300)
_Lane: TypeAlias = tuple[str, str]
"""A payment and an endpoint."""


class Courier:
    """Delivers webhooks until it is stopped."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._wake = asyncio.Event()
        self._lanes: dict[_Lane, asyncio.Task[None]] = {}
        self._queued: dict[int, _Lane] = {}
        self._due: deque[Json] = deque()
        # No client around them: no proxies, no redirects, half the work. Several, each for one
        # request at a time: a pool looks at all its connections several times a request.
        self._idle: list[httpx.AsyncHTTPTransport] = []
        box.changed = self._wake.set

    async def run(self) -> None:
        """Deliver what is due, for ever; timers strike meanwhile."""
        while True:
            self._wake.clear()
            self._box.run_due()
            pause = self._start()
            # Not `wait_for`: in Python 3.11 it loses a cancellation that meets the wake.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def close(self) -> None:
        """Break off what is under way; it is due again after the next start."""
        tasks = list(self._lanes.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in self._idle:
            await transport.aclose()

    async def flush(self, payments: tuple[str, ...]) -> None:
        """Wait until what is queued for these payments has been tried once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while rows := self._untried(payments):
                    for row in rows:
                        self._begin(row)
                    await asyncio.wait({self._lanes[_lane(row)] for row in rows})

    def _untried(self, payments: tuple[str, ...]) -> list[Json]:
        marks = ", ".join("?" * len(payments))
        rows = self._box.store.db.execute(
            f"SELECT n, payment, endpoint FROM deliveries WHERE payment IN ({marks}) "  # noqa: S608 - only marks
            "AND state = 'pending' AND tries = 0 ORDER BY due, n",
            payments,
        )
        return [dict(row) for row in rows]

    def _start(self) -> float:
        """Start what is due; give how long nothing will be."""
        now = self._box.clock.now()
        db = self._box.store.db
        if not self._due:
            found = db.execute(
                "SELECT n, payment, endpoint FROM deliveries "
                "WHERE state = 'pending' AND due <= ? ORDER BY due, n LIMIT ?",
                (now, READ_AHEAD),
            )
            self._due.extend(row for row in found if row["n"] not in self._queued)
        while self._due and (len(self._lanes) < AT_ONCE_MAX or _lane(self._due[0]) in self._lanes):
            self._begin(self._due.popleft())
        after = db.execute(
            "SELECT min(due) AS due FROM deliveries WHERE state = 'pending' AND due > ?", (now,)
        )
        due: float | None = after.fetchone()["due"]
        soonest = min(self._box.next_due, now + PAUSE_MAX_S if due is None else due)
        return max(0.01, min(PAUSE_MAX_S, soonest - now))

    def _begin(self, row: Json) -> None:
        """Queue a delivery: what one endpoint hears of one payment goes out in order."""
        if row["n"] in self._queued:
            return
        lane = _lane(row)
        self._queued[row["n"]] = lane
        if lane not in self._lanes:
            task = asyncio.get_running_loop().create_task(self._run_lane(lane))
            self._lanes[lane] = task

    async def _run_lane(self, lane: _Lane) -> None:
        try:
            while waiting := [number for number, its in self._queued.items() if its == lane]:
                await self._deliver(waiting[0])
                del self._queued[waiting[0]]
        finally:
            del self._lanes[lane]
            self._wake.set()

    async def _deliver(self, number: int) -> None:
        import httpx  # noqa: PLC0415 - heavy, and only who delivers needs it

        row = self._box.store.db.execute(
            "SELECT * FROM deliveries WHERE n = ? AND state = 'pending'", (number,)
        ).fetchone()
        if row is None:
            return  # dropped or held since it was read
        endpoint = self._endpoint(row["endpoint"])
        if endpoint is None or endpoint["status"] != "enabled":
            self._write(row, "failed", None, "the endpoint is gone or disabled")
            return
        headers = signed(self._box, endpoint, row)
        try:
            status, note = await self._post(endpoint["url"], headers, row["body"])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._retry(row, endpoint, None, f"{type(error).__name__}: {error}")
            return
        if status in OK:
            self._write(row, "delivered", status, note)
        else:
            self._retry(row, endpoint, status, note)

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """Give the answer's status and the beginning of its body."""
        import httpx  # noqa: PLC0415 - as in `_deliver`

        request = httpx.Request("POST", url, headers=headers, content=body, extensions=_TIMEOUT)
        transport = self._idle.pop() if self._idle else httpx.AsyncHTTPTransport()
        reply: httpx.Response | None = None
        try:
            reply = await transport.handle_async_request(request)
            said = b""
            async for part in reply.aiter_bytes():
                said += part
                if len(said) > NOTE_MAX:
                    break
        finally:
            if reply is not None:
                await reply.aclose()
            self._idle.append(transport)
        return reply.status_code, said[:NOTE_MAX].decode("utf-8", "replace")

    def _endpoint(self, endpoint_id: str) -> Json | None:
        kind = "stripe.endpoint" if endpoint_id.startswith("we_") else "razorpay.endpoint"
        return self._box.store.get(kind, endpoint_id)

    def _retry(self, row: Json, endpoint: Json, status: int | None, note: str) -> None:
        dialect = "stripe" if endpoint["id"].startswith("we_") else "razorpay"
        pauses = RETRIES_S[dialect]
        if row["tries"] >= len(pauses):
            self._write(row, "failed", status, note)
            if dialect == "razorpay":
                endpoint["status"] = "disabled"
                self._box.store.save("razorpay.endpoint", endpoint)
            return
        self._write(row, "pending", status, note, pause=pauses[row["tries"]])

    def _write(
        self, row: Json, state: str, status: int | None, note: str, *, pause: float = 0
    ) -> None:
        now = self._box.clock.now()
        with self._box.store.transaction():
            self._box.store.db.execute(
                "INSERT INTO attempts (delivery, at, status, note) VALUES (?, ?, ?, ?)",
                (row["n"], now, status, note),
            )
            self._box.store.db.execute(
                "UPDATE deliveries SET state = ?, due = ?, tries = tries + 1 WHERE n = ?",
                (state, now + pause, row["n"]),
            )


def _lane(row: Json) -> _Lane:
    return row["payment"], row["endpoint"]


def signed(box: Box, endpoint: Json, row: Json) -> dict[str, str]:
    """Give a delivery's headers; Stripe signs every try anew, Razorpay's event id is not signed."""
    secrets = endpoint["_secrets"]
    secret = row["secret"] or secrets[0]
    if row["mode"] == "old_secret":
        secret = secrets[1] if len(secrets) > 1 else f"old_{secret}"
    body: bytes = row["body"]
    if endpoint["id"].startswith("we_"):
        stamp = int(time.time() if box.option("webhooks_in_real_time") else box.clock.now())
        mark = _hmac(secret, f"{stamp}.".encode() + body)
        if row["mode"] == "bad_signature":
            mark = mark[::-1]
        return {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "stripe-signature": f"t={stamp},v1={mark}",
        }
    mark = _hmac(secret, body)
    if row["mode"] == "bad_signature":
        mark = mark[::-1]
    return {
        "content-type": "application/json",
        "user-agent": "Razorpay-Webhook/v1",
        "x-razorpay-event-id": row["event_id"],
        "x-razorpay-signature": mark,
    }


def _hmac(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def log(box: Box, limit: int = 1000) -> list[Json]:
    """Give the deliveries with their tries, newest first."""
    rows = box.store.db.execute(
        "SELECT n, event, event_id, payment, endpoint, made, due, state, mode, tries, body "
        "FROM deliveries ORDER BY n DESC LIMIT ?",
        (limit,),
    ).fetchall()
    return [
        dict(row)
        | {
            "body": msgspec.json.decode(row["body"]),
            "attempts": [
                dict(one)
                for one in box.store.db.execute(
                    "SELECT at, status, note FROM attempts WHERE delivery = ? ORDER BY n",
                    (row["n"],),
                )
            ],
        }
        for row in rows
    ]
