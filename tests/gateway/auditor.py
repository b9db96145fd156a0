"""An auditor of one merchant: his own double entry, from HTTP answers and the vendors' books.

He knows nothing of Loop's events. What a merchant is told of an order he holds against what the
sandbox has taken and given; what is left after that he enters in accounts of his own.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

from tests.gateway.test_ledger_http import Shop
from tests.sandbox_server import SandboxServer

Json: TypeAlias = dict[str, Any]
Totals: TypeAlias = dict[tuple[str, str], int]
CREDITED = ("holds_contra", "payable", "suspense", "bank_contra")
INDIA = timezone(timedelta(hours=5, minutes=30))
FIGURES = ("available", "pending", "held", "disputed", "paidOut")


def shown(account: str, debited: int) -> int:
    """Give an account's balance as it is told: positive on the side that is usual for it."""
    usual = account == "fees:platform" or account.partition(":")[0] in CREDITED
    return -debited if usual else debited


@dataclass
class Books:
    """Debits less credits of every account and currency."""

    sums: Counter[tuple[str, str]] = field(default_factory=Counter)

    def move(self, debit: str, credit: str, amount: int, currency: str) -> None:
        self.sums[debit, currency] += amount
        self.sums[credit, currency] -= amount

    def add(self, other: "Books") -> None:
        for key, debited in other.sums.items():
            self.sums[key] += debited

    def accounts(self) -> Totals:
        """Give what is not empty, as it is told."""
        return {key: shown(key[0], debited) for key, debited in self.sums.items() if debited}

    def figures(self, paid: str = "bank") -> dict[str, dict[str, int]]:
        """Give the five figures of every currency that has one."""
        found: dict[str, dict[str, int]] = {}
        for (account, currency), amount in self.accounts().items():
            of = found.setdefault(currency, dict.fromkeys(FIGURES, 0))
            kind = account.partition(":")[0]
            for figure, names in (
                ("available", ("payable",)), ("pending", ("suspense",)), ("held", ("holds",)),
                ("disputed", ("disputed",)), ("paidOut", (paid,)),
            ):  # fmt: skip
                of[figure] += amount if kind in names else 0
            of["available"] -= amount if kind == "disputed" else 0
        return {currency: of for currency, of in found.items() if any(of.values())}


def told_accounts(page: Json) -> Totals:
    """Give what an answer of `/v1/ledger/accounts` has that is not empty."""
    assert page["hasMore"] is False
    return {(a["account"], a["currency"]): a["balance"] for a in page["data"] if a["balance"]}


def told_figures(answer: Json) -> dict[str, dict[str, int]]:
    """Give what an answer of `/v1/balances` has that is not empty."""
    rows = {b["currency"]: {name: b[name] for name in FIGURES} for b in answer["balances"]}
    return {currency: row for currency, row in rows.items() if any(row.values())}


@dataclass(frozen=True)
class Seen:
    """What a merchant was answered of one order."""

    order: Json
    movements: list[Json]
    refunds: list[Json]


