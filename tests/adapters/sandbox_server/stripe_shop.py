"""What a shop asks of Stripe, in the fewest words."""

from typing import Any

import pytest
import stripe

URL = "http://127.0.0.1/back"


def create(shop: Any, amount: int = 1000, *, order: str | None = "ord_1", **more: Any) -> Any:
    metadata = {"order_id": order} if order else {}
    given = {"amount": amount, "currency": "usd", "capture_method": "manual"}
    return shop.payment_intents.create({**given, "metadata": metadata, **more})


def confirm(shop: Any, pi: Any, method: str = "pm_card_visa", **more: Any) -> Any:
    params = {"payment_method": method, "return_url": URL, **more}
    return shop.payment_intents.confirm(pi.id, params)


def held(shop: Any, amount: int = 1000, method: str = "pm_card_visa", **more: Any) -> Any:
    return confirm(shop, create(shop, amount, **more), method)


def captured(shop: Any, amount: int = 1000, method: str = "pm_card_visa", **more: Any) -> Any:
    return shop.payment_intents.capture(held(shop, amount, method, **more).id)


def kinds(shop: Any) -> list[str]:
    """The types of all events, oldest first."""
    return [event.type for event in shop.events.list({"limit": 100}).data][::-1]


def said(caught: pytest.ExceptionInfo[stripe.StripeError]) -> Any:
    """The error as the answer's body said it."""
    return caught.value.error
