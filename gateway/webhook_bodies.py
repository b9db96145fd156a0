"""What requests about webhooks may say."""

from typing import Annotated, ClassVar, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from adapters.delivery_lists import DeliveryStatus
from domain.endpoints import API_VERSIONS
from domain.public_events import EventType
from gateway.bodies import Body, Query, Text500, Time, form
from gateway.pagination import PageQueryString

EVENT_PATTERN: Final = "^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$"
ENDPOINT_PATTERN: Final = "^whe_[0-7][0-9a-hjkmnp-tv-z]{25}$"
DELIVERY_PATTERN: Final = "^whd_[0-7][0-9a-hjkmnp-tv-z]{25}$"

WebhookUrl: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        description="http or https, to an address of the public internet, without credentials.",
        extra_json_schema={"format": "uri", "pattern": "^https?://[!-?A-~]+$"},
    ),
]
EventFilters: TypeAlias = Annotated[
    list[Literal["*"] | EventType],
    Meta(min_length=1, max_length=32, description="Types of events, or `*` for all."),
]
ApiVersion: TypeAlias = Literal["2026-11-01"]
assert get_args(ApiVersion) == API_VERSIONS, "every version can be asked for"


class EndpointRequest(Body, frozen=True, kw_only=True):
    """A new webhook endpoint."""

    url: WebhookUrl
    events: EventFilters = msgspec.field(default_factory=lambda: ["*"])
    description: Text500 | None = None
    api_version: Annotated[ApiVersion, Meta(description="Of the bodies; never changes.")] = (
        "2026-11-01"
    )
    test_mode: Annotated[bool | None, Meta(description="By default the caller's mode.")] = None


class EndpointPatch(Body, frozen=True, kw_only=True):
    """What changes of an endpoint; what is absent or null stays."""

    url: WebhookUrl | None = None
    events: EventFilters | None = None
    description: Annotated[Text500, Meta(description="An empty one removes it.")] | None = None
    status: Literal["enabled", "disabled"] | None = None


class NothingRequest(Body, frozen=True, kw_only=True):
    """An empty object."""


class RecoverRequest(Body, frozen=True, kw_only=True):
    """Which time is sent again, by the times of its events."""

    since: Annotated[Time, Meta(description="Inclusive.")]
    until: Annotated[Time, Meta(description="Exclusive; by default now.")] | None = None


class EndpointsQueryString(Query, frozen=True, kw_only=True):
    """A page of endpoints, newest first."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"limit"})

    limit: Annotated[int, Meta(ge=1, le=100)] = 25
    after: Annotated[str, form(ENDPOINT_PATTERN, description="Older ones.")] | None = None
    before: Annotated[str, form(ENDPOINT_PATTERN, description="Newer ones.")] | None = None


class DeliveriesQueryString(Query, frozen=True, kw_only=True):
    """A page of an endpoint's deliveries, newest first."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"limit"})

    limit: Annotated[int, Meta(ge=1, le=100)] = 25
    after: Annotated[str, form(DELIVERY_PATTERN, description="Older ones.")] | None = None
    before: Annotated[str, form(DELIVERY_PATTERN, description="Newer ones.")] | None = None
    status: DeliveryStatus | None = None


class EventsQueryString(Query, frozen=True, kw_only=True):
    """A page of events, oldest first."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"limit"})

    limit: Annotated[int, Meta(ge=1, le=100)] = 25
    after: (
        Annotated[str, form(EVENT_PATTERN, description="The last event that you have.")] | None
    ) = None


class WebhooksQueryString(PageQueryString, frozen=True, kw_only=True):
    """A numbered page of all deliveries."""

    status: DeliveryStatus | None = None
