"""What we show: disposable read models, one per file; each is one line of `PROJECTIONS`."""

from typing import Final

from projections.audit_tree import AuditTree
from projections.base import Projection
from projections.ledger import LedgerView
from projections.orders import OrdersView
from projections.settlements import SettlementsView
from projections.statistics import StatisticsView
from projections.transactions import TransactionsView
from projections.webhooks import WebhooksView

PROJECTIONS: Final[dict[str, Projection]] = {
    "orders": OrdersView(),
    "transactions": TransactionsView(),
    "ledger": LedgerView(),
    "statistics": StatisticsView(),
    "webhooks": WebhooksView(),
    "settlements": SettlementsView(),
    "audit_tree": AuditTree(),
}
