"""What an order of `loop demo` is made of: steps over HTTP, and how it must end."""

from typing import Any, Final, Literal, TypeAlias

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the steps."""


class Ask(Step, frozen=True, kw_only=True):
    """`POST /v1/orders/{id}/{verb}`.

    Attributes:
        answers: the HTTP status that must come.
        code: the error's code that must come with a refusal.
        becomes: the order's status to wait for afterwards, None goes on at once.
    """

    verb: Literal["pay", "confirm", "capture", "cancel", "refund"]
    body: dict[str, Any] = {}
    answers: int = 200
    code: str | None = None
    becomes: str | None = None


class Customer(Step, frozen=True, kw_only=True):
    """The customer presses a button on the bank's page; `becomes` as in `Ask`."""

    presses: Literal["approve", "fail"]
    becomes: str | None = None


class Captured(Step, frozen=True, kw_only=True):
    """Wait until so many minor units are captured."""

    minor: int


class SameOrderAgain(Step, frozen=True, kw_only=True):
    """The creation again under the same `Idempotency-Key`: the same order answers."""


class SameExternalIdAgain(Step, frozen=True, kw_only=True):
    """A second order with the same `externalId` is refused and names the first."""


class PayTwiceAtOnce(Step, frozen=True, kw_only=True):
    """Two pays at the same moment: one is taken, the other is refused."""

    token: str


VISA: Final = "pm_card_visa"
"""Stripe's own test card that is always approved."""

AnyStep: TypeAlias = (
    Ask | Customer | Captured | SameOrderAgain | SameExternalIdAgain | PayTwiceAtOnce
)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One order from its creation to its end.

    Attributes:
        amount: minor units.
        ends: the status at the end.
        captured: minor units; None is all of a paid order and nothing of another.
        failure: the code that a failed order shows.
        crashes: kills the worker on its way, so it is played when the others have ended.
    """

    name: str
    steps: tuple[AnyStep, ...]
    ends: str
    amount: int = 4999
    currency: str = "USD"
    manual: bool = False
    captured: int | None = None
    refunded: int = 0
    failure: str | None = None
    crashes: bool = False

    @property
    def captured_minor(self) -> int:
        """Minor units that must be captured at the end."""
        if self.captured is not None:
            return self.captured
        paid = self.ends in {"captured", "partially_refunded", "refunded"}
        return self.amount if paid else 0
