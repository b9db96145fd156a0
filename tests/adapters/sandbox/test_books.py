"""Every violation is made by hand: the bank's own rules let none of them happen."""

import sqlite3
from contextlib import closing
from pathlib import Path

from adapters.sandbox.bank import Bank
from tests.adapters.sandbox.customer import created, held, taken


def tamper(path: Path, statement: str, *values: object) -> None:
    """Write into the bank's file behind its back."""
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement, values).rowcount == 1


def wrongs(bank: Bank) -> list[tuple[str, tuple[str, ...]]]:
    return [(wrong.kind, wrong.references) for wrong in bank.books().violations]


def test_the_books_add_up_an_order_over_its_payments(bank: Bank) -> None:
    first, second = held(bank, n=1), taken(bank, n=2)
    bank.cancel(first, key="cancel")
    bank.refund(second, key="refund", amount=1_000, currency="EUR")
    held(bank, order="ord_2")
    books = bank.books()
    order = books.orders["ord_1"]
    assert (order.authorized, order.held, order.captured, order.refunded) == (
        20_000,
        0,
        10_000,
        1_000,
    )
    assert [payment.reference for payment in order.payments] == [first, second]
    assert [payment.captured for payment in order.payments] == [0, 10_000]
    assert books.orders["ord_2"].held == 10_000
    assert books.violations == ()


def test_an_order_captured_from_two_payments_is_a_violation(bank: Bank) -> None:
    references = (taken(bank, n=1), taken(bank, n=2))
    taken(bank, order="ord_2")
    assert wrongs(bank) == [("captured_twice", references)]


def test_a_second_capture_that_was_refunded_is_a_violation_all_the_same(bank: Bank) -> None:
    references = (taken(bank, n=1), taken(bank, n=2))
    bank.dashboard_refund(references[1], amount=10_000)
    assert wrongs(bank) == [("captured_twice", references)]


def test_more_captured_than_asked_is_a_violation(bank: Bank, path: Path) -> None:
    reference = taken(bank)
    tamper(path, "INSERT INTO captures VALUES ('c', ?, NULL, 1, 0)", reference)
    assert wrongs(bank) == [("captured_above_amount", (reference,))]


def test_more_refunded_than_captured_is_a_violation(bank: Bank, path: Path) -> None:
    reference = taken(bank)
    bank.dashboard_refund(reference, amount=10_000)
    assert wrongs(bank) == []
    tamper(path, "INSERT INTO refunds VALUES ('r', ?, NULL, 1, 'succeeded', NULL, 0, 0)", reference)
    assert wrongs(bank) == [("refunded_above_captured", (reference,))]


def test_a_capture_after_the_void_is_a_violation(bank: Bank, path: Path) -> None:
    reference = held(bank)
    bank.cancel(reference, key="cancel")
    assert wrongs(bank) == []
    tamper(
        path,
        "INSERT INTO captures SELECT 'c', reference, NULL, 1, cancelled_us + 1 FROM payments "
        "WHERE reference = ?",
        reference,
    )
    assert wrongs(bank) == [("captured_after_void", (reference,))]


def test_releasing_a_kept_rest_is_no_violation(bank: Bank) -> None:
    reference = held(bank)
    bank.capture(reference, key="c", amount=4_000, currency="EUR", final=False)
    assert bank.cancel(reference, key="v").amount == 6_000
    assert wrongs(bank) == []


def test_a_payment_that_names_no_order_is_a_violation(bank: Bank) -> None:
    nobodys, empty = created(bank, order=None), created(bank, order="")
    assert wrongs(bank) == [
        ("no_order_reference", (nobodys,)),
        ("no_order_reference", (empty,)),
    ]


def test_a_refund_that_failed_later_does_not_count(bank: Bank) -> None:
    reference = taken(bank)
    refund = bank.refund(reference, key="r", amount=10_000, currency="EUR")
    assert bank.books().orders["ord_1"].refunded == 10_000
    assert refund.object_id is not None
    assert bank.refund_fail(reference, refund.object_id).result == "ok"
    assert bank.refund_fail(reference, refund.object_id).code == "refund_not_succeeded"
    assert bank.books().orders["ord_1"].refunded == 0
    view = bank.lookup(reference)
    assert view is not None
    assert [(r.status, r.code) for r in view.refunds] == [("failed", "card_closed")]
    again = bank.refund(reference, key="r2", amount=10_000, currency="EUR")
    assert again.result == "ok"


def test_requests_are_counted_and_replays_told_apart(bank: Bank) -> None:
    reference = held(bank)
    held(bank)
    bank.capture(reference, key="c", amount=10_001, currency="EUR")
    bank.confirm(reference, key="ord_1:1:confirm", return_url="changed")
    bank.confirm("nobody", key="x")
    counted = {
        (count.operation, count.result, count.code, count.replayed): count.count
        for count in bank.requests()
    }
    assert counted == {
        ("create", "ok", None, False): 1,
        ("create", "ok", None, True): 1,
        ("confirm", "ok", None, False): 1,
        ("confirm", "ok", None, True): 1,
        ("confirm", "key_reused", None, True): 1,
        ("confirm", "no_such_payment", None, False): 1,
        ("capture", "refused", "amount_too_large", False): 1,
    }
