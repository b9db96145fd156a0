"""What our hosted page has to know of a processor so that a customer can pay there."""

from typing import Protocol

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what goes to and comes from a processor's part of the page."""


class TestCard(Value, frozen=True, kw_only=True):
    """A card that a test customer may choose; `says` tells what comes of it."""

    __test__ = False  # else pytest takes the class for one of its own

    token: str
    says: str


class Choice(Value, frozen=True, kw_only=True):
    """Something to choose in a form: the field's name, its label, and its values with labels."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


class Collecting(Value, frozen=True, kw_only=True):
    """An open challenge in which the customer gives a payment method at the processor.

    Attributes:
        reference: the processor's object.
        back_url: ours, where the customer comes back to.
        cancel_url: where the customer goes who does not want to pay.
    """

    reference: str
    back_url: str
    cancel_url: str
    shop: str
    description: str | None = None
    client_secret: str | None = None
    publishable_key: str | None = None
    key_id: str | None = None

    def __repr__(self) -> str:
        return f"Collecting({self.reference}, ***)"


class VendorForm(Value, frozen=True, kw_only=True):
    """A plain form that the customer's browser posts to the processor; no script is needed."""

    action: str
    fields: tuple[tuple[str, str], ...]
    choice: Choice | None = None

    def __repr__(self) -> str:
        return f"VendorForm({self.action}, ***)"


class VendorScript(Value, frozen=True, kw_only=True):
    """The processor's own script draws the fields of the card into a frame of its own.

    Attributes:
        script: the vendor's, from the vendor's address.
        ours: file among our own scripts that starts it.
        data: what ours is given, as `data-…` attributes.
        frames, connects: addresses that the vendor's script opens and asks.
    """

    script: str
    ours: str
    data: tuple[tuple[str, str], ...]
    frames: tuple[str, ...]
    connects: tuple[str, ...]

    def __repr__(self) -> str:
        return f"VendorScript({self.script}, ***)"


class CustomerPage(Protocol):
    """One processor on our hosted page."""

    cards: tuple[TestCard, ...]
    """Test cards whose tokens pay at once; none where the processor collects them itself."""

    def collect(self, asked: Collecting) -> VendorForm | VendorScript | None:
        """Return how the customer pays an open challenge; None where this account cannot."""
        ...
