"""The event catalogue: every fact that the log can hold, with its tag. Rows are never changed.

A tag ends in the version of its shape. A field may be added with a default; any other change is a
new tag and an upcaster (`adapters/codec.py`), and the old tag keeps its golden file.
"""

from datetime import datetime
from typing import Any, TypeAlias, get_args

import msgspec

from domain.events.base import Event, tag_of
from domain.events.merchant import (
    CustomerErased,
    EndpointAdded,
    EndpointChanged,
    EndpointRemoved,
    EndpointSecretRotated,
    EndpointTested,
    KeyIssued,
    KeyRevoked,
    MerchantRegistered,
    ProcessorConfigured,
    ProcessorRemoved,
    ProfileChanged,
    RoutingSet,
)
from domain.events.order import (
    AttemptFenced,
    AuthorizationExpired,
    AuthorizationExpiring,
    CancelRequested,
    CaptureMethod,
    ChallengeKind,
    Next,
    Operation,
    OrderAuthorized,
    OrderCancelled,
    OrderChallenged,
    OrderCreated,
    OrderDeclined,
    OrderExpired,
    OrderFailed,
    OrderRouted,
    OrderVoided,
    OutcomeUnknown,
    ProcessorReferenced,
    Proof,
    VoidFailed,
    VoidRequested,
)
from domain.events.order_money import (
    CaptureFailed,
    CaptureRequested,
    DiscrepancyFound,
    DiscrepancyResolved,
    DisputeClosed,
    DisputeFundsReinstated,
    DisputeFundsWithdrawn,
    DisputeOpened,
    FeeOf,
    FeeRecorded,
    OrderCaptured,
    OrderRefunded,
    RefundFailed,
    RefundKind,
    RefundRequested,
    RefundReversed,
    Remainder,
    StrayPaymentFound,
)
from domain.events.settlement import (
    Conversion,
    Line,
    LineKind,
    Match,
    Mismatch,
    SettlementMatched,
    SettlementReported,
    SettlementUnmatched,
)
from domain.metadata import Metadata

__all__ = [
    "EVENT_TYPES",
    "AnyEvent",
    "AttemptFenced",
    "AuthorizationExpired",
    "AuthorizationExpiring",
    "CancelRequested",
    "CaptureFailed",
    "CaptureMethod",
    "CaptureRequested",
    "ChallengeKind",
    "Conversion",
    "CustomerErased",
    "DiscrepancyFound",
    "DiscrepancyResolved",
    "DisputeClosed",
    "DisputeFundsReinstated",
    "DisputeFundsWithdrawn",
    "DisputeOpened",
    "EndpointAdded",
    "EndpointChanged",
    "EndpointRemoved",
    "EndpointSecretRotated",
    "EndpointTested",
    "Event",
    "FeeOf",
    "FeeRecorded",
    "KeyIssued",
    "KeyRevoked",
    "Line",
    "LineKind",
    "Match",
    "MerchantEvent",
    "MerchantRegistered",
    "Mismatch",
    "Next",
    "Operation",
    "OrderAuthorized",
    "OrderCancelled",
    "OrderCaptured",
    "OrderChallenged",
    "OrderCreated",
    "OrderDeclined",
    "OrderEvent",
    "OrderExpired",
    "OrderFailed",
    "OrderRefunded",
    "OrderRouted",
    "OrderVoided",
    "OutcomeUnknown",
    "ProcessorConfigured",
    "ProcessorReferenced",
    "ProcessorRemoved",
    "ProfileChanged",
    "Proof",
    "Recorded",
    "RefundFailed",
    "RefundKind",
    "RefundRequested",
    "RefundReversed",
    "Remainder",
    "RoutingSet",
    "SettlementEvent",
    "SettlementMatched",
    "SettlementReported",
    "SettlementUnmatched",
    "StrayPaymentFound",
    "VoidFailed",
    "VoidRequested",
    "tag_of",
]

OrderEvent: TypeAlias = (
    OrderCreated
    | OrderRouted
    | ProcessorReferenced
    | OrderChallenged
    | OrderAuthorized
    | OrderDeclined
    | OutcomeUnknown
    | AttemptFenced
    | CaptureRequested
    | OrderCaptured
    | CaptureFailed
    | VoidRequested
    | OrderVoided
    | VoidFailed
    | AuthorizationExpiring
    | AuthorizationExpired
    | CancelRequested
    | OrderFailed
    | OrderCancelled
    | OrderExpired
    | RefundRequested
    | OrderRefunded
    | RefundFailed
    | RefundReversed
    | DisputeOpened
    | DisputeFundsWithdrawn
    | DisputeFundsReinstated
    | DisputeClosed
    | FeeRecorded
    | StrayPaymentFound
    | DiscrepancyFound
    | DiscrepancyResolved
)

MerchantEvent: TypeAlias = (
    MerchantRegistered
    | ProfileChanged
    | KeyIssued
    | KeyRevoked
    | ProcessorConfigured
    | ProcessorRemoved
    | RoutingSet
    | EndpointAdded
    | EndpointChanged
    | EndpointRemoved
    | EndpointSecretRotated
    | EndpointTested
    | CustomerErased
)

SettlementEvent: TypeAlias = SettlementReported | SettlementMatched | SettlementUnmatched

AnyEvent: TypeAlias = OrderEvent | MerchantEvent | SettlementEvent

EVENT_TYPES: dict[str, type[Any]] = {tag_of(kind): kind for kind in get_args(AnyEvent)}
"""Every tag of the catalogue and its type."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log as the domain reads it.

    Attributes:
        stream_id: `ord_…`, `mer_…` or `set_…`.
        version: 1 for the first event of a stream, without gaps.
        position: place in the whole log, from 1, without gaps.
        recorded_at: UTC, set at the commit, never going back.
    """

    stream_id: str
    version: int
    position: int
    recorded_at: datetime
    metadata: Metadata
    data: AnyEvent
