"""Events of a merchant: profile, keys, processor accounts, routing, endpoints, erasures."""

from datetime import datetime
from typing import Literal

from domain.events.base import Event
from domain.metadata import Mode, Sealed
from domain.routing import RoutingPolicy


class MerchantRegistered(Event, frozen=True, kw_only=True, tag="merchant.registered.v1"):
    """A merchant exists. `profile` holds a sealed name and e-mail."""

    profile: Sealed | None = None


class ProfileChanged(Event, frozen=True, kw_only=True, tag="merchant.profile_changed.v1"):
    """The sealed profile was replaced."""

    profile: Sealed


class KeyIssued(Event, frozen=True, kw_only=True, tag="merchant.key_issued.v1"):
    """An API key was made; the secret itself is shown once and stored nowhere."""

    key_id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    mode: Mode
    expires_at: datetime | None = None


class KeyRevoked(Event, frozen=True, kw_only=True, tag="merchant.key_revoked.v1"):
    """An API key stopped working."""

    key_id: str


class ProcessorConfigured(Event, frozen=True, kw_only=True, tag="merchant.processor_configured.v1"):
    """A processor account can be used; its credentials stand in the vault, by version."""

    processor: str
    mode: Mode
    account: str
    credential_version: int
    enabled: bool = True
    priority: int = 1


class ProcessorRemoved(Event, frozen=True, kw_only=True, tag="merchant.processor_removed.v1"):
    """New attempts no longer use this processor."""

    processor: str
    mode: Mode


class RoutingSet(Event, frozen=True, kw_only=True, tag="merchant.routing_set.v1"):
    """The routing policy was replaced."""

    mode: Mode
    policy: RoutingPolicy


class EndpointAdded(Event, frozen=True, kw_only=True, tag="merchant.endpoint_added.v1"):
    """A webhook endpoint was made; its secret stands in the vault."""

    endpoint_id: str
    mode: Mode
    url: Sealed
    events: tuple[str, ...]
    api_version: str
    description: Sealed | None = None


class EndpointChanged(Event, frozen=True, kw_only=True, tag="merchant.endpoint_changed.v1"):
    """What is not None was changed."""

    endpoint_id: str
    url: Sealed | None = None
    events: tuple[str, ...] | None = None
    description: Sealed | None = None
    status: Literal["enabled", "disabled", "failing"] | None = None
    disabled_reason: str | None = None


class EndpointRemoved(Event, frozen=True, kw_only=True, tag="merchant.endpoint_removed.v1"):
    """Nothing more is sent to this endpoint."""

    endpoint_id: str


class EndpointSecretRotated(
    Event, frozen=True, kw_only=True, tag="merchant.endpoint_secret_rotated.v1"
):
    """Deliveries are signed with another secret; `secret_id` names it in the vault."""

    endpoint_id: str
    secret_id: str


class EndpointTested(Event, frozen=True, kw_only=True, tag="merchant.endpoint_tested.v1"):
    """The merchant asked for a `test.ping` to this endpoint."""

    endpoint_id: str


class CustomerErased(Event, frozen=True, kw_only=True, tag="merchant.customer_erased.v1"):
    """A customer's data key was destroyed; `subject` is its keyed hash."""

    subject: str
    mode: Mode
