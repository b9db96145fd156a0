"""What a hostile run has left behind: Loop's orders against the sandbox's own books."""

from typing import Any, Final

from domain.order.state import Order
from tests.chaos.buyers import Sold
from tests.chaos.verdict import SAID_MAX, History, Verdict

CAPTURED_MIN: Final = 0.95
WAITING_MAX: Final = 0.01
PAID: Final = {"captured", "partially_refunded", "refunded"}
LOOKUPS_MIN: Final = 3
BLANK: Final[dict[str, int]] = {"captured": 0, "refunded": 0, "held": 0}


def judge_money(log: History, books: Any, sold: dict[str, Sold]) -> list[Verdict]:
    """Judge every order by what both vendors say of it."""
    orders = [order for order in log.orders.values() if order.id in sold]
    return [
        _captured(orders, sold),
        _waiting(log, orders),
        _equal(orders, books),
        _empty(orders, books),
        Verdict("no order is lost", len(sold), tuple(sold.keys() - log.orders.keys())[:SAID_MAX]),
    ]


def _captured(orders: list[Order], sold: dict[str, Sold]) -> Verdict:
    good = [order for order in orders if sold[order.id].good]
    missed = [o for o in good if o.status not in PAID]
    wrong: tuple[str, ...] = ()
    if len(missed) > len(good) * (1 - CAPTURED_MIN):
        told = tuple(f"{o.id} is {o.status} {o.failure}" for o in missed)[:SAID_MAX]
        wrong = (f"{len(missed)} of {len(good)} were not", *told)
    return Verdict("95 % of orders with a good card are captured", len(good), wrong)


def _waiting(log: History, orders: list[Order]) -> Verdict:
    """A human is needed where money is in doubt or in question when every window has passed."""
    open_ = [o for o in orders if _in_question(o)]
    wrong = (
        [f"{o.id} is {o.status}" for o in open_] if len(open_) > len(orders) * WAITING_MAX else []
    )
    due = {order_id for order_id, _ in log.due}
    wrong += [
        f"{o.id} waits and nobody looks" for o in open_ if o.id not in due and not o.quarantine
    ]
    return Verdict("1 % at most waits for a human", len(open_), tuple(wrong)[:SAID_MAX])


def _in_question(order: Order) -> bool:
    live = order.live
    doubt = live is not None and not order.ended and live.status in {"in_flight", "unknown"}
    moving = any(r.status in {"pending", "unknown"} for r in order.refunds)
    capturing = any(c.status in {"pending", "unknown"} for c in order.captures)
    return doubt or moving or capturing or bool(order.quarantine)


def _equal(orders: list[Order], books: Any) -> Verdict:
    wrong: list[str] = []
    for order in orders:
        book = books["orders"].get(order.id, BLANK)
        ours = (order.amount_captured, order.amount_refunded)
        theirs = (book["captured"], book["refunded"])
        if ours != theirs:
            wrong.append(f"{order.id} {order.status}: Loop {ours}, the sandbox {theirs}")
    return Verdict("totals per order are the sandbox's", len(orders), tuple(wrong)[:SAID_MAX])


def _empty(orders: list[Order], books: Any) -> Verdict:
    over = [order for order in orders if order.status in {"failed", "cancelled", "expired"}]
    wrong: list[str] = []
    for order in over:
        book = books["orders"].get(order.id, BLANK)
        if book["captured"] - book["refunded"] or book["held"]:
            wrong.append(f"{order.id} is {order.status} and holds {book}")
    return Verdict("no failed or cancelled order holds money", len(over), tuple(wrong)[:SAID_MAX])
