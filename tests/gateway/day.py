"""One day of a shop at both vendors, and what its books say whenever they are closed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.gateway.auditor import Auditor, Json, Totals, told_accounts, told_figures
from tests.gateway.test_ledger_http import Shop
from tests.sandbox_server import SandboxServer
from tests.waiting import until

PATIENCE_S = 90


@dataclass
class Close:
    """What both had when the books were closed once: Loop's answers and the auditor's own."""

    position: int
    accounts: Totals
    figures: dict[str, dict[str, int]]
    own_accounts: Totals
    own_figures: dict[str, dict[str, int]]

    def differences(self) -> list[str]:
        """Say where Loop has what the auditor has not, or the other way round."""
        keys = sorted(self.accounts.keys() | self.own_accounts.keys())
        pairs = [(key, self.accounts.get(key, 0), self.own_accounts.get(key, 0)) for key in keys]
        found = [f"{key}: Loop has {told}, he {own}" for key, told, own in pairs if told != own]
        if self.figures != self.own_figures:
            found.append(f"Loop shows {self.figures}, he {self.own_figures}")
        return found


@dataclass
class Day:
    """One day of a shop, closed under a name whenever something has come to rest."""

    shop: Shop
    auditor: Auditor
    orders: dict[str, str] = field(default_factory=dict)
    closes: dict[str, Close] = field(default_factory=dict)

    @property
    def server(self) -> SandboxServer:
        return self.auditor.server

    def order(self, name: str, amount: int, currency: str = "USD", **fields: Any) -> str:
        """Create and pay an order; at Razorpay the customer still has to."""
        token = None if currency == "INR" else "pm_card_visa"
        asked = {"amount": amount, "currency": currency, **fields}
        order_id: str = self.shop.post("/v1/orders", **asked)["id"]
        self.shop.orders.append(order_id)
        self.orders[name] = order_id
        method = {"type": "card"} | ({"token": token} if token else {})
        self.shop.post(f"/v1/orders/{order_id}/pay", paymentMethod=method)
        return order_id

    def comes(self, name: str, *statuses: str) -> None:
        """Wait until an order is in one of these states."""
        path = f"/v1/orders/{self.orders[name]}"
        self.until(lambda: self.shop.get(path)["status"] in statuses)

    def until(self, what: Callable[[], object]) -> None:
        asyncio.run(until(what, PATIENCE_S))

    def post(self, name: str, verb: str, **body: Any) -> Json:
        return self.shop.post(f"/v1/orders/{self.orders[name]}/{verb}", **body)

    def payment(self, name: str) -> str:
        """What the vendor calls the payment."""
        (payment,) = self.server.books()["orders"][self.orders[name]]["payments"]
        found: str = payment["payment"]
        return found

    def dispute(self, name: str, amount: int) -> str:
        """The cardholder's bank takes money away; return the dispute's id at the vendor."""
        made: Json = self.server.trigger("dispute", payment=self.payment(name), amount=amount)
        self.disputed(name, "pending")
        found: str = made["id"]
        return found

    def movement(self, name: str, kind: str) -> Json:
        """Give the newest movement of a kind, nothing if there is none."""
        listed = self.shop.get(f"/v1/orders/{self.orders[name]}/transactions")
        found: Json = next((one for one in listed if one["type"] == kind), {})
        return found

    def disputed(self, name: str, status: str) -> None:
        """Wait until an order's dispute stands so."""
        self.until(lambda: self.movement(name, "dispute").get("status") == status)

    def checkout(self, name: str) -> str:
        """What Razorpay calls the order that the customer is to pay."""
        self.comes(name, "requires_action")
        action = self.shop.get(f"/v1/orders/{self.orders[name]}")["nextAction"]
        found: str = action["orderId"]
        return found

    def pay_at(self, checkout: str) -> None:
        """Pay at Razorpay's checkout, in whatever tab it still is open."""
        paid = self.server.page("POST", f"/checkout/{checkout}/pay", outcome="success")
        assert paid.status_code == 200, paid.text

    def close(self, name: str) -> None:
        """Close the books as soon as they agree, or show how they do not."""

        def agree() -> bool:
            self.auditor.look()
            before = self.auditor.books()
            page, balances = (
                self.shop.get("/v1/ledger/accounts", limit=100),
                self.shop.get("/v1/balances"),
            )
            self.closes[name] = Close(
                page["asOfPosition"], told_accounts(page), told_figures(balances),
                before.accounts(), before.figures(),
            )  # fmt: skip
            kept = self.closes[name]
            same = (kept.accounts, kept.figures) == (kept.own_accounts, kept.own_figures)
            return same and not self.auditor.disagreements()

        try:
            self.until(agree)
        except AssertionError as error:
            if name in self.closes:
                wrong = self.closes[name].differences() + self.auditor.disagreements()
                raise AssertionError(f"{name}: {wrong}") from error
            raise
