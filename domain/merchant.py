"""The merchant aggregate: profile, API keys, processor accounts, routing, webhook endpoints."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from domain import endpoints
from domain import events as e
from domain.endpoints import Endpoint, EndpointCommand
from domain.errors import Conflict, NotFound, Rejected
from domain.metadata import Metadata, Mode, Sealed
from domain.routing import Account, RoutingPolicy

SCOPES: Final = (
    "payments:write", "payments:read", "webhooks:write", "ledger:read", "account:admin",
)  # fmt: skip
DEFAULT_SCOPES: Final = ("payments:write", "payments:read")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parts of a merchant's state."""


class ApiKey(Part, frozen=True, kw_only=True):
    """An API key as the log knows it; the secret is nowhere."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    mode: Mode
    created_at: datetime
    expires_at: datetime | None = None
    revoked: bool = False


class Merchant(Part, frozen=True, kw_only=True):
    """The state of one merchant; accounts and policies are per mode.

    `accounts_since` says since when an account is configured, by mode and processor.
    """

    id: str
    version: int
    profile: Sealed | None
    created_at: datetime
    updated_at: datetime
    keys: tuple[ApiKey, ...] = ()
    accounts: tuple[tuple[Mode, Account], ...] = ()
    accounts_since: tuple[tuple[Mode, str, datetime], ...] = ()
    policies: tuple[tuple[Mode, RoutingPolicy], ...] = ()
    policies_since: tuple[tuple[Mode, datetime], ...] = ()
    endpoints: tuple[Endpoint, ...] = ()

    def accounts_of(self, mode: Mode) -> tuple[Account, ...]:
        """Return the processor accounts configured for a mode."""
        return tuple(account for m, account in self.accounts if m == mode)

    def policy_of(self, mode: Mode) -> RoutingPolicy:
        """Return the routing policy of a mode; Loop's default has version 0."""
        return next((policy for m, policy in self.policies if m == mode), RoutingPolicy())


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of a merchant's commands."""


class Register(Command, frozen=True, kw_only=True):
    """Make a merchant."""

    profile: Sealed | None = None


class ChangeProfile(Command, frozen=True, kw_only=True):
    """Replace the sealed profile."""

    profile: Sealed


class IssueKey(Command, frozen=True, kw_only=True):
    """Make an API key; `prefix` is its first 12 characters."""

    key_id: str
    name: str
    prefix: str
    mode: Mode
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    expires_at: datetime | None = None


class RevokeKey(Command, frozen=True, kw_only=True):
    """Stop an API key."""

    key_id: str


class ConfigureProcessor(Command, frozen=True, kw_only=True):
    """Let a processor account be used; a new credential version replaces the old one."""

    processor: str
    mode: Mode
    account: str
    credential_version: int
    enabled: bool = True
    priority: int = 1


class RemoveProcessor(Command, frozen=True, kw_only=True):
    """Let no new attempt use a processor."""

    processor: str
    mode: Mode


class SetRouting(Command, frozen=True, kw_only=True):
    """Replace the routing policy; the version is counted here.

    `replaces`: the version that has to be there; None replaces any.
    """

    mode: Mode
    policy: RoutingPolicy
    replaces: int | None = None


class EraseCustomer(Command, frozen=True, kw_only=True):
    """Say that a customer's data keys are destroyed; `subject` is their keyed hash."""

    subject: str
    mode: Mode


MerchantCommand: TypeAlias = (
    Register
    | ChangeProfile
    | EraseCustomer
    | IssueKey
    | RevokeKey
    | ConfigureProcessor
    | RemoveProcessor
    | SetRouting
    | EndpointCommand
)


def decide(  # noqa: C901 - one case per command
    merchant: Merchant | None, command: MerchantCommand
) -> tuple[e.MerchantEvent, ...]:
    """Return the events that the command gives.

    Raises:
        NotFound: `not_found`, a key or processor that this merchant does not have.
        Conflict: `concurrent_change`, other rules than those are to be replaced.
        Rejected: `unknown_scope`.
    """
    if isinstance(command, Register):
        assert merchant is None, "a merchant registers once"
        return (e.MerchantRegistered(profile=command.profile),)
    assert merchant is not None, "only a merchant that exists takes commands"
    match command:
        case ChangeProfile():
            return (e.ProfileChanged(profile=command.profile),)
        case IssueKey():
            return _issue(command)
        case RevokeKey():
            return _revoke(merchant, command)
        case ConfigureProcessor():
            configured = e.ProcessorConfigured(
                processor=command.processor,
                mode=command.mode,
                account=command.account,
                credential_version=command.credential_version,
                enabled=command.enabled,
                priority=command.priority,
            )
            return (configured,)
        case RemoveProcessor():
            if not any(
                m == command.mode and a.processor == command.processor for m, a in merchant.accounts
            ):
                raise NotFound("not_found", "This processor is not configured.")
            return (e.ProcessorRemoved(processor=command.processor, mode=command.mode),)
        case EraseCustomer():
            return (e.CustomerErased(subject=command.subject, mode=command.mode),)
        case SetRouting():
            return _set_routing(merchant, command)
        case (
            endpoints.AddEndpoint()
            | endpoints.ChangeEndpoint()
            | endpoints.RemoveEndpoint()
            | endpoints.RotateSecret()
            | endpoints.PingEndpoint()
        ):
            return endpoints.decide(merchant.endpoints, command)
        case _:
            assert_never(command)


