"""What every row of the log says besides its facts, and how personal data stands in it."""

from datetime import datetime
from typing import Literal

import msgspec

Mode = Literal["test", "live"]
ActorKind = Literal["api_key", "user", "processor", "saga", "operator"]


class Actor(msgspec.Struct, frozen=True):
    """Who made an event happen.

    Attributes:
        kind: which sort of caller.
        id: the key's, user's or processor's id, or the name of a saga or operator; never a secret.
    """

    kind: ActorKind
    id: str


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in every event.

    Attributes:
        event_id: `evt_…`, unique in the log.
        merchant_id: `mer_…`, whose event it is.
        mode: test or live money; None on a merchant's own stream.
        occurred_at: UTC; for a processor's fact the processor's time, never above the row's
            `recorded_at` by more than clocks differ.
        actor: who.
        correlation_id: ties everything together that one request caused.
        causation_id: the event that this one answers, if any.
        idempotency_key: the caller's `Idempotency-Key`, if any.
        trace: W3C `traceparent`, if traced.
    """

    event_id: str
    merchant_id: str
    mode: Mode | None
    occurred_at: datetime
    actor: Actor
    correlation_id: str
    causation_id: str | None = None
    idempotency_key: str | None = None
    trace: str | None = None


class Sealed(msgspec.Struct, frozen=True):
    """Personal data under a key that can be destroyed; the domain carries it unopened.

    Attributes:
        key: id of the data key, per customer or, without a customer, per order.
        box: 12-byte nonce, AES-256-GCM ciphertext of JSON, 16-byte tag.
    """

    key: str
    box: bytes
