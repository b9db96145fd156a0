"""What a merchant has, in five figures per currency, each defined by accounts of the books.

- `held`: `holds`, authorized and neither captured nor given back.
- `disputed`: `disputed`, withdrawn by disputes that are not decided yet.
- `pending`: `suspense`, money that was taken against our will and is on its way back. It is not
  the merchant's.
- `available`: `payable` less `disputed`: captured, less what was refunded, lost in disputes, kept
  as fees or paid out, and less what a dispute has withdrawn. It is below zero when the merchant
  owes.
- `paidOut`: `bank`, what the processors say they paid out, less what they took back. Of one order
  it is `bank_contra`: what the payouts' lines about it came to.

`available` + `pending` is what the processors hold (`receivable`), and of what they paid out that
which no order explains yet (`bank` less `bank_contra`, and `fx`).
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from domain.postings import balance

AccountTotals: TypeAlias = tuple[str, str, int, int]
"""Account, currency, debits and credits in minor units."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant has in one currency, in minor units."""

    currency: str
    available: int
    pending: int
    held: int
    disputed: int
    paid_out: int


def balances(accounts: Iterable[AccountTotals], *, of_order: bool = False) -> list[Balance]:
    """Return the balances of one merchant's accounts, by currency.

    `of_order`: the accounts hold what one order moved, and a payout as a whole is no order's.
    """
    bank = "bank_contra" if of_order else "bank"
    totals: dict[str, dict[str, int]] = {}
    for account, currency, debited, credited in accounts:
        kinds = totals.setdefault(currency, {})
        kind = account.partition(":")[0]
        kinds[kind] = kinds.get(kind, 0) + balance(account, debited, credited)
    return [_balance(currency, totals[currency], bank) for currency in sorted(totals)]


def _balance(currency: str, kinds: dict[str, int], bank: str) -> Balance:
    disputed = kinds.get("disputed", 0)
    return Balance(
        currency=currency,
        available=kinds.get("payable", 0) - disputed,
        pending=kinds.get("suspense", 0),
        held=kinds.get("holds", 0),
        disputed=disputed,
        paid_out=kinds.get(bank, 0),
    )
