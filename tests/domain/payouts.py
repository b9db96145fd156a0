"""Random reports over random orders, and an auditor who reads the events by rules of its own."""

from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from domain import events as e
from domain import settlement as s
from domain.errors import Rejected
from domain.money import Money
from domain.order.commands import RecordRefundFailed
from domain.settlement_facts import Fact, Key, facts
from replay.statement import movements
from tests.domain.bookkeeper import Bookkeeper
from tests.domain.histories import Life
from tests.domain.story import START, metadata

RATES: Final = {"USD": (1, 1), "EUR": (108, 100), "JPY": (67, 1)}
"""What one of the payout's minor units is of a customer's; JPY has none below the yen."""


class Auditor:
    """What every kind of account should be, from what the events say and nothing else.

    Above zero is a debit for assets and a credit for what is owed.
    """

    def __init__(self) -> None:
        self.expected: Counter[tuple[str, str]] = Counter()
        self.available: Counter[str] = Counter()

    def note(self, kind: str, amount: Money, sign: int = 1) -> None:
        self.expected[kind, amount.currency] += sign * amount.minor

    def see(self, event: e.AnyEvent) -> None:
        for (_, code), minor in movements(event).items():
            self.available[code] += minor
        match event:
            case e.SettlementReported():
                self.note("receivable", event.amount, -1)
                self.note("bank", event.amount)
                for part in event.converted:
                    self.note("receivable", part.gross, -1)
                    self.note("receivable", part.settled)
                    self.note("fx", part.gross)
                    self.note("fx", part.settled, -1)
            case e.SettlementMatched():
                self.explained(event.line, event.match, 1)
            case e.SettlementUnmatched() if event.undone is not None:
                self.explained(event.line, event.undone, -1)
            case _:
                return

    def explained(self, line: e.Line, match: e.Match, sign: int) -> None:
        converted = line.gross.currency != line.settled.currency
        self.note("bank_contra", line.settled, sign)
        self.note("bank_contra", line.fee, -sign)
        if converted:
            self.note("fx", line.gross, -sign)
            self.note("fx", line.settled, sign)
        if match.outside:
            # All that the report took from the processor's account was never in our books.
            self.note("receivable", line.gross, sign)
            self.note("receivable", line.fee, -sign)
            return
        if line.kind == "payout_reversal":
            # What the bank sent back is at the processor again, until the later payout took it.
            self.note("bank_contra", line.net, -sign)
            self.note("bank", line.net, -sign)
            self.note("receivable", line.net, sign)
            return
        if line.kind == "fee":
            self.note("fees", line.net, -sign)
            self.note("receivable", line.net, sign)
            return
        owed = "suspense" if match.stray else "payable"
        self.note(owed, line.gross, -sign)
        self.note("payable", line.fee, sign)
        if match.gross_off is not None:
            self.note("receivable", match.gross_off, sign)
            self.note(owed, match.gross_off, sign)
        if match.fee_off is not None:
            self.note("fees", match.fee_off, sign)
            self.note("receivable", match.fee_off, -sign)
            self.note("payable", match.fee_off, -sign)


