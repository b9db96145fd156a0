"""What the HTTP edge is built from; `adapters/wiring.py` supplies it, so do the tests."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, Literal, Protocol

import msgspec

from adapters.delivery_lists import Delivery, DeliveryStatus
from adapters.log import Row
from commands.accounts import AccessToken, Logins
from commands.append import KeyRow
from commands.caller import Caller, Idempotency
from commands.customer_page import CustomerPage
from commands.ports import Ports
from domain.endpoints import Endpoint
from domain.metadata import Mode
from gateway.audit_views import LatestCheckpointView, OrderProofView
from gateway.limits import Limits
from projections.base import Page
from projections.ledger import Account, EntryRow, Place
from projections.orders import Cursor, Filters, OrderRow
from projections.statistics import Statistics

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what the edge is given and asks for."""


class ApiKeys(Protocol):
    """Who an API key or a session belongs to.

    Every method raises `domain.errors.Unavailable` where the database cannot be asked. What is
    `cached` may be some seconds old: it is for who reads or appends under the key.
    """

    async def find(self, secret: str, *, cached: bool = False) -> KeyRow | None:
        """Return the key's row, None for a secret that is unknown or was revoked."""
        ...

    async def find_session(self, session_id: str, *, cached: bool = False) -> KeyRow | None:
        """Return the row of a session, None for one that has ended."""
        ...

    async def last_used(self, key_ids: Sequence[str]) -> dict[str, datetime]:
        """Return when each key was last used, to a minute, without those that never were."""
        ...


class AccessTokens(Protocol):
    """Whose access token it is."""

    def read(self, token: str) -> AccessToken | None:
        """Return what it says, None for one that is not ours, altered or over."""
        ...


class Checks(Value, frozen=True, kw_only=True):
    """What this process can reach now.

    Attributes:
        projections: events that each read model is behind the log.
        stopped: read models that stand still in front of an event that they cannot apply.
        paused: read models that an operator has stand still.
        outdated: read models that stand still until an operator swaps: other code made them.
    """

    postgres: bool
    nats: bool
    projections: Mapping[str, int]
    stopped: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()


class Readiness(Protocol):
    """Asks the engines, each time."""

    async def checks(self) -> Checks:
        """Return what answers; never raises for an engine that is away."""
        ...

    async def measure(self) -> None:
        """Set the metrics of the whole installation; leaves them where an engine is away."""
        ...


class LedgerQuery(Value, frozen=True, kw_only=True):
    """Whose part of the books, and what it is narrowed to.

    Attributes:
        as_of: a position, or a time of commits; None is the newest.
        order_id: only what this order moved.
    """

    merchant_id: str
    mode: Mode
    as_of: datetime | int | None = None
    currency: str | None = None
    order_id: str | None = None


class Accounts(Value, frozen=True, kw_only=True):
    """Accounts of the books at a position.

    Attributes:
        as_of_position: not above what was asked for; lower where the read model is behind.
        as_of: when the event at that position was committed; None before the first one.
    """

    rows: tuple[Account, ...]
    as_of_position: int
    as_of: datetime | None


class ReadModels(Protocol):
    """Lists: they read projections, which may be a moment behind."""

    async def orders_page(
        self,
        *,
        merchant_id: str,
        mode: Mode,
        filters: Filters,
        after: Cursor | None,
        before: Cursor | None,
        limit: int,
    ) -> Page[OrderRow]:
        """Return one page as `projections.orders.page` does."""
        ...

    async def orders_numbered(
        self, *, merchant_id: str, mode: Mode, filters: Filters, offset: int, limit: int
    ) -> tuple[Page[OrderRow], int]:
        """Return the rows behind the newest `offset`, and how many there are in all."""
        ...

    async def statistics(
        self, *, merchant_id: str, mode: Mode, first: date | None, last: date | None
    ) -> Statistics:
        """Return the groups of the days from `first` to `last`, both included."""
        ...

    async def ledger_accounts(self, asked: LedgerQuery) -> Accounts:
        """Return accounts as `projections.ledger.accounts` does."""
        ...

    async def ledger_entries(
        self, asked: LedgerQuery, *, after: Place | None, before: Place | None, limit: int
    ) -> Page[EntryRow]:
        """Return one page as `projections.ledger.page` does."""
        ...


class CheckoutSessions(Protocol):
    """Which checkout sessions a merchant has."""

    async def page(
        self, merchant_id: str, mode: Mode, *, after: str | None, before: str | None, limit: int
    ) -> tuple[tuple[str, ...], bool]:
        """Return the ids of a page, the newest first, and whether there are more behind it."""
        ...


