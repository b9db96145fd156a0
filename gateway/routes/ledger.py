"""The books as their merchant sees them: balances, accounts, entries, now and at any moment."""

from typing import Any, Final

from litestar import Request, Response, get

from commands.caller import Caller
from domain.balances import balances
from gateway import examples
from gateway.auth import authenticated, deps_of
from gateway.bodies import AccountsQueryString, BalancesQueryString, EntriesQueryString
from gateway.cursor import account_text, as_account, as_entry, entry_text
from gateway.decode import query
from gateway.deps import LedgerQuery
from gateway.ledger_views import (
    AccountsView,
    BalancesView,
    EntriesView,
    account_view,
    balances_view,
    entry_view,
)
from gateway.operation import Operation, answer
from gateway.routes.orders import currency_of
from projections.ledger import Account

_MOMENT: Final = (
    "\n\nWith `asOf`, a position or a time of commits (to its millisecond's end), as it was then. "
    "The books are a read model that may be a moment behind the log: `asOfPosition` says up to "
    "where the answer goes. With `orderId` only what that order moved."
)

BALANCES = Operation(
    id="getBalances",
    tag="Ledger",
    summary="What you have, per currency",
    description=(
        "`available` is captured money less refunds, disputes lost or under way, fees and "
        "payouts: the account `payable` less `disputed`. `pending` (`suspense`) was taken against "
        "our will and is on its way back: it is not yours. `held` (`holds`) is authorized and not "
        "captured. `disputed` is withdrawn by disputes that are not decided. `paidOut` (`bank`) is "
        "what the processors say they paid out; `available` goes down as orders explain it "
        "(`bank_contra`), and with `orderId` it is what the payouts' lines about the order came to."
        + _MOMENT
    ),
    scope="ledger:read",
    answer=BalancesView,
    example=examples.BALANCES,
    query=BalancesQueryString,
)
ACCOUNTS = Operation(
    id="listAccounts",
    tag="Ledger",
    summary="List the accounts of your books",
    description=(
        "The newest first. A balance is positive on the account's own side: debit for `holds`, "
        "`receivable`, `disputed`, `fees:{processor}`, `fx` and `bank`, credit for `payable`, "
        "`suspense`, `fees:platform`, `holds_contra` and `bank_contra`. Of accounts that name no "
        "merchant you see your part." + _MOMENT
    ),
    scope="ledger:read",
    answer=AccountsView,
    example=examples.LEDGER_ACCOUNTS,
    query=AccountsQueryString,
)
ENTRIES = Operation(
    id="listEntries",
    tag="Ledger",
    summary="List the entries of your books",
    description=(
        "Newest first. The entries of one `transferId` balance: debits equal credits in every "
        "currency." + _MOMENT
    ),
    scope="ledger:read",
    answer=EntriesView,
    example=examples.LEDGER_ENTRIES,
    query=EntriesQueryString,
)


def _ledger_query(caller: Caller, asked: BalancesQueryString) -> LedgerQuery:
    return LedgerQuery(
        merchant_id=caller.merchant_id,
        mode=caller.mode,
        as_of=asked.as_of,
        currency=currency_of(asked.currency) if asked.currency else None,
        order_id=asked.order_id,
    )


@get("/v1/balances", opt={"operation": BALANCES})
async def read_balances(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer what the merchant has, from the accounts of the books."""
    caller = await authenticated(request, "ledger:read")
    asked = query(request, BalancesQueryString)
    found = await deps_of(request).read_models.ledger_accounts(_ledger_query(caller, asked))
    sums = balances(
        ((a.account, a.currency, a.debits, a.credits) for a in found.rows),
        of_order=asked.order_id is not None,
    )
    view = balances_view(sums, caller.mode, position=found.as_of_position, at=found.as_of)
    return answer(view)


@get("/v1/ledger/accounts", opt={"operation": ACCOUNTS})
async def list_accounts(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page of accounts; a merchant has few, so the page is cut here."""
    caller = await authenticated(request, "ledger:read")
    asked = query(request, AccountsQueryString)
    found = await deps_of(request).read_models.ledger_accounts(_ledger_query(caller, asked))
    rows, has_more = _cut(found.rows, asked)
    last = rows[0 if asked.before and not asked.after else -1] if has_more else None
    view = AccountsView(
        data=[account_view(row, caller.mode) for row in rows],
        has_more=has_more,
        next_cursor=account_text(last.id) if last else None,
        as_of_position=found.as_of_position,
    )
    return answer(view)


def _cut(rows: tuple[Account, ...], asked: AccountsQueryString) -> tuple[list[Account], bool]:
    """Return the newest accounts, or those next to a cursor, and whether there are more."""
    after, before = as_account(asked.after), as_account(asked.before)
    newest = sorted(rows, key=lambda row: row.id, reverse=True)
    between = [
        row
        for row in newest
        if (after is None or row.id < after) and (before is None or row.id > before)
    ]
    backwards = before is not None and after is None
    page = between[-asked.limit :] if backwards else between[: asked.limit]
    return page, len(between) > asked.limit


@get("/v1/ledger/entries", opt={"operation": ENTRIES})
async def list_entries(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page of entries."""
    caller = await authenticated(request, "ledger:read")
    asked = query(request, EntriesQueryString)
    after, before = as_entry(asked.after), as_entry(asked.before)
    page = await deps_of(request).read_models.ledger_entries(
        _ledger_query(caller, asked), after=after, before=before, limit=asked.limit
    )
    rows = page.rows
    last = rows[0 if before and not after else -1] if page.has_more else None
    view = EntriesView(
        data=[entry_view(row, caller.mode) for row in rows],
        has_more=page.has_more,
        next_cursor=entry_text((last.position, last.n)) if last else None,
        as_of_position=page.as_of_position,
    )
    return answer(view)


ROUTES = (read_balances, list_accounts, list_entries)
