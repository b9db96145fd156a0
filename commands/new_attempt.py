"""Whether an order may get a new attempt: not while money may be where the log does not look."""

from commands.ports import Ports
from domain.errors import Rejected, Unavailable
from domain.order.state import Order


async def may_start(ports: Ports, order: Order) -> None:
    """Return where a new attempt of the order may start.

    Raises:
        Unavailable: `reconciling`, after a restore, until the merchant's accounts were listed.
        Rejected: `order_quarantined`, a processor has a payment of it that the log does not know.
    """
    match await ports.reconciliation.holds_back(order.merchant_id, order.mode, order.id):
        case "restored":
            raise Unavailable("reconciling", "What the processors did is being listed; try again.")
        case "orphan":
            raise Rejected(
                "order_quarantined",
                "A processor has a payment of this order that the log does not know.",
            )
        case None:
            return
