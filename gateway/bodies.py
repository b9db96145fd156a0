"""What requests may say: closed structs whose constraints are also the OpenAPI schemas."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from domain.events import CaptureMethod
from domain.money import AMOUNT_MAX, EXPONENTS
from domain.order.state import OrderStatus
from gateway.checkout.page_token import PATTERN as PAGE_TOKEN
from gateway.cursor import ACCOUNT_PATTERN, ENTRY_PATTERN
from gateway.cursor import PATTERN as CURSOR_PATTERN

NUMBER_MAX: Final = 9_007_199_254_740_991
"""Metadata numbers stay within what JSON readers of all languages keep exact."""

METADATA_KEYS_MAX: Final = 50

SESSION_PATTERN: Final = "^cs_[0-7][0-9a-hjkmnp-tv-z]{25}$"

_SEEN: Final = (
    r"!-?A-~\u00a1-\u00ac\u00ae-\u167f\u1681-\u180d\u180f-\u1fff"
    r"\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff"
)
"""What an address may consist of: no spaces, and nothing that nobody sees."""

_H: Final = "[0-9A-Fa-f]{1,4}"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LAST: Final = rf"({_H}:{_H}|{_OCTET}(\.{_OCTET}){{3}})"
_IPV6: Final = (
    f"({_H}:){{6}}{_LAST}|::({_H}:){{5}}{_LAST}|({_H})?::({_H}:){{4}}{_LAST}"
    f"|(({_H}:)?{_H})?::({_H}:){{3}}{_LAST}|(({_H}:){{0,2}}{_H})?::({_H}:){{2}}{_LAST}"
    f"|(({_H}:){{0,3}}{_H})?::{_H}:{_LAST}|(({_H}:){{0,4}}{_H})?::{_LAST}"
    f"|(({_H}:){{0,5}}{_H})?::{_H}|(({_H}:){{0,6}}{_H})?::"
)
"""RFC 3986, 3.2.2: a reader of URLs stumbles over anything else in brackets."""
_PORT: Final = (
    "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
)

_NO_NUL: Final = {"pattern": "^[^\\u0000]*$"}


def form(pattern: str, **rest: Any) -> Meta:
    r"""Return the check of a `^…$` pattern; Python's `$` alone would allow a line break behind.

    `gateway/openapi.py` turns the `\Z` back.
    """
    assert pattern.startswith("^"), pattern
    assert pattern.endswith("$"), pattern
    return Meta(pattern=rf"{pattern[:-1]}\Z", **rest)


Amount: TypeAlias = Annotated[
    int, Meta(ge=1, le=AMOUNT_MAX, description="Minor units of the currency.")
]
Currency: TypeAlias = Annotated[
    str,
    form(
        "^[A-Za-z]{3}$",
        description="ISO 4217 code of a currency that money comes in; lower case works too.",
    ),
    Meta(extra_json_schema={"enum": sorted(EXPONENTS)}),
]
Text255: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, extra_json_schema=_NO_NUL)]
Text500: TypeAlias = Annotated[str, Meta(max_length=500, extra_json_schema=_NO_NUL)]
Text1000: TypeAlias = Annotated[str, Meta(max_length=1000, extra_json_schema=_NO_NUL)]
Email: TypeAlias = Annotated[str, form(f"^[{_SEEN}]{{1,64}}@[{_SEEN}]{{1,252}}$", max_length=254)]
Url: TypeAlias = Annotated[
    str,
    form(
        rf"^https?://(\[({_IPV6})\]|[A-Za-z0-9][A-Za-z0-9.-]{{0,253}})(:({_PORT}))?"
        r"([/?#][!-\[\]-~]{0,1500})?$",
        max_length=2048,
        description="Absolute, http or https, without credentials.",
    ),
]
Token: TypeAlias = Annotated[
    str, form("^[!-~]{1,255}$", description="A processor's token, never a card number.")
]
ProcessorName: TypeAlias = Annotated[str, form("^[a-z][a-z0-9_]{0,31}$")]
MetadataNumber: TypeAlias = Annotated[float, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
MetadataInteger: TypeAlias = Annotated[int, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
MetadataKey: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=40, extra_json_schema=_NO_NUL)
]
MetadataMap: TypeAlias = Annotated[
    dict[MetadataKey, Text500 | MetadataInteger | MetadataNumber | bool],
    Meta(max_length=METADATA_KEYS_MAX, description="Yours; no nesting."),
]


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of request bodies: camelCase, and nothing that we do not know."""


class OrderRequest(Body, frozen=True, kw_only=True):
    """A new order."""

    amount: Amount
    currency: Currency = "USD"
    external_id: Text255 | None = None
    customer_id: Text255 | None = None
    customer_email: Email | None = None
    description: Text1000 | None = None
    metadata: MetadataMap | None = None
    return_url: Url | None = None
    cancel_url: Url | None = None
    capture_method: CaptureMethod = "automatic"


class LineItemRequest(Body, frozen=True, kw_only=True):
    """One line of a checkout."""

    name: Text255
    amount: Annotated[int, Meta(ge=0, le=AMOUNT_MAX, description="Minor units for one.")]
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class CheckoutSessionRequest(Body, frozen=True, kw_only=True):
    """A new checkout session; line items add up to the amount."""

    amount: Amount
    currency: Currency = "USD"
    success_url: Url
    cancel_url: Url
    customer_id: Text255 | None = None
    customer_email: Email | None = None
    description: Text1000 | None = None
    external_id: Text255 | None = None
    metadata: MetadataMap | None = None
    line_items: Annotated[list[LineItemRequest], Meta(min_length=1, max_length=100)] | None = None
    capture_method: CaptureMethod = "automatic"
    expires_at: (
        Annotated[
            datetime,
            Meta(
                tz=True,
                description="From 5 minutes to 30 days ahead; a day ahead without it.",
            ),
        ]
        | None
    ) = None


