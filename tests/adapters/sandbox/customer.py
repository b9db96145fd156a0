"""Short words for what a merchant asks of the bank."""

from multiprocessing.synchronize import Barrier
from pathlib import Path

from adapters.sandbox.bank import Bank


def created(bank: Bank, *, order: str | None = "ord_1", n: int = 1, token: str = "") -> str:
    """Make a payment of 100 EUR; `n` numbers the attempt and its keys."""
    answer = bank.create(
        key=f"{order}:{n}:create",
        order_id=order,
        attempt_id=f"att_{n}",
        merchant="mer_1",
        mode="test",
        amount=10_000,
        currency="EUR",
        token=token or None,
    )
    assert answer.result == "ok"
    assert answer.reference is not None
    return answer.reference


def held(bank: Bank, *, order: str | None = "ord_1", n: int = 1, token: str = "") -> str:
    reference = created(bank, order=order, n=n, token=token)
    assert bank.confirm(reference, key=f"{order}:{n}:confirm").result == "ok"
    return reference


def taken(bank: Bank, *, order: str | None = "ord_1", n: int = 1, token: str = "") -> str:
    reference = held(bank, order=order, n=n, token=token)
    key = f"{order}:{n}:capture"
    answer = bank.capture(reference, key=key, amount=10_000, currency="EUR", subject=f"cap_{n}")
    assert answer.result == "ok"
    return reference


def open_new_files(together: Barrier, folder: Path) -> None:
    """Open one new file after the other, each at the same moment as the other processes."""
    for n in range(50):
        together.wait(timeout=60)
        Bank(folder / f"{n}.sqlite3").close()
