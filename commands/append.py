"""One append to the log: all that it carries, or nothing of it, and what it is refused for."""

from datetime import datetime
from typing import Literal

import msgspec

from domain.events import AnyEvent
from domain.metadata import Metadata, Mode


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event before it is in the log."""

    metadata: Metadata
    data: AnyEvent


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Events for one stream, to follow directly on `expected_version`."""

    stream_id: str
    expected_version: int
    events: tuple[NewEvent, ...]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A value that may have one owner only, for example an external id per merchant and mode.

    `owner` None gives the value back.
    """

    kind: Literal["external_id", "email", "checkout_session", "payment", "settled"]
    scope: str
    value: str
    owner: str | None


class DueChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit makes of one due row; `operation` None deletes it.

    The row's tries start again when the operation changes. `at` None is at once.
    """

    order_id: str
    subject: str
    operation: str | None
    at: datetime | None = None


class IdempotencyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a repetition of a request is answered from.

    The answer itself is not stored: it is rendered again from the stream as it was at `version`
    (or, where the answer is waited for, as it is now), so no personal data is copied.

    Attributes:
        scope: merchant, mode, method and path.
        key: the caller's `Idempotency-Key`.
        fingerprint: SHA-256 of the canonical body.
        status: HTTP status of the answer.
        stream_id: the stream that the answer shows.
        version: its version right after this commit.
        subject: the capture, refund or key that the answer is about.
    """

    scope: str
    key: str
    fingerprint: bytes
    status: int
    stream_id: str
    version: int
    subject: str | None = None


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a request with an API key is checked against.

    Attributes:
        key_hash: keyed hash of the secret, 32 bytes.
    """

    key_hash: bytes
    key_id: str
    merchant_id: str
    mode: Mode
    scopes: tuple[str, ...]
    expires_at: datetime | None = None


class DataKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key that seals personal data, itself wrapped by the master key.

    Attributes:
        key_id: stands in `Sealed.key`.
        subject: keyed hash of the customer, or the order's id.
    """

    key_id: str
    subject: str
    merchant_id: str
    wrapped: bytes


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """All that one commit carries, or nothing of it.

    Attributes:
        caller_key: id of the API key that asks; the append fails when it is revoked or expired.
        worker: owner of the leases that this append ends, where a saga appends.
    """

    writes: tuple[Write, ...]
    idempotency: IdempotencyRecord | None = None
    claims: tuple[Claim, ...] = ()
    due: tuple[DueChange, ...] = ()
    key_rows: tuple[KeyRow, ...] = ()
    revoked_keys: tuple[str, ...] = ()
    data_keys: tuple[DataKeyRow, ...] = ()
    caller_key: str | None = None
    worker: int | None = None


class VersionTaken(Exception):
    """Another append was first on one of the streams; load again and decide anew."""


class ClaimTaken(Exception):
    """A claimed value already has another owner."""

    def __init__(self, claim: Claim, owner: str) -> None:
        super().__init__(f"{claim.kind} is taken")
        self.claim = claim
        self.owner = owner


class AlreadyAnswered(Exception):
    """A request with this idempotency key was committed before; nothing was appended."""

    def __init__(self, record: IdempotencyRecord) -> None:
        super().__init__("the request was answered before")
        self.record = record


class KeyRevoked(Exception):
    """The caller's API key does not work any more; nothing was appended or read."""
