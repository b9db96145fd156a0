"""What the commands need from outside: the event store, the vault, the due rows, the clock."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from commands.processor import Credentials, Hint, Processor
from domain.events import AnyEvent, OrderEvent, Recorded
from domain.metadata import Metadata, Mode, Sealed
from domain.order.state import Order


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what goes into and comes out of the ports."""


class NewEvent(Value, frozen=True, kw_only=True):
    """An event before it is in the log."""

    metadata: Metadata
    data: AnyEvent


class Write(Value, frozen=True, kw_only=True):
    """Events for one stream, to follow directly on `expected_version`."""

    stream_id: str
    expected_version: int
    events: tuple[NewEvent, ...]


class Claim(Value, frozen=True, kw_only=True):
    """A value that may have one owner only, for example an external id per merchant and mode."""

    kind: Literal["external_id", "email", "checkout_session", "payment"]
    scope: str
    value: str
    owner: str


class DueChange(Value, frozen=True, kw_only=True):
    """What a commit makes of one due row; `operation` None deletes it.

    The row's tries start again when the operation changes. `at` None is at once.
    """

    order_id: str
    subject: str
    operation: str | None
    at: datetime | None = None


class IdempotencyRecord(Value, frozen=True, kw_only=True):
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


class KeyRow(Value, frozen=True, kw_only=True):
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


class DataKeyRow(Value, frozen=True, kw_only=True):
    """A key that seals personal data, itself wrapped by the master key.

    Attributes:
        key_id: stands in `Sealed.key`.
        subject: keyed hash of the customer, or the order's id.
    """

    key_id: str
    subject: str
    merchant_id: str
    wrapped: bytes


class Append(Value, frozen=True, kw_only=True):
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


class EventStore(Protocol):
    """The log. Reads and appends of concurrent callers share round trips."""

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Commit all or nothing; return the rows as they are in the log, in order.

        Raises:
            KeyRevoked, AlreadyAnswered, ClaimTaken, VersionTaken: checked in this order.
            domain.errors.Unavailable: `overloaded` or `database_unavailable`; nothing is known to
                be committed that was not acknowledged.
        """
        ...

    async def load(
        self, stream_ids: Sequence[str], *, caller_key: str | None = None
    ) -> dict[str, tuple[Recorded, ...]]:
        """Return the rows of each stream, in order; an unknown stream has none.

        Raises:
            KeyRevoked: the caller's key does not work any more.
        """
        ...

    async def answered(self, scope: str, key: str) -> IdempotencyRecord | None:
        """Return what was committed under an idempotency key."""
        ...

    async def read(self, after: int, limit: int) -> tuple[Recorded, ...]:
        """Return rows of the whole log in position order, from `after` + 1."""
        ...


class Vault(Protocol):
    """Keys that seal personal data, and secrets that must never be in an event."""

    async def seal(
        self,
        value: Any,
        *,
        merchant_id: str,
        mode: Mode | None,
        owner: str,
        customer_id: str | None = None,
        beside: Sealed | None = None,
    ) -> tuple[Sealed, DataKeyRow | None]:
        """Seal a JSON-ready value.

        The key is that of `beside` if given, else the customer's if one is named, else a fresh one
        of `owner` (an order's or merchant's id); a fresh key's row goes into the same append.
        """
        ...

    async def open(self, sealed: Sequence[Sealed]) -> list[bytes | None]:
        """Return the JSON of each box, in order; None where the key was destroyed."""
        ...

    def customer_subject(self, merchant_id: str, mode: Mode, customer_id: str) -> str:
        """Return the keyed hash that a customer's keys are kept under; it tells nothing."""
        ...

    async def count_keys(self, merchant_id: str, subject: str) -> int:
        """Return how many data keys a customer or order has."""
        ...

    async def destroy_keys(self, merchant_id: str, subject: str) -> int:
        """Destroy all data keys of a customer or order; return how many there were.

        What they sealed reads as None from then on, everywhere.
        """
        ...

    async def put_secret(self, owner: str, field: str, value: bytes, *, merchant_id: str) -> None:
        """Keep a secret, for example the redirect URL of an attempt; replaces an older one."""
        ...

    async def get_secret(self, owner: str, field: str, *, merchant_id: str) -> bytes | None:
        """Return a secret, None when there is none."""
        ...

    async def credentials(
        self, merchant_id: str, mode: Mode, processor: str, version: int
    ) -> Credentials:
        """Return one version of a processor's credentials; empty where none were stored."""
        ...

    async def destroy_credentials(self, merchant_id: str, mode: Mode, processor: str) -> int:
        """Destroy every version of a processor's credentials; return how many there were."""
        ...

    async def add_credentials(
        self,
        merchant_id: str,
        mode: Mode,
        processor: str,
        version: int,
        credentials: Credentials,
    ) -> bool:
        """Keep a new version of a processor's credentials; False where this version exists."""
        ...


class Watch(Protocol):
    """Tells when an order may have changed."""

    def order(self, order_id: str) -> AbstractContextManager[Callable[[float], Awaitable[None]]]:
        """Watch an order inside a `with` block.

        The yielded function waits until an event of the order was published since the last call,
        at most the seconds given; it may return early for no reason.
        """
        ...


