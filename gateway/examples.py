"""The examples in the documentation: one order's way, told consistently."""

from typing import Any, Final

ORDER_ID: Final = "ord_01jd3v8x2sfy3t6q9m4n7p0r5w"
REFUND_ID: Final = "ref_01jd3vdk8hf0w9s2c5x7z1b4ny"
_CREATED: Final = "2026-11-20T10:00:00.000Z"
_UPDATED: Final = "2026-11-20T10:00:02.345Z"

NEW_ORDER: Final[dict[str, Any]] = {
    "amount": 4999,
    "currency": "USD",
    "externalId": "cart-1042",
    "customerEmail": "ada@example.com",
    "metadata": {"basket": "spring", "items": 3},
    "returnUrl": "https://shop.example/thanks",
}
PAY: Final[dict[str, Any]] = {"paymentMethod": {"type": "card", "token": "pm_card_visa"}}

ORDER: Final[dict[str, Any]] = {
    "id": ORDER_ID,
    "externalId": "cart-1042",
    "amount": 4999,
    "currency": "USD",
    "status": "pending",
    "processor": None,
    "processorOrderId": None,
    "metadata": {"basket": "spring", "items": 3},
    "createdAt": _CREATED,
    "updatedAt": _CREATED,
    "customerId": None,
    "customerEmail": "ada@example.com",
    "description": None,
    "returnUrl": "https://shop.example/thanks",
    "cancelUrl": None,
    "captureMethod": "automatic",
    "amountAuthorized": 0,
    "amountCaptured": 0,
    "amountRefunded": 0,
    "captureBefore": None,
    "nextAction": None,
    "attempts": [],
    "failure": None,
    "livemode": False,
    "version": 1,
}
PAID_ORDER: Final[dict[str, Any]] = {
    **ORDER,
    "status": "captured",
    "processor": "stripe",
    "processorOrderId": "pi_3QNaBcD1eFgHiJkL0mNoPqRs",
    "updatedAt": _UPDATED,
    "amountAuthorized": 4999,
    "amountCaptured": 4999,
    "attempts": [
        {
            "id": "att_01jd3v9a4ce5r8t1y2w3q6m0np",
            "number": 1,
            "processor": "stripe",
            "status": "captured",
            "processorOrderId": "pi_3QNaBcD1eFgHiJkL0mNoPqRs",
            "processorTransactionId": "ch_3QNaBcD1eFgHiJkL0aBcDeFg",
            "failure": None,
            "livemode": False,
            "createdAt": _CREATED,
            "updatedAt": _UPDATED,
        }
    ],
    "version": 6,
}
CANCELLED_ORDER: Final[dict[str, Any]] = {
    **ORDER,
    "status": "cancelled",
    "updatedAt": _UPDATED,
    "version": 2,
}
ORDERS: Final[dict[str, Any]] = {
    "data": [PAID_ORDER],
    "hasMore": False,
    "nextCursor": None,
    "asOfPosition": 1042,
}
ORDERS_PAGE: Final[dict[str, Any]] = {
    "data": [PAID_ORDER],
    "pagination": {"page": 1, "limit": 25, "total": 1, "totalPages": 1},
    "asOfPosition": 1042,
}
STATS: Final[dict[str, Any]] = {
    "totalVolume": 14997,
    "totalTransactions": 4,
    "successRate": 75.0,
    "averageTicket": 4999.0,
    "volumeByDay": [{"date": "2026-11-20", "amount": 14997, "count": 3}],
    "transactionsByStatus": [
        {"status": "captured", "count": 3},
        {"status": "failed", "count": 1},
    ],
    "transactionsByProcessor": [{"processor": "stripe", "count": 4}],
    "currency": "USD",
    "byCurrency": [
        {
            "currency": "USD",
            "totalVolume": 14997,
            "totalTransactions": 4,
            "successRate": 75.0,
            "averageTicket": 4999.0,
        }
    ],
    "livemode": False,
    "asOfPosition": 1042,
}
PAYMENT: Final[dict[str, Any]] = {"orderId": ORDER_ID, "status": "captured", "processor": "stripe"}
NEW_REFUND: Final[dict[str, Any]] = {
    "refundId": REFUND_ID,
    "orderId": ORDER_ID,
    "amount": 1500,
    "status": "pending",
    "reason": "one item returned",
}
REFUNDS: Final[list[dict[str, Any]]] = [
    {**NEW_REFUND, "status": "succeeded", "createdAt": _UPDATED}
]
TRANSACTIONS: Final[list[dict[str, Any]]] = [
    {
        "id": "cap_01jd3v9c7xk2m5n8p1q4r7s0tz",
        "orderId": ORDER_ID,
        "type": "capture",
        "amount": 4999,
        "status": "success",
        "processor": "stripe",
        "processorTransactionId": "ch_3QNaBcD1eFgHiJkL0aBcDeFg",
        "errorCode": None,
        "errorMessage": None,
        "createdAt": _UPDATED,
    }
]
BALANCES: Final[dict[str, Any]] = {
    "asOfPosition": 1042,
    "asOf": _UPDATED,
    "livemode": False,
    "balances": [
        {
            "currency": "USD",
            "available": 3324,
            "pending": 0,
            "held": 0,
            "disputed": 0,
            "paidOut": 0,
        }
    ],
}
LEDGER_ACCOUNTS: Final[dict[str, Any]] = {
    "data": [
        {
            "id": "acc_16643",
            "account": "payable:mer_01jd3v7m1s4b6d8f0h2k5n7qrt",
            "currency": "USD",
            "balance": 3324,
            "livemode": False,
            "createdAt": _UPDATED,
        }
    ],
    "hasMore": False,
    "nextCursor": None,
    "asOfPosition": 1042,
}
LEDGER_ENTRIES: Final[dict[str, Any]] = {
    "data": [
        {
            "id": "ent_1040_3",
            "transferId": "evt_01jd3v9c7xk2m5n8p1q4r7s0tz",
            "position": 1040,
            "orderId": ORDER_ID,
            "account": "payable:mer_01jd3v7m1s4b6d8f0h2k5n7qrt",
            "direction": "credit",
            "amount": 4999,
            "currency": "USD",
            "balanceAfter": 4999,
            "occurredAt": _UPDATED,
            "livemode": False,
            "createdAt": _UPDATED,
        }
    ],
    "hasMore": False,
    "nextCursor": None,
    "asOfPosition": 1042,
}
