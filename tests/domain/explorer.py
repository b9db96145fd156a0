"""Many lives of orders, led to where little has been and branched where they are rare."""

from collections import Counter
from copy import copy
from random import Random
from typing import Final, Self

from typing_extensions import override

from domain import events as e
from domain.errors import Rejected
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.evolve import evolve
from domain.order.state import Order
from tests.domain.bookkeeper import Bookkeeper
from tests.domain.histories import Life
from tests.domain.story import ORDER, metadata

Pair = tuple[str, str]
"""Status before an event, and the event's tag."""

ENOUGH: Final = 20
"""How often each pair has to be seen."""

KEPT_MAX: Final = 12
LENGTH_MAX: Final = 40
DRAWN: Final = 3
DRAWN_RARE: Final = 15
STEPS: Final = 6


Features = tuple[str, bool, bool, bool, bool, bool]


def features_of(order: Order) -> Features:
    """What makes a state worth going on from: states of the same features are much alike."""
    return (
        order.status,
        any(a.held and a.held.minor for a in order.attempts),
        any(r.status in {"pending", "unknown"} for r in order.refunds),
        any(s.open for s in order.strays),
        bool(order.quarantine),
        any(a.void_key for a in order.attempts),
    )


class Explorer:
    """What was seen, and the lives that can be gone on with, by what makes them different."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.pairs: Counter[Pair] = Counter()
        self.events = 0
        self._kept: dict[Features, list[Branch]] = {}
        self.rare: dict[Pair, list[Branch]] = {}

    @property
    def tags(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (_, tag), count in self.pairs.items():
            found[tag] += count
        return found

    def run(self, events: int) -> None:
        """Play until that many events were seen."""
        while self.events < events:
            self._try_rare()
            life = self._beginning()
            for _ in range(STEPS):
                life.play(life.rarest(DRAWN))
                self._keep(life)

    def _try_rare(self) -> None:
        """Go on from where something rare was possible, if anything is rare still."""
        wanted = [pair for pair in self.rare if self.pairs[pair] < ENOUGH]
        if wanted:
            life = self.random.choice(self.rare[self.random.choice(wanted)]).branch()
            life.play(life.rarest(DRAWN_RARE))

    def _beginning(self) -> "Branch":
        if not self._kept or self.random.random() < 0.2:
            return Branch(self.random, self)
        features = self.random.choice(list(self._kept))
        return self.random.choice(self._kept[features]).branch()

    def _keep(self, life: "Branch") -> None:
        if len(life.events) > LENGTH_MAX:
            return
        kept = self._kept.setdefault(features_of(life.now), [])
        if len(kept) < KEPT_MAX:
            kept.append(life.branch())
        elif self.random.random() < 0.2:
            kept[self.random.randrange(KEPT_MAX)] = life.branch()


class Branch(Life):
    """A life with books of its own that are compared after every event."""

    def __init__(self, random: Random, explorer: Explorer) -> None:
        self.explorer = explorer
        self.books = Bookkeeper()
        super().__init__(random)

    def branch(self) -> Self:
        other = copy(self)
        other.events, other.books = list(self.events), self.books.copy()
        return other

    def rarest(self, drawn: int) -> c.OrderCommand:
        """Of some commands, the one whose events were seen least in this status."""
        commands = [self.draw() for _ in range(drawn)]
        seen, chosen = min(((self._seen(x), n) for n, x in enumerate(commands)))
        if seen[0] < ENOUGH:
            kept = self.explorer.rare.setdefault(seen[1], [])
            if len(kept) < KEPT_MAX:
                kept.append(self.branch())
        return commands[chosen]

    def _seen(self, command: c.OrderCommand) -> tuple[float, Pair]:
        """Return the rarest pair that a command gives, and how often it was seen."""
        try:
            events = decide(self.order, command)
        except Rejected:
            events = ()
        pairs = [(self.now.status, e.tag_of(event)) for event in events]
        found = [(float(self.explorer.pairs[pair]), pair) for pair in pairs]
        return min(found, default=(float("inf"), ("", "")))

    @override
    def play(self, command: c.OrderCommand) -> tuple[e.OrderEvent, ...] | Rejected:
        order, number = self.order, len(self.events)
        events = super().play(command)
        if isinstance(events, Rejected):
            return events
        for event in events:
            status = order.status if order else "none"
            self.explorer.pairs[status, e.tag_of(event)] += 1
            self.explorer.events += 1
            meta = metadata(number)
            order, number = evolve(order, event, meta, stream_id=ORDER), number + 1
            self.books.see(event, meta)
            self.books.compare(order)
        if order is not None:
            self.books.settle(order)
        return events