class Audit(Protocol):
    """What an auditor reads; every method raises `Unavailable` where the database is away."""

    async def checkpoint(self) -> LatestCheckpointView:
        """Return the newest checkpoint and the log's keys.

        Raises:
            domain.errors.NotFound: nothing was signed yet.
        """
        ...

    async def rows(self, order_id: str) -> list[Row]:
        """Return an order's rows as they are stored."""
        ...

    async def proof(self, order_id: str) -> OrderProofView:
        """Return the proof of an order's events.

        Raises:
            domain.errors.NotFound: nothing was signed yet.
        """
        ...


class OrderChanges(Protocol):
    """Which orders of one merchant change; see `adapters.changes.OrderChanges`."""

    async def next(self, timeout_s: float) -> tuple[str, ...]:
        """Return the ids of orders that changed since the last call."""
        ...

    def began(self) -> bool:
        """Whether following began since the last call, for the first time or anew."""
        ...


class Changes(Protocol):
    """Lets a stream follow the orders of a merchant."""

    @property
    def full(self) -> bool:
        """Whether no more can be served."""
        ...

    def orders(self, merchant_id: str, mode: Mode) -> AbstractAsyncContextManager[OrderChanges]:
        """Follow a merchant's orders inside an `async with` block."""
        ...


class SentAgain(Value, frozen=True, kw_only=True):
    """A delivery that is sent again, as it was right after that."""

    delivery: Delivery
    replayed: bool = False


class Recovered(Value, frozen=True, kw_only=True):
    """How many deliveries were scheduled."""

    scheduled: int
    replayed: bool = False


class Webhooks(Protocol):
    """Deliveries and public events; see `gateway.webhook_parts.PostgresWebhooks`."""

    async def events(
        self, merchant_id: str, mode: Mode, *, after: str | None, limit: int
    ) -> tuple[list[bytes], str | None]:
        """Return the bodies of events, and the id to go on behind, if there are more."""
        ...

    async def deliveries(
        self,
        merchant_id: str,
        endpoint: Endpoint,
        *,
        status: DeliveryStatus | None,
        after: str | None,
        before: str | None,
        limit: int,
    ) -> tuple[list[Delivery], bool]:
        """Return a page of an endpoint's deliveries, and whether there are more."""
        ...

    async def numbered(
        self,
        merchant_id: str,
        mode: Mode,
        *,
        status: DeliveryStatus | None,
        limit: int,
        offset: int,
    ) -> tuple[list[Delivery], int]:
        """Return a numbered page of a merchant's deliveries, and how many there are."""
        ...

    async def send_again(
        self,
        caller: Caller,
        mode: Mode,
        delivery_id: str,
        idempotency: Idempotency | None,
        *,
        endpoint_id: str | None = None,
    ) -> SentAgain:
        """Send a delivery again, now; raises `NotFound`, `Rejected`, `Conflict`."""
        ...

    async def recover(
        self,
        caller: Caller,
        endpoint: Endpoint,
        idempotency: Idempotency | None,
        *,
        since: datetime,
        until: datetime | None,
    ) -> Recovered:
        """Send what an endpoint has not got of a time; raises `Rejected`, `Conflict`."""
        ...


class BankChallenge(Value, frozen=True, kw_only=True):
    """What the sandbox's bank asks the customer of a test payment."""

    reference: str
    amount_minor: int
    currency: str
    state: Literal["open", "approved", "failed"]


class Bank(Protocol):
    """The sandbox's bank: where the customer of a test payment completes 3-D Secure."""

    async def describe(self, reference: str) -> BankChallenge | None:
        """Return the challenge, None when there is none of that name."""
        ...

    async def decide(self, reference: str, *, approve: bool) -> str | None:
        """Complete or fail it, once; return where the customer goes on, if anywhere."""
        ...


class Deps(Value, frozen=True, kw_only=True):
    """Everything that the routes work with.

    Attributes:
        hash_secret: the only trace that a secret API key leaves.
        page_key: what the hosted page's forms are marked with, 32 bytes.
        pages: what each processor shows on the hosted page.
        bank: None where no sandbox runs: its pages do not exist then.
        metrics_from: addresses that may read `/metrics`.
    """

    ports: Ports
    api_keys: ApiKeys
    tokens: AccessTokens
    logins: Logins
    hash_secret: Callable[[str], bytes]
    readiness: Readiness
    read_models: ReadModels
    audit: Audit
    sessions: CheckoutSessions
    page_key: bytes
    changes: Changes
    webhooks: Webhooks
    limits: Limits = Limits()
    pages: Mapping[str, CustomerPage] = {}
    bank: Bank | None = None
    cors_origins: tuple[str, ...] = ()
    metrics_from: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
