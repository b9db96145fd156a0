"""How vendors are called: again what a limiter turned away; what is not understood is doubt."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec

from commands.outcomes import Unknown

THROTTLE_WAITS_S: Final = (0.25, 0.5, 1.0)
"""Waits before a call that a limiter turned away is sent again: nothing had been done."""

_BENT: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    msgspec.MsgspecError,
)

_Answer = TypeVar("_Answer")


async def patiently(send: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Send once; again only what is `throttled`: turned away before it did anything."""
    for wait_s in THROTTLE_WAITS_S:
        answer = await send()
        if not getattr(answer, "throttled", False):
            return answer
        await asyncio.sleep(random.uniform(wait_s / 2, wait_s))  # noqa: S311 - jitter
    return await send()


def understood(read: Callable[..., _Answer], *given: Any) -> _Answer | Unknown:
    """Read an answer; one that is not as the vendor documents it is a doubt.

    What is read is looked at once more: where it has a text for a number, or nothing for an id.
    """
    try:
        answer = read(*given)
        if isinstance(answer, msgspec.Struct):
            msgspec.json.decode(msgspec.json.encode(answer), type=type(answer))
    except _BENT as error:
        return Unknown(cause=f"an answer that is not understood: {type(error).__name__}")
    return answer