class CheckoutPayForm(Body, frozen=True, kw_only=True):
    """What the hosted page's form sends."""

    page: Annotated[str, form(PAGE_TOKEN)]
    card: Token | None = None


class TokensRequest(Body, frozen=True, kw_only=True):
    """A token per processor, so that a failover needs no customer."""

    stripe: Token | None = None
    razorpay: Token | None = None


class PaymentMethodRequest(Body, frozen=True, kw_only=True):
    """What the customer pays with: tokens only."""

    type: Literal["card", "upi", "netbanking", "wallet"]
    token: Token | None = None
    tokens: TokensRequest | None = None
    brand: Annotated[str, form("^[A-Za-z][A-Za-z0-9_ -]{0,31}$")] | None = None
    country: Annotated[str, form("^[A-Za-z]{2}$", description="ISO 3166-1 alpha-2.")] | None = None


class PayRequest(Body, frozen=True, kw_only=True):
    """How to pay; `{}` leaves the choice to the routing rules and the method to the customer."""

    processor: ProcessorName | None = None
    payment_method: PaymentMethodRequest | None = None
    return_url: Url | None = None


class PaymentRequest(OrderRequest, frozen=True, kw_only=True):
    """A new order and how it is paid."""

    processor: ProcessorName | None = None
    payment_method: PaymentMethodRequest | None = None


class ConfirmRequest(Body, frozen=True, kw_only=True):
    """What Razorpay's checkout gave the merchant's page, all or none: verified, then looked up."""

    razorpay_payment_id: Token | None = None
    razorpay_order_id: Token | None = None
    razorpay_signature: Token | None = None


class CaptureRequest(Body, frozen=True, kw_only=True):
    """How much of the hold to take; without an amount all of it."""

    amount: Amount | None = None
    final: bool = True


class CancelRequest(Body, frozen=True, kw_only=True):
    """Why."""

    reason: Text500 | None = None


class RefundRequest(Body, frozen=True, kw_only=True):
    """How much to send back; without an amount all that is left."""

    amount: Amount | None = None
    reason: Text500 | None = None


CursorText: TypeAlias = Annotated[str, form(CURSOR_PATTERN)]
Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
Position: TypeAlias = Annotated[int, Meta(ge=1, le=10**15)]


class Query(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of query parameters: all optional, unknown ones are refused.

    `NUMBERS` names those that may be whole numbers.
    """

    NUMBERS: ClassVar[frozenset[str]] = frozenset()


class OrdersQueryString(Query, frozen=True, kw_only=True):
    """A page of orders, newest first."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"limit"})

    limit: Annotated[int, Meta(ge=1, le=100)] = 25
    after: (
        Annotated[CursorText, Meta(description="`nextCursor`: the page of older ones.")] | None
    ) = None
    before: Annotated[CursorText, Meta(description="A cursor: the page of newer ones.")] | None = (
        None
    )
    status: OrderStatus | None = None
    processor: ProcessorName | None = None
    currency: Currency | None = None
    external_id: Text255 | None = None
    created_from: Annotated[Time, Meta(description="Inclusive.")] | None = msgspec.field(
        name="from", default=None
    )
    created_to: Annotated[Time, Meta(description="Exclusive.")] | None = msgspec.field(
        name="to", default=None
    )


class SessionsQueryString(Query, frozen=True, kw_only=True):
    """A page of checkout sessions, newest first."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"limit"})

    limit: Annotated[int, Meta(ge=1, le=100)] = 25
    after: Annotated[str, form(SESSION_PATTERN, description="Older ones: `nextCursor`.")] | None = (
        None
    )
    before: Annotated[str, form(SESSION_PATTERN, description="The next newer ones.")] | None = None


class OrderQueryString(Query, frozen=True, kw_only=True):
    """Which version of an order: a position of the log, or a time with its zone."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"asOf"})

    as_of: Time | Position | None = None


class BalancesQueryString(Query, frozen=True, kw_only=True):
    """Which part of the books, and when."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"asOf"})

    as_of: Annotated[Time | Position | None, Meta(description="A position, or a time.")] = None
    currency: Currency | None = None
    order_id: (
        Annotated[
            str,
            form("^ord_[0-7][0-9a-hjkmnp-tv-z]{25}$", description="Only what this order moved."),
        ]
        | None
    ) = None


class AccountsQueryString(BalancesQueryString, frozen=True, kw_only=True):
    """A page of accounts, the newest first."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"asOf", "limit"})

    limit: Annotated[int, Meta(ge=1, le=100)] = 25
    after: Annotated[str, form(ACCOUNT_PATTERN, description="Older ones.")] | None = None
    before: Annotated[str, form(ACCOUNT_PATTERN, description="Newer ones.")] | None = None


class EntriesQueryString(BalancesQueryString, frozen=True, kw_only=True):
    """A page of entries, newest first."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"asOf", "limit"})

    limit: Annotated[int, Meta(ge=1, le=100)] = 25
    after: Annotated[str, form(ENTRY_PATTERN, description="Older ones.")] | None = None
    before: Annotated[str, form(ENTRY_PATTERN, description="Newer ones.")] | None = None
