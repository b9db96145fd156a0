"""The books: the balanced transfer that each money event amounts to. Pure.

The journal is the log seen through `postings`. Every account is per mode and currency. Accounts
that name no merchant (`fees:…`, `bank:…`) are kept per merchant all the same: what one merchant's
events moved in them is that merchant's part of the account.

What a processor says it paid out goes from `receivable` to `bank`; each line of its report that
orders explain goes from `payable` to `bank_contra`. What is in `bank` and not there is yet to be
explained. Of a payout in another currency than the customer paid in, both legs go through `fx`: the
first with the report, the second line by line. A payout that came back is a line of a later one: it
leaves `bank` again, and what explained it goes on explaining.

A discrepancy posts nothing: until an operator settles it nobody knows what is true, and what is
settled is posted by the capture or refund that follows. Requests post nothing either.
"""

from typing import Final, Literal, TypeAlias, assert_never

import msgspec

from domain import events as e
from domain.metadata import Metadata, Mode
from domain.money import Money

Direction = Literal["debit", "credit"]
Move: TypeAlias = tuple[str, str, Money]
"""Account to debit, account to credit, amount."""

_CREDIT_NORMAL: Final = (
    "holds_contra:", "payable:", "suspense:", "fees:platform", "bank_contra:",
)  # fmt: skip


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a transfer. `amount` is above zero; the direction says which way."""

    account: str
    direction: Direction
    amount: Money


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """What one event moves: debits and credits are equal in every currency.

    Attributes:
        id: of the event, so that every transfer leads to its row of the log.
        entries: at least two; an account occurs once per currency.
    """

    id: str
    merchant_id: str
    mode: Mode
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        """Refuse what does not balance."""
        totals: dict[str, int] = {}
        for entry in self.entries:
            assert entry.amount.minor > 0, "an entry moves something"
            sign = 1 if entry.direction == "debit" else -1
            currency = entry.amount.currency
            totals[currency] = totals.get(currency, 0) + sign * entry.amount.minor
        assert not any(totals.values()), "debits and credits are equal"


def normal_side(account: str) -> Direction:
    """Return the side on which an account's balance is positive."""
    return "credit" if account.startswith(_CREDIT_NORMAL) else "debit"


def balance(account: str, debited: int, credited: int) -> int:
    """Return an account's balance in minor units, positive on its normal side."""
    return debited - credited if normal_side(account) == "debit" else credited - debited


def postings(event: e.AnyEvent, metadata: Metadata) -> Transfer | None:
    """Return the transfer of an event, None where no money moves."""
    moves = [move for move in _moves(event, metadata.merchant_id) if move[2].minor]
    if not moves:
        return None
    assert metadata.mode is not None, "money is test or live money"
    return Transfer(
        id=metadata.event_id,
        merchant_id=metadata.merchant_id,
        mode=metadata.mode,
        entries=_netted(moves),
    )


def _netted(moves: list[Move]) -> tuple[Entry, ...]:
    """Return one entry per account and currency, in order of appearance."""
    totals: dict[tuple[str, str], int] = {}
    for debited, credited, amount in moves:
        for account, minor in ((debited, amount.minor), (credited, -amount.minor)):
            key = (account, amount.currency)
            totals[key] = totals.get(key, 0) + minor
    return tuple(
        Entry(
            account=account,
            direction="debit" if minor > 0 else "credit",
            amount=Money(abs(minor), currency),
        )
        for (account, currency), minor in totals.items()
        if minor
    )


