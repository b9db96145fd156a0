"""The leaf of the audit tree: what is hashed of one row of the log, for ever."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def leaf_hash(
    *, position: int, recorded_at: datetime, stream_id: str, version: int, tag: str, state: bytes
) -> bytes:
    """Return the RFC 6962 leaf hash (SHA-256, 32 bytes) of one row.

    Hashed are, in this order: a zero byte, position, recorded_at in microseconds since 1970 UTC,
    stream id, version, tag, state. Integers are 8 bytes big-endian; texts (UTF-8) and bytes are
    preceded by their length in the same form. `state` is taken as it is stored.
    """
    leaf = hashlib.sha256(b"\x00")
    for number in (position, (recorded_at - _EPOCH) // _MICROSECOND):
        leaf.update(number.to_bytes(8, "big"))
    for part in (stream_id.encode(), version, tag.encode(), state):
        if isinstance(part, int):
            leaf.update(part.to_bytes(8, "big"))
        else:
            leaf.update(len(part).to_bytes(8, "big") + part)
    return leaf.digest()