@dataclass
class Auditor:
    """`look` first: the rest is about what was seen then.

    Attributes:
        key: names the merchant's accounts at both vendors.
        fetched: the payouts that Loop knows.
        seen: of every order.
        vendor: what the sandbox's books have of every order.
    """

    shop: Shop
    server: SandboxServer
    key: str
    fetched: list[str] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    vendor: Json = field(default_factory=dict)

    @property
    def me(self) -> str:
        return self.shop.caller.merchant_id

    @property
    def owed(self) -> str:
        return f"payable:{self.me}"

    def look(self) -> None:
        """Ask Loop, then the vendors; who is asked later may know more, never less."""
        for order_id in self.shop.orders:
            path = f"/v1/orders/{order_id}"
            lists = (self.shop.get(f"{path}/transactions"), self.shop.get(f"{path}/refunds"))
            self.seen[order_id] = Seen(self.shop.get(path), *lists)
        self.vendor = self.server.books()["orders"]

    def disagreements(self) -> list[str]:
        """Say in which order what the merchant is told is not what the vendor has done."""
        found: list[str] = []
        for order_id, seen in self.seen.items():
            order, book, told = seen.order, self.vendor.get(order_id), self._told(order_id)
            done = Counter({n: book[n] for n in ("captured", "refunded", "held")} if book else {})
            if not order["amountCaptured"]:
                done["captured"] = done["refunded"] = 0
            if told != done:
                found.append(f"{order_id}: told {told}, done {done}")
            went = sum(r["amount"] for r in seen.refunds if r["status"] == "succeeded")
            if not went == told["refunded"] == order["amountRefunded"]:
                found.append(f"{order_id}: refunds of {went} are listed, moved {told}, {order}")
            if told["captured"] != order["amountCaptured"]:
                found.append(f"{order_id}: moved {told}, {order}")
        return found

    def _told(self, order_id: str) -> Counter[str]:
        """Sum what the list of an order's movements says."""
        told: Counter[str] = Counter()
        for one in self._movements(order_id, "success"):
            told[one["type"]] += one["amount"]
        held = told["authorization"] - told["capture"] - told["void"]
        return Counter(captured=told["capture"], refunded=told["refund"], held=held)

    def _movements(self, order_id: str, status: str | None = None) -> list[Json]:
        return [one for one in self.seen[order_id].movements if status in {None, one["status"]}]

    def books(self) -> Books:
        """Keep the whole merchant's books anew."""
        whole = self._payouts()
        for books in self.by_order().values():
            whole.add(books)
        return whole

    def by_order(self) -> dict[str, Books]:
        """Keep the books of every order, with what was paid out of it."""
        found, fees = self.paid(), self.fees()
        for order_id in self.seen:
            found[order_id].add(self.of_order(order_id, fees.get(order_id, ())))
        return found

    def of_order(self, order_id: str, fees: Iterable[tuple[int, str]]) -> Books:
        """Keep one order's books but for payouts; `fees` are each in a currency of its own."""
        books, order = Books(), self.seen[order_id].order
        book = self.vendor.get(order_id)
        if book is None:
            return books
        (payment,) = book["payments"]
        vendor, code, me = payment["dialect"], order["currency"], self.me
        holds, contra = f"holds:{me}", f"holds_contra:{vendor}:{me}"
        at, owed = f"receivable:{vendor}:{me}", self.owed
        told = self._told(order_id)
        books.move(holds, contra, told["held"], code)
        if order["amountCaptured"]:
            books.move(at, owed, told["captured"] - told["refunded"], code)
        else:
            left = payment["captured"] - payment["refunded"]
            books.move(at, f"suspense:{vendor}:{me}", left, code)
        books.move(f"disputed:{me}", at, payment["disputed"], code)
        for one in self._movements(order_id, "success"):
            if one["type"] == "dispute":
                books.move(owed, f"disputed:{me}", one["amount"], code)
        for fee, currency in fees:
            books.move(f"fees:{vendor}", at, fee, currency)
            books.move(owed, "fees:platform", fee, currency)
        return books

    def fees(self) -> dict[str, list[tuple[int, str]]]:
        """Ask the vendors what they keep of each order; "" is what the merchant was not told of."""
        owner = self._owners()
        found: dict[str, list[tuple[int, str]]] = {}
        for line in self._stripe("balance_transactions"):
            if line["fee"]:
                fee = (line["fee"], line["currency"].upper())
                found.setdefault(owner.get(line["source"], ""), []).append(fee)
        for payment in self._razorpay("payment"):
            if payment["fee"]:
                fee = (payment["fee"], payment["currency"])
                found.setdefault(owner.get(payment["id"], ""), []).append(fee)
        return found

    def _owners(self) -> dict[str, str]:
        """Give the order of every movement that the merchant was told, and of every payment."""
        owners = {
            one["processorTransactionId"]: order_id
            for order_id in self.seen
            for one in self._movements(order_id)
        }
        for order_id, book in self.vendor.items():
            owners |= {payment["payment"]: order_id for payment in book["payments"]}
        return owners

    def _stripe(self, what: str, **asked: Any) -> list[Any]:
        with self.server.stripe(f"sk_test_{self.key}") as stripe:
            listed = getattr(stripe.v1, what).list({"limit": 100} | asked)
        assert not listed.has_more
        return list(listed.data)

    def _payouts(self) -> Books:
        """Enter the payouts that were fetched: they are in the bank, and no longer receivable."""
        books, me = Books(), self.me
        for payout in self._stripe("payouts"):
            if payout["id"] in self.fetched:
                code = payout["currency"].upper()
                books.move("bank:stripe", f"receivable:stripe:{me}", payout["amount"], code)
        for settlement in self._razorpay("settlement"):
            if settlement["id"] in self.fetched:
                books.move(
                    "bank:razorpay", f"receivable:razorpay:{me}", settlement["amount"], "INR"
                )
        return books

    def paid(self) -> dict[str, Books]:
        """Enter every line of the payouts that were fetched, by its order: no longer owed."""
        found, owner, owed = {one: Books() for one in self.seen}, self._owners(), self.owed
        amounts = self._customers_amounts()
        for line in self._lines():
            books = found.setdefault(owner.get(line["source"], ""), Books())
            settled, net = line["currency"], line["net"]
            books.move(owed, f"bank_contra:{line['vendor']}", net, settled)
            amount, code = amounts.get(line["source"], (0, settled))
            if code != settled:
                at, sign = f"receivable:{line['vendor']}:{self.me}", 1 if net > 0 else -1
                books.move(owed, at, sign * amount, code)
                books.move(at, owed, line["amount"], settled)
        return found

    def _lines(self) -> Iterator[Json]:
        """Give what both vendors' payouts are made of."""
        for payout in self.fetched:
            if payout.startswith("po_"):
                for line in self._stripe("balance_transactions", payout=payout):
                    if line["type"] != "payout":
                        currency = line["currency"].upper()
                        yield {name: line[name] for name in ("source", "amount", "net")} | {
                            "vendor": "stripe", "currency": currency,
                        }  # fmt: skip
        for settlement in self._razorpay("settlement"):
            at = datetime.fromtimestamp(settlement["created_at"], INDIA)
            asked = {"year": at.year, "month": at.month, "count": 1000}
            for item in self._razorpay("settlement", "report", asked):
                if item["settlement_id"] == settlement["id"] and settlement["id"] in self.fetched:
                    net = item["credit"] - item["debit"]
                    yield {
                        "vendor": "razorpay", "currency": "INR", "net": net, "amount": net,
                        "source": item["payment_id"] or item["entity_id"],
                    }  # fmt: skip

    def _razorpay(self, what: str, verb: str = "all", asked: Json | None = None) -> list[Json]:
        with self.server.razorpay((f"rzp_test_{self.key}", "secret")) as razorpay:
            answer = getattr(getattr(razorpay, what), verb)({"count": 100} | (asked or {}))
        found: list[Json] = answer["items"]
        return found

    def _customers_amounts(self) -> dict[str, tuple[int, str]]:
        return {
            one["processorTransactionId"]: (one["amount"], seen.order["currency"])
            for seen in self.seen.values()
            for one in seen.movements
            if one["type"] in {"capture", "refund"}
        }
