"""Bodies of public events, made from the log each time: no copy of personal data is kept anywhere.

The same event gives the same bytes, until a customer is erased: then what was theirs reads null.
"""

import asyncio

import msgspec

from commands.ports import Ports
from commands.read_endpoint import open_endpoint
from commands.read_order import open_personal
from domain import events as e
from domain import merchant as merchants
from domain.endpoints import API_VERSIONS
from domain.events import Recorded
from domain.metadata import Metadata
from domain.order.evolve import fold
from domain.public_events import EventType
from projections.event_view import endpoint_event, endpoint_view, order_event


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which event, and how: `version` is that of its stream with the event."""

    stream_id: str
    version: int
    type: EventType
    sequence: int | None
    api_version: str = API_VERSIONS[-1]


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered event, and what the log says besides."""

    content: bytes
    metadata: Metadata


async def event_body(ports: Ports, wanted: Wanted) -> Body:
    """Return the body of an event; what callers ask for at one time is read together.

    Raises:
        domain.errors.Unavailable: the database is away, or a newer version has to read this.
    """
    rows = (await ports.store.load([wanted.stream_id]))[wanted.stream_id][: wanted.version]
    assert len(rows) == wanted.version, "an event that is told is in the log"
    meta = rows[-1].metadata
    if wanted.sequence is None:
        return Body(content=await _of_endpoint(ports, wanted, rows), metadata=meta)
    order = fold(rows)
    assert order is not None, "an order that something is told of exists"
    (personal,) = await open_personal(ports, [order])
    content = order_event(
        meta, wanted.type, wanted.sequence, order, personal, api_version=wanted.api_version
    )
    return Body(content=content, metadata=meta)


async def _of_endpoint(ports: Ports, wanted: Wanted, rows: tuple[Recorded, ...]) -> bytes:
    merchant = merchants.fold(rows)
    event = rows[-1].data
    assert merchant is not None, "a merchant registers before anything else"
    assert isinstance(event, e.EndpointChanged | e.EndpointTested), "others are of orders"
    endpoint = next(x for x in merchant.endpoints if x.id == event.endpoint_id)
    opened = await open_endpoint(ports, endpoint)
    view = endpoint_view(endpoint, url=opened.url, description=opened.description)
    return endpoint_event(rows[-1].metadata, wanted.type, view)


async def event_bodies(ports: Ports, wanted: list[Wanted]) -> list[bytes]:
    """Return the bodies of events, in order; raises as `event_body`."""
    found = await asyncio.gather(*(event_body(ports, one) for one in wanted))
    return [body.content for body in found]
