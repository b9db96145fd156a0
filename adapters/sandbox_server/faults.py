"""Fault rules: which requests are hit, where relative to the money effect, and with what.

Every decision is a function of the seed, the rule and how many requests have matched it, so the
same requests in the same order meet the same faults; the journal keeps each decision.
"""

import math
import random
import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from adapters.sandbox_server.box import Box
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.wire import Damage, Deed, Json, Place, Request

RULES_MAX: Final = 100
LATE_S: Final = 5.0
HANG_S: Final = 60.0
_P99: Final = 2.326


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a rule is about; what is None is not asked.

    Attributes:
        path: a regular expression that is searched for.
        payment: an id or a reference that path or body contain.
        nth: only this matching request, counted from 1; `every`: each of so many.
        p: the probability.
    """

    dialect: str | None = None
    method: str | None = None
    path: str | None = None
    payment: str | None = None
    nth: int | None = None
    every: int | None = None
    p: float | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule, as `POST /_sandbox/faults` takes it.

    Attributes:
        do: `close`, `hang:60`, `delay:8`, `delay:p99=8`, `status:503`, `status:502:html`,
            `truncate`, `garbage`, `garbage:bytes` (no text at all) or `drip:3`; virtual seconds.
        late_s: how long after the answer a `late` effect comes.
        limit: how often the rule may strike; None is always.
        seed: of this rule; None takes the sandbox's.
    """

    do: str
    place: Place = "before"
    match: Match = msgspec.field(default_factory=Match)
    late_s: float = LATE_S
    limit: int | None = None
    seed: int | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that strikes a request; `hit` is how many requests had matched it."""

    rule: str
    hit: int
    place: Place
    damage: Damage
    late_s: float


_FLAKY: Final = [Rule(do="close", place="after", match=Match(p=0.02, method="POST"))]
_BROWNOUT: Final = [Rule(do="status:503", match=Match(p=0.2)), Rule(do="delay:p99=8")]
_OUTAGE: Final = [Rule(do="status:503:html", match=Match(p=0.5)), Rule(do="close")]
_HOSTILE: Final = [
    Rule(do="close", place="after", match=Match(p=0.05, method="POST")),
    Rule(do="hang:60", place="after", match=Match(p=0.04, method="POST")),
    Rule(do="status:500", place="after", match=Match(p=0.04, method="POST")),
    Rule(do="truncate", place="after", match=Match(p=0.03)),
    Rule(do="garbage", place="after", match=Match(p=0.03)),
    Rule(do="close", place="late", match=Match(p=0.04, method="POST")),
    Rule(do="close", match=Match(p=0.04)),
    Rule(do="status:502:html", match=Match(p=0.03)),
    Rule(do="status:429", match=Match(p=0.03)),
]
PROFILES: Final[dict[str, list[Rule]]] = {
    "calm": [],
    "flaky": _FLAKY,
    "brownout": _BROWNOUT,
    "outage": _OUTAGE,
    "hostile": _HOSTILE,
}
"""Bundles of rules by name: `hostile` hits about three in ten."""


class Faults:
    """The rules in force; they and their counts survive the server."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._rules: list[tuple[str, Rule]] = []
        self.load()

    def load(self) -> None:
        """Read the rules again."""
        rows = self._box.store.db.execute("SELECT id, rule FROM rules ORDER BY n")
        self._rules = [(row["id"], msgspec.json.decode(row["rule"], type=Rule)) for row in rows]

    def add(self, rule: Rule) -> str:
        """Put a rule behind the others.

        Raises:
            ValueError: it cannot be understood, or there are too many.
        """
        damage_of(rule.do, random.Random(0))  # noqa: S311 - only to see whether it can be read
        try:
            re.compile(rule.match.path or "")
        except re.error as error:
            raise ValueError(f"the path is no regular expression: {error}") from None
        if rule.place == "late" and rule.do.startswith("delay"):
            raise ValueError("a late effect is one after the answer: close, hang, status, …")
        if len(self._rules) >= RULES_MAX:
            raise ValueError(f"no more than {RULES_MAX} rules")
        with self._box.store.transaction():
            rule_id = stripe_id("rule_")[:13]
            self._box.store.db.execute(
                "INSERT INTO rules (id, n, rule) SELECT ?, coalesce(max(n), 0) + 1, ? FROM rules",
                (rule_id, msgspec.json.encode(rule)),
            )
        self.load()
        return rule_id

    def remove(self, rule_id: str | None = None) -> None:
        """Take a rule away, or all."""
        with self._box.store.transaction():
            self._box.store.db.execute("DELETE FROM rules WHERE id = coalesce(?, id)", (rule_id,))
        self.load()

    def profile(self, name: str) -> None:
        """Replace all rules by a profile's.

        Raises:
            KeyError: there is no such profile.
        """
        rules = PROFILES[name]
        self.remove()
        for rule in rules:
            self.add(rule)
        self._box.store.set_meta("profile", name)

    def listed(self) -> list[Json]:
        """Give every rule with its counts."""
        rows = self._box.store.db.execute("SELECT * FROM rules ORDER BY n")
        return [
            {"id": row["id"], "hits": row["hits"], "fired": row["fired"]}
            | msgspec.json.decode(row["rule"])
            for row in rows
        ]

    def decide(self, request: Request) -> list[Decision]:
        """Give what strikes this request; the counts are written."""
        matching = [one for one in self._rules if _concerns(one[1].match, request)]
        if not matching:
            return []
        with self._box.store.transaction():
            found = [self._decision(*one) for one in matching]
        return [decision for decision in found if decision]

    def _decision(self, rule_id: str, rule: Rule) -> Decision | None:
        db = self._box.store.db
        row = db.execute(
            "UPDATE rules SET hits = hits + 1 WHERE id = ? RETURNING n, hits, fired", (rule_id,)
        ).fetchone()
        seed = self._box.seed if rule.seed is None else rule.seed
        dice = random.Random(f"{seed} {row['n']} {row['hits']}")  # noqa: S311 - reproducible
        if (rule.limit is not None and row["fired"] >= rule.limit) or not _strikes(
            rule.match, row["hits"], dice
        ):
            return None
        db.execute("UPDATE rules SET fired = fired + 1 WHERE id = ?", (rule_id,))
        return Decision(
            rule=rule_id,
            hit=row["hits"],
            place=rule.place,
            damage=damage_of(rule.do, dice),
            late_s=rule.late_s,
        )


