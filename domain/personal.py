"""What an order says about a person: it stands in events only as `Sealed`."""

import msgspec

MetadataValue = str | int | float | bool


class LineItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a checkout; `amount` in minor units per piece."""

    name: str
    amount: int
    quantity: int = 1


class Personal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The erasable part of an order."""

    customer_id: str | None = None
    customer_email: str | None = None
    description: str | None = None
    metadata: dict[str, MetadataValue] | None = None
    line_items: tuple[LineItem, ...] | None = None
    return_url: str | None = None
    cancel_url: str | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The erasable part of a merchant.

    Attributes:
        endpoints: the webhook endpoint that the profile's URL stands for, by mode.
    """

    name: str
    email: str | None = None
    endpoints: dict[str, str] = {}
