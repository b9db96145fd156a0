"""Where the servers of tests keep their data."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - folders in it have names of their own
ROOM_BYTES: Final = 3 << 30
"""For the servers of two sessions beside each other, several times over."""

SMALL: Final[Mapping[str, str]] = {"max_wal_size": "128MB"}
"""A server's settings, so that its log of a whole session does not pile up in memory."""


def in_memory() -> str | None:
    """Give the folder that is held in memory, None (the usual place) where it has little room.

    The servers flush what they acknowledge as everywhere: nothing here outlives the machine, and
    a disk that all of them wait for would only make the tests slow, and slower beside others.
    """
    try:
        room = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    return str(MEMORY) if room >= ROOM_BYTES and os.access(MEMORY, os.W_OK) else None
