"""Webhook endpoints of a merchant: their state, their commands and rules, and what events make."""

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from domain import events as e
from domain.errors import NotFound, Rejected
from domain.metadata import Metadata, Mode, Sealed

ENDPOINTS_MAX: Final = 16
"""Per merchant and mode."""

OVERLAP: Final = timedelta(hours=24)
"""For how long deliveries are also signed with a secret that was replaced."""

MISSED_DAYS: Final = 30
"""For how long an event without a delivery was missed; later it may be one that was forgotten."""

FIRST_SECRET: Final = "first"  # noqa: S105 - a name, not a secret

API_VERSIONS: Final = ("2026-11-01",)
"""Shapes of webhook bodies, oldest first; an endpoint keeps the one that it was made with."""

EndpointStatus = Literal["enabled", "disabled", "failing"]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook endpoint.

    Attributes:
        events: types of public events, or `*` for all.
        secret_id: under which the vault keeps the newest signing secret.
        retired: secrets before it, each with the time of its replacement, newest first.
    """

    id: str
    mode: Mode
    url: Sealed
    events: tuple[str, ...]
    api_version: str
    created_at: datetime
    status: EndpointStatus = "enabled"
    disabled_reason: str | None = None
    description: Sealed | None = None
    secret_id: str = FIRST_SECRET
    retired: tuple[tuple[str, datetime], ...] = ()

    def refuse_disabled(self) -> None:
        """Refuse to send to an endpoint that is disabled.

        Raises:
            Rejected: `endpoint_disabled`.
        """
        if self.status == "disabled":
            raise Rejected("endpoint_disabled", "The endpoint is disabled: enable it first.")

    def signing(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets that a delivery is signed with, newest first."""
        return (self.secret_id, *(name for name, at in self.retired if now < at + OVERLAP))


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the commands."""


class AddEndpoint(Command, frozen=True, kw_only=True):
    """Make an endpoint; its first secret stands in the vault already."""

    endpoint_id: str
    mode: Mode
    url: Sealed
    events: tuple[str, ...]
    api_version: str
    description: Sealed | None = None


class ChangeEndpoint(Command, frozen=True, kw_only=True):
    """Change what is not None; nothing where the status is another than `only_from`."""

    endpoint_id: str
    only_from: EndpointStatus | None = None
    url: Sealed | None = None
    events: tuple[str, ...] | None = None
    description: Sealed | None = None
    status: EndpointStatus | None = None
    disabled_reason: str | None = None


class RemoveEndpoint(Command, frozen=True, kw_only=True):
    """Send nothing more to an endpoint."""

    endpoint_id: str


class RotateSecret(Command, frozen=True, kw_only=True):
    """Sign with a new secret, which stands in the vault already."""

    endpoint_id: str
    secret_id: str


class PingEndpoint(Command, frozen=True, kw_only=True):
    """Send a `test.ping`."""

    endpoint_id: str


EndpointCommand: TypeAlias = (
    AddEndpoint | ChangeEndpoint | RemoveEndpoint | RotateSecret | PingEndpoint
)
EndpointEvent: TypeAlias = (
    e.EndpointAdded
    | e.EndpointChanged
    | e.EndpointRemoved
    | e.EndpointSecretRotated
    | e.EndpointTested
)


def decide(endpoints: tuple[Endpoint, ...], command: EndpointCommand) -> tuple[EndpointEvent, ...]:
    """Return the events that a command gives.

    Raises:
        NotFound: the merchant has no such endpoint.
        Rejected: `endpoint_limit`, `endpoint_disabled`.
    """
    if isinstance(command, AddEndpoint):
        return _added(endpoints, command)
    endpoint = next((x for x in endpoints if x.id == command.endpoint_id), None)
    if endpoint is None:
        raise NotFound("not_found", "There is no such endpoint.")
    match command:
        case ChangeEndpoint():
            return _changed(endpoint, command)
        case RemoveEndpoint():
            return (e.EndpointRemoved(endpoint_id=endpoint.id),)
        case RotateSecret():
            rotated = e.EndpointSecretRotated(endpoint_id=endpoint.id, secret_id=command.secret_id)
            return (rotated,)
        case PingEndpoint():
            endpoint.refuse_disabled()
            return (e.EndpointTested(endpoint_id=endpoint.id),)
        case _:
            assert_never(command)


def _added(endpoints: tuple[Endpoint, ...], command: AddEndpoint) -> tuple[EndpointEvent, ...]:
    if sum(1 for x in endpoints if x.mode == command.mode) >= ENDPOINTS_MAX:
        raise Rejected("endpoint_limit", f"There are {ENDPOINTS_MAX} endpoints, which is the most.")
    added = e.EndpointAdded(
        endpoint_id=command.endpoint_id,
        mode=command.mode,
        url=command.url,
        events=command.events,
        api_version=command.api_version,
        description=command.description,
    )
    return (added,)


def _changed(endpoint: Endpoint, command: ChangeEndpoint) -> tuple[EndpointEvent, ...]:
    """Say what is new; a status that it has already is not."""
    if command.only_from not in {None, endpoint.status}:
        return ()
    status = None if command.status == endpoint.status else command.status
    changed = e.EndpointChanged(
        endpoint_id=endpoint.id,
        url=command.url,
        events=None if command.events == endpoint.events else command.events,
        description=command.description,
        status=status,
        disabled_reason=command.disabled_reason if status else None,
    )
    return () if changed == e.EndpointChanged(endpoint_id=endpoint.id) else (changed,)


def evolve(
    endpoints: tuple[Endpoint, ...], event: EndpointEvent, meta: Metadata
) -> tuple[Endpoint, ...]:
    """Return the endpoints after an event."""
    match event:
        case e.EndpointAdded():
            endpoint = Endpoint(
                id=event.endpoint_id,
                mode=event.mode,
                url=event.url,
                events=event.events,
                api_version=event.api_version,
                created_at=meta.occurred_at,
                description=event.description,
            )
            return (*endpoints, endpoint)
        case e.EndpointChanged():
            return tuple(_after(x, event) if x.id == event.endpoint_id else x for x in endpoints)
        case e.EndpointRemoved():
            return tuple(x for x in endpoints if x.id != event.endpoint_id)
        case e.EndpointSecretRotated():
            return tuple(
                _rotated(x, event, meta) if x.id == event.endpoint_id else x for x in endpoints
            )
        case e.EndpointTested():
            return endpoints
        case _:
            assert_never(event)


def _after(endpoint: Endpoint, event: e.EndpointChanged) -> Endpoint:
    """A reason stays as long as the status that it explains."""
    return replace(
        endpoint,
        url=event.url or endpoint.url,
        events=endpoint.events if event.events is None else event.events,
        description=event.description or endpoint.description,
        status=event.status or endpoint.status,
        disabled_reason=event.disabled_reason if event.status else endpoint.disabled_reason,
    )


def _rotated(endpoint: Endpoint, event: e.EndpointSecretRotated, meta: Metadata) -> Endpoint:
    at = meta.occurred_at
    still = tuple(pair for pair in endpoint.retired if at < pair[1] + OVERLAP)
    return replace(endpoint, secret_id=event.secret_id, retired=((endpoint.secret_id, at), *still))
