"""Between events and stored bytes: JSON by msgspec, tags explicit, old shapes upcast."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder

from domain.events import EVENT_TYPES, AnyEvent, Recorded, tag_of
from domain.metadata import Metadata


class UnknownTag(Exception):
    """An event of a tag that this version does not know: its stream is left to newer workers."""

    def __init__(self, tag: str) -> None:
        super().__init__(f"unknown event tag {tag!r}")
        self.tag = tag


class CorruptEvent(Exception):
    """Stored bytes that do not fit their tag; the message names the stream and version."""


class _Raw(msgspec.Struct, frozen=True):
    """What the bytes of a row of an older shape hold."""

    metadata: dict[str, Any]
    data: dict[str, Any]


class Stored(msgspec.Struct, frozen=True):
    """What the bytes of a row hold."""

    metadata: Metadata
    data: AnyEvent


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Final[dict[str, Upcaster]] = {}
"""By old tag: takes the old `data` and returns it in the next shape, under the next tag."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Stored)
_raw_decoder: Final = msgspec.json.Decoder(_Raw)
_UPCASTS_MAX: Final = 100


def encode(metadata: Metadata, data: AnyEvent) -> bytes:
    """Return the state as it is stored and hashed."""
    return _encoder.encode(Stored(metadata, data))


def decode(tag: str, state: bytes) -> Stored:
    """Return what a row holds, in the newest shape.

    Raises:
        UnknownTag: no event of this version has the tag, and no upcaster takes it.
        msgspec.ValidationError: the bytes do not fit the tag.
    """
    kind = EVENT_TYPES.get(tag)
    if kind is None:
        return _upcast(tag, state)
    stored = _decoder.decode(state)
    if type(stored.data) is not kind:
        raise msgspec.ValidationError(f"the bytes are those of a {tag_of(stored.data)}")
    return stored


def _upcast(tag: str, state: bytes) -> Stored:
    if tag not in UPCASTERS:
        raise UnknownTag(tag)
    raw = _raw_decoder.decode(state)
    data = raw.data
    if data.get("tag") != tag:
        raise msgspec.ValidationError(f"the bytes are those of a {data.get('tag')}")
    for _ in range(_UPCASTS_MAX):
        if data["tag"] not in UPCASTERS:
            break
        try:
            data = UPCASTERS[data["tag"]](data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise msgspec.ValidationError(f"{data['tag']} has another shape: {error!r}") from error
    if data["tag"] not in EVENT_TYPES:
        raise UnknownTag(data["tag"])
    return msgspec.convert({"metadata": raw.metadata, "data": data}, Stored)


def decode_row(
    *,
    stream_id: str,
    version: int,
    topic: str,
    state: bytes,
    position: int,
    recorded_at: datetime,
) -> Recorded:
    """Return a row of the log as the domain reads it.

    Raises:
        UnknownTag: see `decode`.
        CorruptEvent: the bytes do not fit the tag.
    """
    try:
        stored = decode(topic, state)
    except msgspec.MsgspecError as error:
        raise CorruptEvent(f"{stream_id} version {version} ({topic}): {error}") from error
    return Recorded(
        stream_id=stream_id,
        version=version,
        position=position,
        recorded_at=recorded_at,
        metadata=stored.metadata,
        data=stored.data,
    )


class LogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its place in a stream: the library calls it a domain event."""

    originator_id: str
    originator_version: int
    metadata: Metadata
    data: AnyEvent


class NoTranscoder(Transcoder):
    """Stands where the library wants a transcoder: the mapper needs none."""

    def encode(self, obj: Any) -> bytes:
        """Never called."""
        raise AssertionError(f"the mapper encodes {type(obj)}")

    def decode(self, data: bytes) -> Any:
        """Never called."""
        raise AssertionError(f"the mapper decodes {len(data)} bytes")


class LogMapper(Mapper[str]):
    """The library's mapper on our codec; topics are tags, states are our bytes."""

    def to_stored_event(self, domain_event: LogEvent) -> StoredEvent:  # type: ignore[override]
        """Return the stored form of an event."""
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=tag_of(type(domain_event.data)),
            state=encode(domain_event.metadata, domain_event.data),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> LogEvent:  # type: ignore[override]
        """Return the event of a stored form; raises as `decode`."""
        stored = decode(stored_event.topic, stored_event.state)
        return LogEvent(
            originator_id=str(stored_event.originator_id),
            originator_version=stored_event.originator_version,
            metadata=stored.metadata,
            data=stored.data,
        )
