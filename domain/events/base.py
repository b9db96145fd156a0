"""What all events are: a frozen struct with a tag that ends in the version of its shape."""

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="tag", omit_defaults=True):
    """Base of all events: frozen, keyword only, tagged."""


def tag_of(event: Event | type[Event]) -> str:
    """Return the event's tag, for example `order.created.v1`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
