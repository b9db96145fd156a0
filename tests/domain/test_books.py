"""The books of every life that the machine allows: balanced, no hold below zero, true to it."""

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from domain import events as e
from domain.money import Money
from domain.postings import Entry, Transfer, normal_side, postings
from tests.domain.catalogue import EXAMPLES
from tests.domain.explorer import ENOUGH, Explorer, Pair
from tests.domain.story import metadata

ALLOWED = Path(__file__).parent.parent / "golden/order_pairs.txt"
"""Every tag with the statuses in which the machine allows it, `none` before the order exists.

Found by the explorer in millions of events; a pair that is not in it is a change of the rules.
"""
EVENTS_MAX = 150_000


def allowed() -> set[Pair]:
    lines = (line.split(": ") for line in ALLOWED.read_text().splitlines())
    return {(status, tag) for tag, statuses in lines for status in statuses.split()}


def test_the_books_of_every_allowed_life_balance() -> None:
    """Every event of every life is posted and compared by `tests.domain.bookkeeper`."""
    explorer, wanted = Explorer(seed=2), allowed()
    while explorer.events < EVENTS_MAX and rare(explorer, wanted):
        explorer.run(explorer.events + 5_000)
    print(f"{explorer.events} events")
    for tag, count in sorted(explorer.tags.items()):
        statuses = {s: n for (s, t), n in sorted(explorer.pairs.items()) if t == tag}
        print(f"{count:7} {tag:38} " + " ".join(f"{s} {n}" for s, n in statuses.items()))
    assert {e.tag_of(kind) for kind in get_args(e.OrderEvent)} == set(explorer.tags)
    assert set(explorer.pairs) - wanted == set(), "the machine allows more than is written down"
    assert rare(explorer, wanted) == {}


def rare(explorer: Explorer, wanted: set[Pair]) -> dict[Pair, int]:
    return {pair: explorer.pairs[pair] for pair in wanted if explorer.pairs[pair] < ENOUGH}


TEN, SIX, FOUR, NOTHING = (Money(n, "USD") for n in (1000, 600, 400, 0))
CAPTURED = e.OrderCaptured(
    attempt_id="att",
    capture_id="cap",
    processor="stripe",
    processor_id="ch",
    amount=SIX,
    released=FOUR,
    remaining=NOTHING,
)
REFUNDED = e.OrderRefunded(
    refund_id="ref",
    attempt_id="att",
    processor="stripe",
    processor_id="re",
    amount=FOUR,
    kind="merchant",
)
OF = {"dispute_id": "dsp", "processor": "stripe"}
HOLD = {"attempt_id": "att", "processor": "stripe", "amount": TEN}


def told(event: e.OrderEvent) -> dict[str, int]:
    """Debits above zero, credits below."""
    transfer = postings(event, metadata())
    return {
        entry.account: entry.amount.minor * (1 if entry.direction == "debit" else -1)
        for entry in (transfer.entries if transfer else ())
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (e.OrderAuthorized(payment_id="pi", **HOLD), {"holds": 1000, "holds_contra": -1000}),
        (
            CAPTURED,
            {"holds": -1000, "holds_contra": 1000, "receivable": 600, "payable": -600},
        ),
        (
            e.CaptureFailed(
                attempt_id="att",
                capture_id="cap",
                processor="stripe",
                code="gone",
                hold="expired",
                released=FOUR,
            ),
            {"holds": -400, "holds_contra": 400},
        ),
        (
            e.CaptureFailed(
                attempt_id="att", capture_id="cap", processor="stripe", code="no", hold="held"
            ),
            {},
        ),
        (e.OrderVoided(**HOLD), {"holds": -1000, "holds_contra": 1000}),
        (e.AuthorizationExpired(**HOLD), {"holds": -1000, "holds_contra": 1000}),
        (e.OrderVoided(payment_id="stray", **HOLD), {}),
        (e.AuthorizationExpired(payment_id="stray", **HOLD), {}),
        (REFUNDED, {"payable": 400, "receivable": -400}),
        (
            e.RefundReversed(
                refund_id="ref", processor="stripe", amount=FOUR, kind="merchant", code="x"
            ),
            {"payable": -400, "receivable": 400},
        ),
        (
            e.RefundReversed(
                refund_id="ref", processor="stripe", amount=FOUR, kind="stray", code="x"
            ),
            {"suspense": -400, "receivable": 400},
        ),
        (e.DisputeFundsWithdrawn(amount=SIX, **OF), {"disputed": 600, "receivable": -600}),
        (e.DisputeFundsReinstated(amount=SIX, **OF), {"disputed": -600, "receivable": 600}),
        (
            e.DisputeClosed(outcome="lost", lost_amount=SIX, **OF),
            {"payable": 600, "disputed": -600},
        ),
        (e.DisputeClosed(outcome="lost", lost_amount=NOTHING, **OF), {}),
        (e.DisputeClosed(outcome="won", **OF), {}),
        (
            e.FeeRecorded(processor="stripe", of="capture", subject="cap", amount=FOUR),
            {"fees:stripe": 400, "receivable": -400, "payable": 400, "fees:platform": -400},
        ),
        (
            e.FeeRecorded(
                processor="stripe", of="refund", subject="ref", amount=Money(-400, "USD")
            ),
            {"fees:stripe": -400, "receivable": 400, "payable": -400, "fees:platform": 400},
        ),
        (
            e.StrayPaymentFound(payment_id="pi_2", state="captured", **HOLD),
            {"receivable": 1000, "suspense": -1000},
        ),
        (e.StrayPaymentFound(payment_id="pi_2", state="held", **HOLD), {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, e.Event) else "",
)
def test_what_an_event_moves(event: e.OrderEvent, expected: dict[str, int]) -> None:
    short = {
        account if account.startswith("fees:") else account.split(":")[0]: signed
        for account, signed in told(event).items()
    }
    assert short == expected


def test_accounts_are_named_as_in_the_specification() -> None:
    assert set(told(CAPTURED)) == {
        "holds:mer_1", "holds_contra:stripe:mer_1", "receivable:stripe:mer_1", "payable:mer_1",
    }  # fmt: skip


def test_every_event_of_the_catalogue_is_posted_or_not_without_an_error() -> None:
    moved = Counter(postings(example, metadata()) is not None for example in EXAMPLES)
    assert moved[True] >= 10


def test_a_transfer_that_does_not_balance_cannot_be_made() -> None:
    one = Entry(account="payable:mer_1", direction="credit", amount=TEN)
    other = Entry(account="holds:mer_1", direction="debit", amount=Money(1000, "EUR"))
    for entries in ((one,), (one, one), (one, other)):
        with pytest.raises(AssertionError, match="equal"):
            Transfer(id="evt", merchant_id="mer_1", mode="test", entries=entries)


def test_sides_are_those_of_assets_and_liabilities() -> None:
    debit = ("holds:m", "receivable:stripe:m", "fees:stripe", "disputed:m", "fx:stripe:m", "bank:x")
    credit = ("holds_contra:stripe:m", "payable:m", "fees:platform", "suspense:stripe:m")
    assert {normal_side(account) for account in debit} == {"debit"}
    assert {normal_side(account) for account in credit} == {"credit"}
