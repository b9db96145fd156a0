"""The examples of checkout sessions and of payments in one call, in the documentation."""

from typing import Any, Final

from gateway.examples import NEW_ORDER, ORDER_ID, PAID_ORDER, PAY

SESSION_ID: Final = "cs_01jd3v8x2sfy3t6q9m4n7p0r5w"

NEW_SESSION: Final[dict[str, Any]] = {
    "id": SESSION_ID,
    "url": f"https://pay.example/checkout/{SESSION_ID}",
    "expiresAt": "2026-11-21T10:00:00.000Z",
}
SESSION_REQUEST: Final[dict[str, Any]] = {
    "amount": 4999,
    "currency": "USD",
    "successUrl": "https://shop.example/thanks",
    "cancelUrl": "https://shop.example/cart",
    "customerEmail": "ada@example.com",
    "lineItems": [
        {"name": "Tea pot", "amount": 2999, "quantity": 1},
        {"name": "Tea cup", "amount": 1000, "quantity": 2},
    ],
}
SESSION: Final[dict[str, Any]] = {
    **NEW_SESSION,
    "status": "complete",
    "amount": 4999,
    "currency": "USD",
    "orderId": ORDER_ID,
    "orderStatus": "captured",
    "externalId": None,
    "customerId": None,
    "customerEmail": "ada@example.com",
    "description": None,
    "metadata": None,
    "lineItems": SESSION_REQUEST["lineItems"],
    "successUrl": "https://shop.example/thanks",
    "cancelUrl": "https://shop.example/cart",
    "livemode": False,
    "completedAt": "2026-11-20T10:04:05.678Z",
    "createdAt": "2026-11-20T10:00:00.000Z",
}
SESSIONS: Final[dict[str, Any]] = {"data": [SESSION], "hasMore": False, "nextCursor": None}
PAYMENT_REQUEST: Final[dict[str, Any]] = {**NEW_ORDER, **PAY}
PAYMENT_ORDER: Final[dict[str, Any]] = {**PAID_ORDER, "orderId": ORDER_ID}
PAYMENTS: Final[dict[str, Any]] = {
    "data": [PAYMENT_ORDER],
    "hasMore": False,
    "nextCursor": None,
    "asOfPosition": 1042,
}
