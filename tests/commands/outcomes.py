"""How orders of amount codes and test tokens are brought to their ends, and what those are."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from domain.order.state import Order
from tests.commands.market import Market, is_settled
from tests.ledgers import Fold

BASE: Final = 10_000
PATIENT_S: Final = 30.0
"""Limit of a call whose answer is sure to come, in seconds: a slow machine changes no outcome."""

Asked = TypeVar("Asked", int, str)


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What an order came to. Nothing is held at the vendor any more.

    Attributes:
        code: of the failure.
        tags: of its events after `routed`.
        captured: minor units by the vendor's own books, as are `refunded` and `disputed`.
    """

    status: str
    tags: tuple[str, ...]
    code: str | None = None
    captured: int = 0
    refunded: int = 0
    disputed: int = 0


@dataclass
class Lives(Generic[Asked]):
    """Orders by what their customers asked for: an amount code or a token."""

    market: Market
    orders: dict[Asked, Order]

    async def go_on(self, which: Collection[Asked] | None = None, *, rounds: int = 16) -> None:
        """Act on these orders, five seconds apart, as long as they wait for us."""
        waiting = [asked for asked in (which or self.orders) if not self.orders[asked].ended]
        for _ in range(rounds):
            found = await self.market.round([self.orders[asked] for asked in waiting])
            self.orders.update(zip(waiting, found, strict=True))
            waiting = [asked for asked in waiting if not is_settled(self.orders[asked])]
            if not waiting:
                break
            self.market.later(timedelta(seconds=5))

    async def hang(self, which: Collection[Asked]) -> None:
        """Act on orders whose first answers do not come, then be patient with all others."""
        self.market.call_limit_s = None
        await self.go_on(which)
        self.market.call_limit_s = PATIENT_S

    async def afterwards(self, which: Collection[Asked], *spans: timedelta) -> None:
        """Look at these orders after each span, as a webhook would have us do."""
        for span in spans:
            self.market.later(span)
            for asked in which:
                self.orders[asked] = await self.market.look_at(self.orders[asked])

    async def refund(self, which: Collection[Asked]) -> None:
        for asked in which:
            await self.market.shop.refund(self.orders[asked])
        await self.go_on(which)

    def authenticate(self) -> None:
        """Let every customer who is asked for it say who he is at Stripe."""
        for order in self.orders.values():
            if order.live is not None and order.live.challenge == "redirect":
                self.market.authenticate(order)

    def pay(self, asked: Asked, **fields: str) -> None:
        """Let a customer pay at Razorpay's checkout, and say at the bank who he is."""
        live, page = self.orders[asked].live, self.market.server.page
        assert live is not None
        said = page("POST", f"/checkout/{live.reference}/pay", **fields).json()
        for step in said.get("next", ())[:1]:
            page("POST", urlsplit(step["url"]).path.removeprefix("/razorpay"), outcome="approve")

    async def ends(self, *, hung: Collection[Asked] = ()) -> dict[Asked, End]:
        """Return what the orders came to; all books agree.

        How often one asks for an answer that hangs is the machine's affair: of `hung` orders no
        `outcome_unknown` is told.
        """
        found: dict[Asked, End] = {}
        for asked, order in self.orders.items():
            book = self.market.book(order)
            assert book["held"] == 0, order
            assert len([one for one in book["payments"] if one["captured"]]) <= 1, order
            await check_ledger(self.market, order, book)
            tags = (await self.market.shop.events(order.id))[2:]
            found[asked] = End(
                status=order.status,
                code=order.failure.code if order.failure else None,
                tags=tuple(t for t in tags if t != "outcome_unknown" or asked not in hung),
                captured=book["captured"],
                refunded=book["refunded"],
                disputed=book["disputed"],
            )
        return found


async def check_ledger(market: Market, order: Order, book: Mapping[str, Any]) -> None:
    """Compare what an order's events post with what the vendor says it holds, took and gave."""
    fold = Fold()
    for row in (await market.app.ports.store.load([order.id]))[order.id]:
        fold.see(row)
    posted: dict[str, int] = {}
    for (_, account), minor in fold.of(order.merchant_id, "test").items():
        kind = "income" if account == "fees:platform" else account.partition(":")[0]
        posted[kind] = posted.get(kind, 0) + minor
    lost = sum(d.amount.minor for d in order.disputes if d.status == "lost")
    fees, left = posted.get("fees", 0), book["captured"] - book["refunded"]
    wanted = {
        "holds": book["held"],
        "holds_contra": book["held"],
        "receivable": left - book["disputed"] - fees,
        "payable": left - lost - fees,
        "disputed": book["disputed"] - lost,
        "fees": fees,
        "income": fees,
    }
    there = {kind: minor for kind, minor in posted.items() if minor}
    assert there == {kind: minor for kind, minor in wanted.items() if minor}, order
