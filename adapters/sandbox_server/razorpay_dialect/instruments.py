"""Razorpay's test cards, tokens and addresses, and how payments with them end.

Source: razorpay.com/docs/payments/payments/test-card-details.
"""

from typing import Any, Final

import msgspec

from adapters.sandbox_server.razorpay_dialect.errors import REASONS, invalid
from adapters.sandbox_server.wire import Json

SUCCESS: Final = "success"
PENDING: Final = "pending"
"""The customer never ends it: it times out."""

CARDS: Final = {
    "4100280000001007": SUCCESS,
    "5500670000001002": SUCCESS,
    "6527658900001005": SUCCESS,
    "4111111111111111": SUCCESS,
    "4100280000090000": "payment_timed_out",
    "4100280000080001": "insufficient_funds",
    "4100280000070002": "payment_cancelled",
    "4100280000060003": "card_declined",
    "4100280000050004": "card_declined",
    "4100280000040005": "card_declined",
    "4100280000030006": "card_disabled_for_online_payments",
    "4100280000020007": "gateway_technical_error",
    "4100280000010008": "card_number_invalid",
    "4100280000000009": "authentication_failed",
}
ADDRESSES: Final = {"success@razorpay": SUCCESS, "failure@razorpay": "payment_failed"}
_NETWORKS: Final = {"4": "Visa", "5": "MasterCard", "6": "RuPay"}


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer pays with.

    Attributes:
        outcome: `success`, `pending` or the reason of a failure.
        silent: a saved token needs no authentication.
    """

    method: str
    outcome: str
    last4: str = "1007"
    network: str = "Visa"
    vpa: str | None = None
    silent: bool = False


def of_fields(fields: Json) -> Instrument:
    """Give what a customer pays with: `outcome`, `token`, `card[number]` or `vpa`.

    A token is `token_` and an outcome.

    Raises:
        RazorpayError: there is no such test instrument.
    """
    number = _number(fields)
    vpa = fields.get("vpa") or _inner(fields.get("upi"), "vpa")
    if number:
        if number not in CARDS:
            raise invalid("The card is no test card of Razorpay's.", field="card")
        network = _NETWORKS[number[0]]
        return Instrument(method="card", outcome=CARDS[number], last4=number[-4:], network=network)
    if vpa:
        outcome = ADDRESSES.get(str(vpa))
        if outcome is None:
            raise invalid("Invalid VPA. Please enter a valid Virtual Payment Address", field="vpa")
        return Instrument(method="upi", outcome=outcome, vpa=str(vpa))
    token = fields.get("token")
    named = str(fields.get("outcome") or str(token or SUCCESS).removeprefix("token_"))
    if named not in REASONS and named not in (SUCCESS, PENDING):
        raise invalid(f"There is no such token or outcome: {named}.", field="token")
    return Instrument(method="card", outcome=named, silent=bool(token))


def _number(fields: Json) -> str:
    number = _inner(fields.get("card"), "number") or fields.get("card[number]") or ""
    return str(number).replace(" ", "")


def _inner(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
