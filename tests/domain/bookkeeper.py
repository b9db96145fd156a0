"""Books of one order, kept from its transfers and compared with what its state says."""

from collections import Counter
from typing import Self

from domain import events as e
from domain.metadata import Metadata
from domain.order.state import Order
from domain.order.steps import steps
from domain.postings import Transfer, balance, postings


class Bookkeeper:
    """Debits minus credits by account and currency; `fees` as the events say them."""

    def __init__(self) -> None:
        self.totals: Counter[tuple[str, str]] = Counter()
        self.fees: Counter[str] = Counter()

    def copy(self) -> Self:
        other = type(self)()
        other.totals, other.fees = self.totals.copy(), self.fees.copy()
        return other

    def see(self, event: e.AnyEvent, metadata: Metadata) -> Transfer | None:
        """Post one event; debits equal credits in it and after it, and no hold is below zero."""
        transfer = postings(event, metadata)
        if isinstance(event, e.FeeRecorded):
            self.fees[event.amount.currency] += event.amount.minor
        if transfer is None:
            return None
        moved: Counter[str] = Counter()
        for entry in transfer.entries:
            assert entry.amount.minor > 0
            signed = entry.amount.minor * (1 if entry.direction == "debit" else -1)
            moved[entry.amount.currency] += signed
            self.totals[entry.account, entry.amount.currency] += signed
        assert not any(moved.values()), transfer
        assert not any(self.trial().values()), self.totals
        assert all(v >= 0 for (a, _), v in self.totals.items() if a.startswith("holds:"))
        assert all(v <= 0 for (a, _), v in self.totals.items() if a.startswith("holds_contra:"))
        return transfer

    def trial(self) -> Counter[str]:
        sums: Counter[str] = Counter()
        for (_, currency), signed in self.totals.items():
            sums[currency] += signed
        return sums

    def of(self, kind: str, currency: str) -> int:
        """Return the balance of all accounts of a kind, positive on their normal side."""
        return sum(
            balance(account, signed, 0)
            for (account, code), signed in self.totals.items()
            if code == currency and account.split(":")[0] == kind
        )

    def compare(self, order: Order) -> None:
        """Every account says of an order what the order's own state says."""
        ours = order.amount.currency
        held = [a.held.minor for a in order.attempts if a.held]
        assert self.of("holds", ours) == sum(held) == self.of("holds_contra", ours)
        lost = sum(d.withdrawn.minor for d in order.disputes if d.status == "lost")
        undecided = sum(d.withdrawn.minor for d in order.disputes if d.status != "lost")
        assert self.of("disputed", ours) == undecided
        earned = order.amount_captured - order.amount_refunded - lost
        currencies = {ours} | {currency for _, currency in self.totals}
        for currency in currencies:
            kept = earned if currency == ours else 0
            assert self.of("payable", currency) == kept - self.fees[currency]
            assert self.of("suspense", currency) == _stray(order, currency)

    def settle(self, order: Order) -> None:
        """Nothing stays where it should not, once all that one command gave is posted."""
        ours = order.amount.currency
        if not any(s.open for s in order.strays) and not order.discrepancies:
            assert not any(v for (a, _), v in self.totals.items() if a.startswith("suspense:"))
        if order.ended and not steps(order) and not order.quarantine:
            assert self.of("holds", ours) == 0, "nothing is held of an order at rest"


def _stray(order: Order, currency: str) -> int:
    """Return what was taken against our will and has not gone back; below zero if too much has."""
    taken = [s for s in order.strays if s.state == "captured" and s.amount.currency == currency]
    back = [r for s in taken for r in order.stray_refunds(s) if r.status == "succeeded"]
    return sum(s.amount.minor for s in taken) - sum(r.amount.minor for r in back)
