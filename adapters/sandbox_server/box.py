"""The sandbox as its dialects see it: store, clock, timers, money and faults coded in amounts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from adapters.sandbox_server.clock import Clock
from adapters.sandbox_server.outcomes import Outcome
from adapters.sandbox_server.store import Store
from adapters.sandbox_server.wire import Answer, Json

OPTIONS: Final[Json] = {
    "razorpay_refund_key_conflict": 400,
    "razorpay_unique_receipt_conflict": "error",
    "razorpay_auto_refund_days": 5,
    "razorpay_late_capture": False,
    "razorpay_refund_idempotency": True,
    "razorpay_attempts_per_order": 0,
    "webhooks_in_real_time": False,
    "stripe_settlement_currency": "",
    "stripe_balance_after_s": 0,
}
"""Where the vendors' own pages contradict each other or an account decides, and whether webhooks
are signed for a listener whose clock does not go with the virtual one; `/_sandbox/options`.

`stripe_settlement_currency` is what balances are kept in, nothing is each charge's own;
`stripe_balance_after_s` is how long a capture takes until its fee is known.
"""

JOBS_MAX: Final = 100_000
KEEP_KEYS_S: Final = 86_400
"""How long idempotency keys are remembered."""
Job: TypeAlias = Callable[["Call", Json], None]
"""A timer's effect; the call stands for what the timer is about."""


class Struck(Exception):
    """A fault coded in the amount answers instead of the effect."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Box:
    """Everything that requests share.

    Args:
        seed: of the fault rules.
    """

    def __init__(self, store: Store, *, seed: int = 0, base_url: str = "") -> None:
        self.store = store
        self.clock = Clock(store.meta("clock", 0.0))
        self.seed = seed
        self.base_url = base_url
        self.jobs: dict[str, Job] = {}
        self.changed: Callable[[], None] = lambda: None
        self._next_due = 0.0

    def option(self, name: str) -> Any:
        """Give a switch's position."""
        return self.store.meta("options", {}).get(name, OPTIONS[name])

    def advance(self, seconds: float) -> int:
        """Let virtual time pass, and every timer strike at its moment; give how many did."""
        self.store.set_meta("clock", self.clock.offset + seconds)
        self.clock.advance(seconds)
        self.store.db.execute("DELETE FROM keys WHERE at < ?", (self.clock.now() - KEEP_KEYS_S,))
        return self.run_due()

    def schedule(self, kind: str, call: "Call", ref: str, after_s: float, **body: Any) -> None:
        """Set a timer on an object of the call's account."""
        due = self.clock.now() + after_s
        self.store.db.execute(
            "INSERT INTO jobs (due, kind, ref, body) VALUES (?, ?, ?, ?)",
            (due, kind, ref, msgspec.json.encode({"account": call.account, **body})),
        )
        self._next_due = min(self._next_due, due)

    def unschedule(self, kind: str, ref: str) -> None:
        """Stop an object's timers of a kind."""
        self.store.db.execute("DELETE FROM jobs WHERE kind = ? AND ref = ?", (kind, ref))

    def is_scheduled(self, kind: str, ref: str) -> bool:
        """Tell whether a timer is set."""
        found = self.store.db.execute(
            "SELECT 1 FROM jobs WHERE kind = ? AND ref = ?", (kind, ref)
        ).fetchone()
        return found is not None

    def run_due(self) -> int:
        """Let every timer that is due strike, in their order, each at its own moment."""
        now = self.clock.now()
        done = 0
        while self._next_due <= now and done < JOBS_MAX:
            row = self.store.db.execute(
                "SELECT n, due, kind, ref, body FROM jobs ORDER BY due, n LIMIT 1"
            ).fetchone()
            self._next_due = row["due"] if row else float("inf")
            if row is None or row["due"] > now:
                break
            with self.store.transaction(), self.clock.at(row["due"]):
                self.store.db.execute("DELETE FROM jobs WHERE n = ?", (row["n"],))
                body = msgspec.json.decode(row["body"])
                call = Call(box=self, account=body.pop("account"), id=row["ref"])
                self.jobs[row["kind"]](call, body)
            done += 1
        if done:
            self.changed()
        return done

    @property
    def next_due(self) -> float:
        """When to look at the timers again."""
        return self._next_due


@dataclass(slots=True, kw_only=True)
class Call:
    """One request, or one timer, on its way through a dialect.

    Attributes:
        id: the object that the path names.
        rest: what the path names after it.
        waited: the delay that an amount asked for has passed.
        touched: payments whose webhooks go out before the answer.
    """

    box: Box
    account: str
    id: str = ""
    rest: str = ""
    params: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    waited: bool = False
    touched: list[str] = field(default_factory=list)

    @property
    def now(self) -> int:
        """The virtual second."""
        return int(self.box.clock.now())

    @property
    def store(self) -> Store:
        """The store."""
        return self.box.store

    def money(
        self, dialect: str, op: str, payment: str, order_ref: str | None, amount: int, currency: str
    ) -> None:
        """Write a movement of money into the books."""
        self.store.db.execute(
            "INSERT INTO money (at, dialect, payment, order_ref, op, amount, currency) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self.box.clock.now(), dialect, payment, order_ref, op, amount, currency.upper()),
        )


def strike(
    call: Call, outcome: Outcome, scope: str, failure: Callable[[int], Answer]
) -> Answer | None:
    """Let an amount's fault strike before the effect; strikes are counted for `scope`.

    `failure` gives the dialect's own answer with a status.

    Returns:
        An answer that the idempotency layer is to remember, instead of the effect.

    Raises:
        Struck: an answer that it is not to remember.
    """
    fault = outcome.transport
    if fault is None or fault.place != "before":
        return None
    if fault.stored:
        return failure(fault.damage.status)
    before, first = call.store.strike(f"before {scope}", call.box.clock.now())
    if fault.times and before >= fault.times:
        return None
    if fault.for_s and call.box.clock.now() >= first + fault.for_s:
        return None
    if fault.damage.do == "delay":
        if call.waited:
            return None
        raise Struck(Answer(status=0, again_after_s=fault.damage.seconds))
    if fault.damage.do == "status" and not fault.damage.html:
        raise Struck(failure(fault.damage.status))
    raise Struck(Answer(status=fault.damage.status, damage=fault.damage))


def spoil(outcome: Outcome, answer: Answer, failure: Callable[[int], Answer]) -> Answer:
    """Let an amount's fault strike after the effect."""
    fault = outcome.transport
    if fault is None or fault.place != "after":
        return answer
    if fault.stored:
        return failure(fault.damage.status)
    answer.damage = fault.damage
    return answer
