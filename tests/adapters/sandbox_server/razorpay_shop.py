"""What a shop asks of Razorpay, and what its customer does, in the fewest words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import razorpay.errors

from tests.sandbox_server import SandboxServer

Refused = razorpay.errors.BadRequestError


def order(dukan: Any, amount: int = 50_000, *, ref: str = "ord_1", **more: Any) -> Any:
    given = {"amount": amount, "currency": "INR", "receipt": f"att_{ref}"}
    return dukan.order.create(
        {**given, "notes": {"order_id": ref}, "payment": {"capture": "manual"}, **more}
    )


def automatic(minutes: int | None = None) -> Any:
    options = {"automatic_expiry_period": minutes} if minutes else {}
    return {"capture": "automatic", "capture_options": options}


def pay(sandbox: SandboxServer, made: Any, outcome: str = "success") -> Any:
    """The customer pays at the checkout; give what the page says."""
    return sandbox.page("POST", f"/checkout/{made['id']}/pay", outcome=outcome).json()


def paid(sandbox: SandboxServer, dukan: Any, amount: int = 50_000, **more: Any) -> Any:
    """An authorized payment."""
    said = pay(sandbox, order(dukan, amount, **more))
    return dukan.payment.fetch(said["razorpay_payment_id"])


def captured(sandbox: SandboxServer, dukan: Any, amount: int = 50_000, **more: Any) -> Any:
    payment = paid(sandbox, dukan, amount, **more)
    return dukan.payment.capture(payment["id"], amount, {"currency": "INR"})


def payment_of(dukan: Any, made: Any) -> Any:
    """An order's newest payment."""
    return dukan.order.payments(made["id"])["items"][0]


@contextmanager
def refused(text: str) -> Iterator[None]:
    with pytest.raises(Refused, match=text):
        yield