def _concerns(match: Match, request: Request) -> bool:
    if match.dialect not in (None, request.dialect):
        return False
    if match.method not in (None, request.method):
        return False
    if match.path and not _pattern(match.path).search(request.path):
        return False
    return (
        match.payment is None
        or match.payment in request.path
        or match.payment.encode() in request.body
    )


def _strikes(match: Match, hit: int, dice: random.Random) -> bool:
    if match.nth is not None and hit != match.nth:
        return False
    if match.every is not None and hit % match.every:
        return False
    return match.p is None or dice.random() < match.p


@lru_cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def damage_of(do: str, dice: random.Random) -> Damage:
    """Read what a rule does.

    Raises:
        ValueError: it cannot be understood.
    """
    name, _, rest = do.partition(":")
    if name == "status":
        number, _, kind = rest.partition(":")
        return Damage(do="status", status=int(number), html=kind == "html")
    seconds: dict[str, float] = {"hang": HANG_S, "delay": 1.0, "drip": 3.0}
    if name in seconds:
        deed: Any = name
        return Damage(do=deed, seconds=_seconds(rest, dice) if rest else seconds[name])
    if name == "garbage" and rest in ("", "bytes"):
        return Damage(do="garbage", html=not rest)
    plain: dict[str, Deed] = {"close": "close", "truncate": "truncate"}
    if name not in plain or rest:
        raise ValueError(f"cannot do {do!r}")
    return Damage(do=plain[name])


def _seconds(text: str, dice: random.Random) -> float:
    """Read seconds: a number, `a-b` evenly, or `p99=8` log-normally with that 99th percentile."""
    if text.startswith("p99="):
        top = float(text[4:])
        sigma = 1.5
        return math.exp(dice.gauss(math.log(top) - _P99 * sigma, sigma))
    low, dash, high = text.partition("-")
    return dice.uniform(float(low), float(high)) if dash else float(low)
