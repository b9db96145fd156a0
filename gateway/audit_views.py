"""What the audit's answers say: checkpoints, histories with their hashes, proofs."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from adapters.checkpoints import Signed
from adapters.log import Row
from domain.events import Recorded
from domain.metadata import ActorKind
from gateway.views import Time, View, iso
from replay.history import Opened, as_json
from replay.proof import OrderProof, Proven
from replay.tampering import leaf_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Hash = Annotated[str, Meta(description="SHA-256 in hex.", pattern="^[0-9a-f]{64}$")]


class CheckpointView(View, frozen=True, kw_only=True):
    """A signed head of the tree over the whole log; `note` is what was signed (C2SP)."""

    origin: str
    size: Annotated[int, Meta(description="Position of the last event that it covers.")]
    root_hash: Hash
    note: str
    signed_at: Time


class LatestCheckpointView(CheckpointView, frozen=True, kw_only=True):
    """The newest checkpoint, with the public keys of this log, the oldest first."""

    keys: list[str]


class ActorView(View, frozen=True, kw_only=True):
    """Who made an event happen."""

    kind: ActorKind
    id: str


class OrderEventView(View, frozen=True, kw_only=True):
    """One event of an order.

    `hash` is over the stored row, which `/proof` gives byte for byte: there the names of `data`
    are in snake_case and what is personal is sealed.
    """

    id: str
    type: str
    position: int
    version: int
    hash: Hash
    actor: ActorView
    data: Annotated[
        dict[str, Any],
        Meta(description="Names in camelCase; personal data opened, null once erased."),
    ]
    correlation_id: str
    causation_id: str | None
    occurred_at: Time
    recorded_at: Time
    livemode: bool


class ProvenEventView(View, frozen=True, kw_only=True):
    """What was hashed of an event, and its audit path from the leaf on (RFC 9162)."""

    position: int
    version: int
    stream_id: str
    type: str
    recorded_at_micros: Annotated[int, Meta(description="Microseconds since 1970.")]
    state: Annotated[str, Meta(description="The stored bytes in base64.")]
    hash: Hash
    proof: Annotated[
        list[Hash] | None, Meta(description="Null while the event is newer than the checkpoint.")
    ]


class ConsistencyView(View, frozen=True, kw_only=True):
    """The proof that the checkpoint and one of this size are heads of the same log."""

    size: int
    proof: list[Hash]


class OrderProofView(View, frozen=True, kw_only=True):
    """What `verify_export.py` verifies without a database, network or Loop."""

    format: Literal["loop-order-proof/1"]
    order_id: str
    checkpoint: CheckpointView
    keys: list[str]
    events: list[ProvenEventView]
    consistency: list[ConsistencyView]


def checkpoint_view(signed: Signed) -> CheckpointView:
    """Render a checkpoint."""
    return CheckpointView(
        origin=signed.origin,
        size=signed.size,
        root_hash=signed.root.hex(),
        note=signed.note,
        signed_at=iso(signed.signed_at),
    )


def latest_view(signed: Signed, keys: Sequence[str]) -> LatestCheckpointView:
    """Render the newest checkpoint with the keys of the log."""
    return LatestCheckpointView(
        origin=signed.origin,
        size=signed.size,
        root_hash=signed.root.hex(),
        note=signed.note,
        signed_at=iso(signed.signed_at),
        keys=list(keys),
    )


def in_camel_case(value: Any) -> Any:
    """Return JSON-ready data with our names in camelCase; those of metadata are the merchant's."""
    match value:
        case [*items]:
            return [in_camel_case(item) for item in items]
        case {**members}:
            return {
                _camel(name): inner if name == "metadata" else in_camel_case(inner)
                for name, inner in members.items()
            }
        case _:
            return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def event_views(
    rows: Sequence[Row], events: Sequence[Recorded], opened: Opened
) -> list[OrderEventView]:
    """Render an order's history; `events` are the rows, decoded."""
    told = as_json(events, opened)
    return [
        OrderEventView(
            id=event.metadata.event_id,
            type=row.tag,
            position=row.position,
            version=row.version,
            hash=leaf_of(row).hex(),
            actor=ActorView(kind=event.metadata.actor.kind, id=event.metadata.actor.id),
            data=in_camel_case(one["data"]),
            correlation_id=event.metadata.correlation_id,
            causation_id=event.metadata.causation_id,
            occurred_at=iso(event.metadata.occurred_at),
            recorded_at=iso(row.recorded_at),
            livemode=event.metadata.mode == "live",
        )
        for row, event, one in zip(rows, events, told, strict=True)
    ]


def proof_view(proof: OrderProof, keys: Sequence[str]) -> OrderProofView:
    """Render the proof of an order."""
    return OrderProofView(
        format="loop-order-proof/1",
        order_id=proof.order_id,
        checkpoint=checkpoint_view(proof.checkpoint),
        keys=list(keys),
        events=[_proven(event) for event in proof.events],
        consistency=[
            ConsistencyView(size=growth.size, proof=[part.hex() for part in growth.path])
            for growth in proof.growth
        ],
    )


def _proven(event: Proven) -> ProvenEventView:
    row = event.row
    return ProvenEventView(
        position=row.position,
        version=row.version,
        stream_id=row.stream_id,
        type=row.tag,
        recorded_at_micros=(row.recorded_at - _EPOCH) // timedelta(microseconds=1),
        state=base64.b64encode(row.state).decode(),
        hash=event.leaf.hex(),
        proof=None if event.path is None else [part.hex() for part in event.path],
    )
