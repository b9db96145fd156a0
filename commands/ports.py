"""What the commands need from outside: the event store, the vault, the due rows, the clock."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from commands.append import Append, DataKeyRow, IdempotencyRecord
from commands.processor import Credentials, Hint, Processor
from domain.events import OrderEvent, Recorded
from domain.metadata import Mode, Sealed
from domain.order.state import Order


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


class DueRow(msgspec.Struct, frozen=True, kw_only=True):
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


class CircuitKey(msgspec.Struct, frozen=True, kw_only=True):
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


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
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


class InboxRow(msgspec.Struct, frozen=True, kw_only=True):
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


class Ports(msgspec.Struct, frozen=True, kw_only=True):
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
