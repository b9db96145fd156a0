"""Identifiers: TypeIDs, a prefix that names the kind and a time-ordered UUIDv7 in base32."""

import hashlib
import os
import re
import secrets
import threading
import time
from typing import Final

PREFIXES: Final = (
    "ord", "mer", "evt", "att", "cap", "ref", "dsp", "cs", "set", "whe", "whd", "key", "ses",
    "tok", "req",
)  # fmt: skip

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_SHIFTS: Final = tuple(range(120, -1, -10))
_SHAPE: Final = re.compile(r"([a-z]{2,3})_([0-7][0-9a-hjkmnp-tv-z]{25})")

_lock = threading.Lock()
_last = 0


def _uuid7() -> int:
    """Return a version 7 UUID as an integer, strictly rising within this process.

    48 bits of milliseconds, 12 bits of sub-millisecond time, 62 random bits (RFC 9562, method 3).
    """
    global _last  # noqa: PLW0603 - the last tick is what makes ids of one process rise
    now_ns = time.time_ns()
    ms, rest_ns = divmod(now_ns, 1_000_000)
    tick = (ms << 12) | (rest_ns * 4096 // 1_000_000)
    with _lock:
        tick = _last = max(tick, _last + 1)
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return ((tick >> 12) << 80) | (7 << 76) | ((tick & 0xFFF) << 64) | (2 << 62) | random


def new_id(prefix: str) -> str:
    """Return a new TypeID such as `ord_01h455vb4pex5vsknk084sn02q`."""
    assert prefix in PREFIXES, prefix
    value = _uuid7()
    return f"{prefix}_" + "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])


def named_id(prefix: str, *names: str) -> str:
    """Return the id that these names always give: a version 8 UUID of their SHA-256, no time in it.

    For what the world outside names, so that it exists once whoever brings it.
    """
    assert prefix in PREFIXES, prefix
    digest = hashlib.sha256("".join(f"{len(name)}:{name}" for name in names).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = value & ~(0xF << 76) & ~(3 << 62) | (8 << 76) | (2 << 62)
    return f"{prefix}_" + "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])


def is_id(text: str, prefix: str) -> bool:
    """Tell whether the text has the shape of a TypeID of that kind."""
    match = _SHAPE.fullmatch(text)
    return match is not None and match[1] == prefix


def sibling(text: str, prefix: str) -> str:
    """Return the id of another kind with the same suffix: a session and its order share theirs."""
    assert prefix in PREFIXES, prefix
    return f"{prefix}_{text.rpartition('_')[2]}"


def new_api_key(mode: str) -> str:
    """Return a fresh secret API key: `sk_test_` or `sk_live_` and 32 random url-safe characters."""
    return f"sk_{mode}_{secrets.token_urlsafe(24)}"