def _set_routing(merchant: Merchant, command: SetRouting) -> tuple[e.MerchantEvent, ...]:
    current = merchant.policy_of(command.mode)
    if current.version and replace(command.policy, version=current.version) == current:
        return ()
    if command.replaces not in {None, current.version}:
        raise Conflict(
            "concurrent_change", f"The rules are those of version {current.version} now."
        )
    policy = replace(command.policy, version=current.version + 1)
    return (e.RoutingSet(mode=command.mode, policy=policy),)


def _issue(command: IssueKey) -> tuple[e.MerchantEvent, ...]:
    unknown = set(command.scopes) - set(SCOPES)
    if unknown:
        raise Rejected("unknown_scope", f"There is no scope {min(unknown)!r}.")
    issued = e.KeyIssued(
        key_id=command.key_id,
        name=command.name,
        prefix=command.prefix,
        scopes=command.scopes,
        mode=command.mode,
        expires_at=command.expires_at,
    )
    return (issued,)


def _revoke(merchant: Merchant, command: RevokeKey) -> tuple[e.MerchantEvent, ...]:
    key = next((k for k in merchant.keys if k.id == command.key_id), None)
    if key is None:
        raise NotFound("not_found", "There is no such API key.")
    return () if key.revoked else (e.KeyRevoked(key_id=key.id),)


def fold(rows: Iterable[e.Recorded]) -> Merchant | None:
    """Return the merchant that its stream's rows, in order, amount to; None without rows."""
    merchant: Merchant | None = None
    for row in rows:
        merchant = evolve(merchant, row.data, row.metadata, stream_id=row.stream_id)
    return merchant


def evolve(
    merchant: Merchant | None, event: e.AnyEvent, meta: Metadata, *, stream_id: str = ""
) -> Merchant:
    """Return the merchant after one event."""
    if merchant is None:
        assert isinstance(event, e.MerchantRegistered), "a stream begins with its creation"
        at = meta.occurred_at
        return Merchant(
            id=stream_id, version=1, profile=event.profile, created_at=at, updated_at=at
        )
    after = _apply(merchant, event, meta)  # type: ignore[arg-type]
    return replace(after, version=merchant.version + 1, updated_at=meta.occurred_at)


def _apply(m: Merchant, event: e.MerchantEvent, meta: Metadata) -> Merchant:  # noqa: C901 - one case per event
    match event:
        case e.MerchantRegistered():
            raise AssertionError("a merchant registers once")
        case e.ProfileChanged():
            return replace(m, profile=event.profile)
        case e.KeyIssued():
            key = ApiKey(
                id=event.key_id,
                name=event.name,
                prefix=event.prefix,
                scopes=event.scopes,
                mode=event.mode,
                created_at=meta.occurred_at,
                expires_at=event.expires_at,
            )
            return replace(m, keys=(*m.keys, key))
        case e.KeyRevoked():
            keys = tuple(replace(k, revoked=True) if k.id == event.key_id else k for k in m.keys)
            return replace(m, keys=keys)
        case e.ProcessorConfigured():
            account = Account(
                processor=event.processor,
                fingerprint=event.account,
                credential_version=event.credential_version,
                enabled=event.enabled,
                priority=event.priority,
            )
            rest, since = _without(m, event.processor, event.mode), m.accounts_since
            if not any(place[:2] == (event.mode, event.processor) for place in since):
                since = (*since, (event.mode, event.processor, meta.occurred_at))
            return replace(m, accounts=(*rest, (event.mode, account)), accounts_since=since)
        case e.ProcessorRemoved():
            gone = (event.mode, event.processor)
            since = tuple(place for place in m.accounts_since if place[:2] != gone)
            rest = _without(m, event.processor, event.mode)
            return replace(m, accounts=rest, accounts_since=since)
        case e.RoutingSet():
            others = tuple(pair for pair in m.policies if pair[0] != event.mode)
            since = tuple(pair for pair in m.policies_since if pair[0] != event.mode)
            return replace(
                m,
                policies=(*others, (event.mode, event.policy)),
                policies_since=(*since, (event.mode, meta.occurred_at)),
            )
        case (
            e.EndpointAdded()
            | e.EndpointChanged()
            | e.EndpointRemoved()
            | e.EndpointSecretRotated()
            | e.EndpointTested()
        ):
            return replace(m, endpoints=endpoints.evolve(m.endpoints, event, meta))
        case e.CustomerErased():
            return m
        case _:
            assert_never(event)


def _without(m: Merchant, processor: str, mode: Mode) -> tuple[tuple[Mode, Account], ...]:
    return tuple(pair for pair in m.accounts if (pair[0], pair[1].processor) != (mode, processor))