def _moves(event: e.AnyEvent, merchant: str) -> list[Move]:  # noqa: C901, PLR0912 - one case per event
    """Return what is debited and credited; the amount may be zero."""
    match event:
        case e.OrderAuthorized():
            return [_hold(event.processor, merchant, event.amount)]
        case e.OrderCaptured():
            return [
                _hold_back(event.processor, merchant, event.amount + event.released),
                (f"receivable:{event.processor}:{merchant}", f"payable:{merchant}", event.amount),
            ]
        case e.CaptureFailed():
            released = event.released
            return [_hold_back(event.processor, merchant, released)] if released else []
        case e.OrderVoided() | e.AuthorizationExpired():
            # A stray hold never was in `holds`.
            if event.payment_id is not None:
                return []
            return [_hold_back(event.processor, merchant, event.amount)]
        case e.OrderRefunded():
            return [_refund(event, merchant)]
        case e.RefundReversed():
            owed, receivable, amount = _refund(event, merchant)
            return [(receivable, owed, amount)]
        case e.DisputeFundsWithdrawn():
            return [_withdrawn(event, merchant)]
        case e.DisputeFundsReinstated():
            disputed, receivable, amount = _withdrawn(event, merchant)
            return [(receivable, disputed, amount)]
        case e.DisputeClosed():
            lost = event.lost_amount
            return [(f"payable:{merchant}", f"disputed:{merchant}", lost)] if lost else []
        case e.FeeRecorded():
            return _fee(f"{event.processor}:{merchant}", merchant, event.amount)
        case e.StrayPaymentFound():
            if event.state == "held":
                return []
            of = f"{event.processor}:{merchant}"
            return [(f"receivable:{of}", f"suspense:{of}", event.amount)]
        case e.SettlementReported():
            return _reported(event, merchant)
        case e.SettlementMatched():
            return _matched(event.processor, merchant, event.line, event.match)
        case e.SettlementUnmatched():
            if event.undone is None:
                return []
            back = _matched(event.processor, merchant, event.line, event.undone)
            return [(credited, debited, amount) for debited, credited, amount in back]
        case (
            e.OrderCreated()
            | e.OrderRouted()
            | e.ProcessorReferenced()
            | e.OrderChallenged()
            | e.OrderDeclined()
            | e.OutcomeUnknown()
            | e.AttemptFenced()
            | e.CaptureRequested()
            | e.VoidRequested()
            | e.VoidFailed()
            | e.AuthorizationExpiring()
            | e.CancelRequested()
            | e.OrderFailed()
            | e.OrderCancelled()
            | e.OrderExpired()
            | e.RefundRequested()
            | e.RefundFailed()
            | e.DisputeOpened()
            | e.DiscrepancyFound()
            | e.DiscrepancyResolved()
        ):
            return []
        case (
            e.MerchantRegistered()
            | e.ProfileChanged()
            | e.KeyIssued()
            | e.KeyRevoked()
            | e.ProcessorConfigured()
            | e.ProcessorRemoved()
            | e.RoutingSet()
            | e.EndpointAdded()
            | e.EndpointChanged()
            | e.EndpointRemoved()
            | e.EndpointSecretRotated()
            | e.EndpointTested()
            | e.CustomerErased()
        ):
            return []
        case _:
            assert_never(event)


def _hold(processor: str, merchant: str, amount: Money) -> Move:
    return f"holds:{merchant}", f"holds_contra:{processor}:{merchant}", amount


def _hold_back(processor: str, merchant: str, amount: Money) -> Move:
    return f"holds_contra:{processor}:{merchant}", f"holds:{merchant}", amount


def _refund(event: e.OrderRefunded | e.RefundReversed, merchant: str) -> Move:
    """Return the move of a refund; a stray's comes out of suspense, never out of the merchant's."""
    of = f"{event.processor}:{merchant}"
    owed = f"suspense:{of}" if event.kind == "stray" else f"payable:{merchant}"
    return owed, f"receivable:{of}", event.amount


def _withdrawn(event: e.DisputeFundsWithdrawn | e.DisputeFundsReinstated, merchant: str) -> Move:
    return f"disputed:{merchant}", f"receivable:{event.processor}:{merchant}", event.amount


def _reported(event: e.SettlementReported, merchant: str) -> list[Move]:
    """Return the moves of a payout: to the bank, what was converted over `fx`."""
    of = f"{event.processor}:{merchant}"
    moves = [(f"bank:{event.processor}", f"receivable:{of}", event.amount)]
    for part in event.converted:
        moves.append((f"fx:{of}", f"receivable:{of}", part.gross))
        moves.append((f"receivable:{of}", f"fx:{of}", part.settled))
    return moves


def _matched(processor: str, merchant: str, line: e.Line, match: e.Match) -> list[Move]:
    """Return the moves of an explained line: what was owed has been paid out."""
    of = f"{processor}:{merchant}"
    paid = f"bank_contra:{processor}"
    if match.outside:
        return [*_unconverted(of, line), (f"receivable:{of}", paid, line.net)]
    if line.kind == "payout_reversal":
        return [(f"receivable:{of}", f"bank:{processor}", line.net)]
    if line.kind == "fee":
        back = Money(-line.net.minor, line.net.currency)
        return [*_fee(of, merchant, back), (f"payable:{merchant}", paid, line.net)]
    owed = f"suspense:{of}" if match.stray else f"payable:{merchant}"
    moves = [(owed, paid, line.settled), (paid, f"payable:{merchant}", line.fee)]
    if line.is_converted:
        moves += [(owed, f"fx:{of}", line.gross), (f"fx:{of}", owed, line.settled)]
    if match.gross_off is not None:
        moves.append((f"receivable:{of}", owed, match.gross_off))
    if match.fee_off is not None:
        moves += _fee(of, merchant, match.fee_off)
    return moves


def _unconverted(of: str, line: e.Line) -> list[Move]:
    """Return the opposite of what the report moved over `fx` for a line."""
    if not line.is_converted:
        return []
    return [
        (f"receivable:{of}", f"fx:{of}", line.gross),
        (f"fx:{of}", f"receivable:{of}", line.settled),
    ]


def _fee(of: str, merchant: str, amount: Money) -> list[Move]:
    """Return the moves of a processor's fee, passed on in full; `of` is processor and merchant."""
    return [
        (f"fees:{of.partition(':')[0]}", f"receivable:{of}", amount),
        (f"payable:{merchant}", "fees:platform", amount),
    ]
