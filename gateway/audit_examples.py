"""The examples of the audit's routes in the documentation."""

from typing import Any, Final

from gateway.examples import ORDER_ID

_HASH: Final = "f8a2ce68cb26b1853c34909cc2ee55309ffece79469f823a27e74e59c5492e58"
_ROOT: Final = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
_ORIGIN: Final = "loop/0b0c5a5e-6f0b-4c2e-9c63-2f0f6f1f7a11"
_CREATED: Final = "2026-11-20T10:00:00.000Z"

_SIGNED: Final[dict[str, Any]] = {
    "origin": _ORIGIN,
    "size": 1042,
    "rootHash": _ROOT,
    "note": f"{_ORIGIN}\n1042\nXcnaeacGWamtVZy3Ad7Zoqudgjqtv0lgz+Nw7/RgQyg=\n\n— {_ORIGIN} …\n",
    "signedAt": "2026-11-20T10:00:03.000Z",
}
_KEYS: Final = [f"{_ORIGIN}+5c0b7a3d+AQ…"]
CHECKPOINT: Final[dict[str, Any]] = {**_SIGNED, "keys": _KEYS}
EVENTS: Final[list[dict[str, Any]]] = [
    {
        "id": "evt_01jd3v8x2sfy3t6q9m4n7p0r5w",
        "type": "order.created.v1",
        "position": 1036,
        "version": 1,
        "hash": _HASH,
        "actor": {"kind": "api_key", "id": "key_01jd3v8x2sfy3t6q9m4n7p0r5w"},
        "data": {
            "amount": {"minor": 4999, "currency": "USD"},
            "externalId": "cart-1042",
            "personal": {"customerEmail": "ada@example.com"},
        },
        "correlationId": "checkout-7f3a",
        "causationId": None,
        "occurredAt": _CREATED,
        "recordedAt": _CREATED,
        "livemode": False,
    }
]
PROOF: Final[dict[str, Any]] = {
    "format": "loop-order-proof/1",
    "orderId": ORDER_ID,
    "checkpoint": _SIGNED,
    "keys": _KEYS,
    "events": [
        {
            "position": 1036,
            "version": 1,
            "streamId": ORDER_ID,
            "type": "order.created.v1",
            "recordedAtMicros": 1795168800000000,
            "state": "eyJtZXRhZGF0YSI6e30sImRhdGEiOnt9fQ==",
            "hash": _HASH,
            "proof": [_ROOT],
        }
    ],
    "consistency": [],
}
