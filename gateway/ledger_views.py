"""What answers say of the books: balances, accounts, entries."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from domain.balances import Balance
from domain.metadata import Mode
from domain.postings import Direction
from gateway.cursor import account_text, entry_text
from gateway.views import MinorUnits, Time, View, iso
from projections.ledger import Account, EntryRow


class BalanceView(View, frozen=True, kw_only=True):
    """What a merchant has in one currency."""

    currency: str
    available: Annotated[
        int, Meta(description="`payable` less `disputed`; below zero when the merchant owes.")
    ]
    pending: Annotated[int, Meta(description="`suspense`: stray money on its way back.")]
    held: Annotated[int, Meta(description="`holds`: authorized, not captured.")]
    disputed: Annotated[int, Meta(description="`disputed`: withdrawn, not decided.")]
    paid_out: Annotated[
        int,
        Meta(
            description="`bank`: paid out by the processors, ever, as they report it; with "
            "`orderId` what of it that order explains."
        ),
    ]


class BalancesView(View, frozen=True, kw_only=True):
    """Balances after the event at `asOfPosition`, which was committed at `asOf`."""

    as_of_position: int
    as_of: Time | None
    livemode: bool
    balances: list[BalanceView]


class AccountView(View, frozen=True, kw_only=True):
    """An account of the books."""

    id: str
    account: str
    currency: str
    balance: Annotated[int, Meta(description="Minor units, positive on the account's own side.")]
    livemode: bool
    created_at: Time


class AccountsView(View, frozen=True, kw_only=True):
    """A page of accounts, the newest first."""

    data: list[AccountView]
    has_more: bool
    next_cursor: str | None
    as_of_position: int


class EntryView(View, frozen=True, kw_only=True):
    """One side of a transfer; `transferId` is the event's id, `position` its place in the log."""

    id: str
    transfer_id: str
    position: int
    order_id: Annotated[
        str | None, Meta(description="The order that it is about; null for a payout as a whole.")
    ]
    account: str
    direction: Direction
    amount: MinorUnits
    currency: str
    balance_after: Annotated[int, Meta(description="The account's balance after this entry.")]
    occurred_at: Time
    livemode: bool
    created_at: Time


class EntriesView(View, frozen=True, kw_only=True):
    """A page of entries, newest first."""

    data: list[EntryView]
    has_more: bool
    next_cursor: str | None
    as_of_position: int


def balances_view(
    balances: list[Balance], mode: Mode, *, position: int, at: datetime | None
) -> BalancesView:
    """Render balances."""
    return BalancesView(
        as_of_position=position,
        as_of=iso(at) if at else None,
        livemode=mode == "live",
        balances=[
            BalanceView(
                currency=one.currency,
                available=one.available,
                pending=one.pending,
                held=one.held,
                disputed=one.disputed,
                paid_out=one.paid_out,
            )
            for one in balances
        ],
    )


def account_view(account: Account, mode: Mode) -> AccountView:
    """Render an account."""
    return AccountView(
        id=account_text(account.id),
        account=account.account,
        currency=account.currency,
        balance=account.balance,
        livemode=mode == "live",
        created_at=iso(account.opened_at),
    )


def entry_view(entry: EntryRow, mode: Mode) -> EntryView:
    """Render an entry."""
    return EntryView(
        id=entry_text((entry.position, entry.n)),
        transfer_id=entry.transfer_id,
        position=entry.position,
        order_id=entry.order_id,
        account=entry.account,
        direction=entry.direction,
        amount=entry.amount_minor,
        currency=entry.currency,
        balance_after=entry.balance_after,
        occurred_at=iso(entry.occurred_at),
        livemode=mode == "live",
        created_at=iso(entry.occurred_at),
    )
