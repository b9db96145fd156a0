"""Who asks, under which idempotency key, and what they get back."""

from datetime import datetime

import msgspec

from domain.ids import new_id
from domain.metadata import Actor, Metadata, Mode
from domain.order.state import Order


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf a command runs.

    Attributes:
        key_id: the API key of the request; an append under it fails once it is revoked.
        causation_id: the event that the command answers, where a saga asks.
    """

    actor: Actor
    merchant_id: str
    mode: Mode
    correlation_id: str
    key_id: str | None = None
    scopes: tuple[str, ...] = ()
    trace: str | None = None
    idempotency_key: str | None = None
    causation_id: str | None = None

    def metadata(self, occurred_at: datetime, *, mode: Mode | None) -> Metadata:
        """Return the metadata of a new event."""
        return Metadata(
            event_id=new_id("evt"),
            merchant_id=self.merchant_id,
            mode=mode,
            occurred_at=occurred_at,
            actor=self.actor,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            idempotency_key=self.idempotency_key,
            trace=self.trace,
        )


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's idempotency key.

    Attributes:
        scope: merchant, mode, method and path.
        fingerprint: SHA-256 of the canonical body.
    """

    key: str
    scope: str
    fingerprint: bytes


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a command came to.

    Attributes:
        order: the order as it is to be answered.
        status: HTTP status of the answer.
        subject: the capture or refund that was made.
        replayed: whether the answer is that of an earlier, equal request.
    """

    order: Order
    status: int = 200
    subject: str | None = None
    replayed: bool = False