class Payouts:
    """One merchant's orders and payouts, with books that are compared after every event."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.books = Bookkeeper()
        self.auditor = Auditor()
        self.seen: Counter[str] = Counter()
        self.rows: dict[str, list[e.Recorded]] = {}
        self.settlements: dict[str, list[e.Recorded]] = {}
        self.facts: list[Fact] = []
        self.taken: set[Key] = set()
        self.events = 0

    def record(self, stream: dict[str, list[e.Recorded]], stream_id: str, event: Any) -> None:
        """Append an event and compare all books with what it says."""
        self.events += 1
        rows = stream.setdefault(stream_id, [])
        meta = metadata(self.events)
        rows.append(
            e.Recorded(
                stream_id=stream_id,
                version=len(rows) + 1,
                position=self.events,
                recorded_at=meta.occurred_at,
                metadata=meta,
                data=event,
            )
        )
        before = self.by_kind()
        self.books.see(event, meta)
        self.auditor.see(event)
        self.compare(event, before)

    def by_kind(self) -> Counter[tuple[str, str]]:
        """What the postings come to, each kind on its own side."""
        found: Counter[tuple[str, str]] = Counter()
        owed = {"payable", "suspense", "bank_contra", "holds_contra", "income"}
        for (account, code), signed in self.books.totals.items():
            kind = "income" if account == "fees:platform" else account.split(":")[0]
            found[kind, code] += -signed if kind in owed else signed
        return found

    def compare(self, event: e.AnyEvent, before: Counter[tuple[str, str]]) -> None:
        now = self.by_kind()
        codes = {code for _, code in now}
        if isinstance(event, e.SettlementEvent):
            for kind in ("receivable", "payable", "suspense", "fees", "fx", "bank", "bank_contra"):
                for code in codes:
                    moved = now[kind, code] - before[kind, code]
                    assert moved == self.auditor.expected[kind, code], (kind, code, event)
            self.auditor.expected.clear()
        for code in codes:
            available = now["payable", code] - now["disputed", code]
            assert available == self.auditor.available[code], (code, event)
            elsewhere = now["bank", code] - now["bank_contra", code] + now["fx", code]
            assert available + now["suspense", code] == now["receivable", code] + elsewhere
            assert now["fees", code] == now["income", code]

    def order(self) -> str:
        """Play one more order; what moved at its processors is explained some day."""
        life = Life(self.random)
        for _ in range(self.random.choice([3, 6, 12])):
            life.step()
        for refund in life.now.refunds:
            if refund.status == "succeeded" and self.random.random() < 0.3:
                life.play(RecordRefundFailed(refund_id=refund.id, code="came_back"))
        order_id = f"ord_{len(self.rows)}"
        for event in life.events:
            self.record(self.rows, order_id, event)
        self.facts += [
            # Ids are the same in every life, and at a processor in none.
            replace(fact, reference=f"{order_id} {fact.reference}")
            for fact in facts(self.rows[order_id])
        ]
        return order_id

    def line(self, n: int, fact: Fact | None, currency: str) -> e.Line:
        """A line about a fact, true mostly."""
        choose, roll = self.random.choice, self.random.random()
        kind = fact.kind if fact else choose(["fee", "fee", "other", "capture"])
        gross = fact.amount if fact else Money(choose([-900, 700]), currency)
        if fact and roll < (0.1 if fact.kind == "capture" else 0.25):
            gross = Money(gross.minor + choose([-100, 100]), gross.currency)
        elif fact and roll < 0.3:
            gross = Money(gross.minor, choose(["EUR", "GBP"]))
        settled = gross
        if gross.currency != currency:
            up, down = RATES.get(gross.currency, (127, 100))
            settled = Money(gross.minor * up // down, currency)
        fee = Money(choose([0, 0, 25]) if fact is None else choose([0, 30]), currency)
        if fact and fact.fee and fact.fee.currency == currency and roll > 0.4:
            fee = fact.fee
        return e.Line(
            id=f"txn_{n}",
            kind=kind,
            reference=fact.reference if fact else choose([None, "ch_of_nobody"]),
            gross=gross,
            settled=settled,
            fee=fee,
            at=START + timedelta(seconds=n),
        )

    def came_back(self, n: int, currency: str) -> e.Line:
        """A line about an earlier payout, which failed; true mostly."""
        choose = self.random.choice
        payout = s.fold(self.settlements[choose(list(self.settlements))])
        assert payout is not None
        off = choose([0, 0, 0, 0, 100])
        gross = Money(payout.amount.minor + off, choose([payout.amount.currency] * 4 + ["EUR"]))
        settled = gross if gross.currency == currency else Money(gross.minor, currency)
        return e.Line(
            id=f"txn_{n}",
            kind="payout_reversal",
            reference=choose([payout.payout_id] * 6 + ["po_of_nobody"]),
            gross=gross,
            settled=settled,
            fee=Money(choose([0] * 6 + [15]), currency),
            at=START + timedelta(seconds=n),
        )

    def pay_out(self) -> str:
        """Report what was not reported yet, and something of nobody's, now and then twice."""
        currency = self.random.choice(["USD", "USD", "GBP"])
        open_ = [fact for fact in self.facts if fact.key not in self.taken]
        about = self.random.sample(open_, min(len(open_), self.random.choice([2, 5, 20])))
        again = [f for f in self.facts if f.key in self.taken and self.random.random() < 0.02]
        others = [None] * self.random.choice([0, 1, 2])
        lines = [
            self.line(self.events * 100 + n, fact, currency)
            for n, fact in enumerate([*about, *again, *others])
        ]
        if self.settlements and self.random.random() < 0.4:
            lines.append(self.came_back(self.events * 100 + len(lines), currency))
        settlement_id = f"set_{len(self.settlements)}"
        report = s.Report(
            processor="stripe",
            payout_id=settlement_id,
            amount=Money(sum(line.net.minor for line in lines), currency),
            arrived_at=START,
            entries=tuple(s.Entry(line=line) for line in lines),
        )
        self.record(self.settlements, settlement_id, s.reported(report, "acct_1"))
        for line in lines:
            self.explain(settlement_id, line)
        return settlement_id

    def explain(self, settlement_id: str, line: e.Line) -> None:
        found, fact = s.explain(line, self.facts, self.taken)
        if line.kind == "payout_reversal":
            rows = self.settlements.get(line.reference or "", [])
            found, fact = s.explain_return(line, s.fold(rows), self.taken), None
        if isinstance(found, e.Match):
            self.matched(settlement_id, line, found)
            return
        self.seen[found] += 1
        self.record(
            self.settlements,
            settlement_id,
            e.SettlementUnmatched(
                processor="stripe",
                line=line,
                reason=found,
                order_id=fact.order_id if fact else None,
                subject=fact.subject if fact else None,
            ),
        )

    def matched(self, settlement_id: str, line: e.Line, match: e.Match) -> None:
        said = "outside" if match.outside else "stray" if match.stray else "exactly"
        off = match.gross_off is not None or match.fee_off is not None
        self.seen[f"{line.kind} {'off' if off else said}"] += 1
        self.seen["converted"] += line.is_converted
        if (key := s.key_of(line, match)) is not None:
            self.taken.add(key)
        event = e.SettlementMatched(processor="stripe", line=line, match=match)
        self.record(self.settlements, settlement_id, event)

    def operate(self) -> None:
        """An operator believes the report, says that it is none of ours, or takes it all back."""
        settlement_id = self.random.choice(list(self.settlements))
        settlement = s.fold(self.settlements[settlement_id])
        assert settlement is not None
        if not settlement.lines:
            return
        state = self.random.choice(settlement.lines)
        if state.match is not None:
            self.seen["undone"] += 1
            if (key := s.key_of(state.line, state.match)) is not None:
                self.taken.discard(key)
            undone = e.SettlementUnmatched(
                processor="stripe", line=state.line, reason="undone", undone=state.match
            )
            self.record(self.settlements, settlement_id, undone)
            return
        _, fact = s.explain(state.line, self.facts, self.taken)
        try:
            free = fact is not None and fact.key not in self.taken
            match = s.accepted(state.line, fact if free else None)
        except Rejected as no:
            self.seen[f"refused {no.code}"] += 1
            return
        self.matched(settlement_id, state.line, match)