class DueRow(Value, frozen=True, kw_only=True):
    """A claimed due row: the right to act, until the lease runs out.

    Attributes:
        tries: how often this operation was claimed, this time included.
    """

    order_id: str
    subject: str
    operation: str
    tries: int


class DueRows(Protocol):
    """The saga's work list; times are the database's clock."""

    async def claim(self, *, limit: int, acting: Collection[DueRow] | None = None) -> list[DueRow]:
        """Take due rows that nobody holds, count a try and lease them.

        `acting` are all rows that the caller works on: what it holds beside them is free, too. It
        is there where the answer to a claim was lost, or a row could not be given back.
        """
        ...

    async def again(self, row: DueRow, *, in_s: float) -> None:
        """Give a row back, to be tried again later; nothing when the lease was lost."""
        ...

    async def drop(self, row: DueRow) -> None:
        """Remove a row that the log no longer asks for."""
        ...

    async def hint(self, order_id: str, subject: str) -> None:
        """Make a row due at once, because somebody knows more."""
        ...

    async def next_due_s(self) -> float | None:
        """Return the seconds until the next row is due, None when there is none."""
        ...


class CircuitKey(Value, frozen=True, kw_only=True):
    """Whose circuit: a merchant's account at a processor, by its fingerprint."""

    merchant_id: str
    processor: str
    account: str


class Circuits(Protocol):
    """The circuit breakers of processor accounts, shared by all processes; they guard routing."""

    async def shut(self, merchant_id: str) -> Mapping[CircuitKey, bool]:
        """Return the circuits that are not closed, each with whether a probe may go.

        At most a second old; empty where they cannot be read.
        """
        ...

    async def probe(self, key: CircuitKey, attempt_id: str) -> bool:
        """Make an attempt the one probe of its circuit; False where another one is."""
        ...

    async def record(
        self, key: CircuitKey, attempt_id: str, outcome: str, *, decides: bool
    ) -> None:
        """Count what one call came to; never raises.

        Args:
            key: whose account was called.
            attempt_id: of the call.
            outcome: as in the metric; `unknown`, `timeout` and `not_sent` went wrong.
            decides: whether this call, if it worked, shows that the processor takes attempts.
        """
        ...


class Arrival(Value, frozen=True, kw_only=True):
    """A verified webhook as it goes into the inbox; its body is not kept.

    Attributes:
        accounts: every `mode:account` whose secret signed it, newest first.
        digest: SHA-256 of the body.
        hint: what it points at; an empty reference is about no payment.
    """

    processor: str
    merchant_id: str
    accounts: tuple[str, ...]
    digest: bytes
    hint: Hint


class InboxRow(Value, frozen=True, kw_only=True):
    """A claimed row of the inbox; `tries` counts this time, too."""

    id: int
    processor: str
    merchant_id: str
    accounts: tuple[str, ...]
    hint: Hint
    tries: int


class Inbox(Protocol):
    """Webhooks that were verified and are applied later."""

    async def receive(self, arrivals: Sequence[Arrival]) -> None:
        """Commit what has not arrived yet; what is parked or unmatched is tried again at once.

        Raises:
            domain.errors.Unavailable: nothing is known to be committed.
        """
        ...

    async def orders_of(self, processor_object: str) -> list[str]:
        """Return the orders whose log names a processor's object; up to the newest commit."""
        ...


class Reconciliation(Protocol):
    """What comparing with the processors found, as far as it holds new attempts back."""

    async def holds_back(
        self, merchant_id: str, mode: Mode, order_id: str
    ) -> Literal["restored", "orphan"] | None:
        """Return why no new attempt of an order may start now, None when it may.

        `restored`: the log is a restored one, and what the merchant's accounts did since was not
        listed yet. `orphan`: a processor has money for this order that the log does not know.

        Raises:
            domain.errors.Unavailable: it cannot be told.
        """
        ...


class Outward(Protocol):
    """Where webhooks may be sent."""

    async def refuses(self, url: str) -> str | None:
        """Return why a URL may not be reached, None where nothing speaks against it now.

        A name that cannot be resolved is not refused: it is looked at again at every attempt.
        """
        ...


def _nobody(_: Order, __: tuple[OrderEvent, ...]) -> None:
    """Nobody is told."""


class Ports(Value, frozen=True, kw_only=True):
    """Everything that the commands work with; `adapters/wiring.py` fills it.

    Attributes:
        committed: is told of an order's new events right after their commit, for metrics.
        now: the current time, UTC.
        public_url: under which merchants and customers reach this installation, without a slash.
    """

    store: EventStore
    vault: Vault
    due: DueRows
    watch: Watch
    inbox: Inbox
    reconciliation: Reconciliation
    circuits: Circuits
    outward: Outward
    processors: Mapping[str, Processor]
    now: Callable[[], datetime]
    public_url: str
    committed: Callable[[Order, tuple[OrderEvent, ...]], None] = _nobody
