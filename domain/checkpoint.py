"""A checkpoint: what is signed about the audit tree, in the text form of C2SP tlog-checkpoint."""

import base64
import binascii
import re
from typing import Final

import msgspec

from domain.merkle import HASH_BYTES

SIZE_MAX: Final = 2**64 - 1
_SIZE: Final = re.compile("0|[1-9][0-9]{0,19}")


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The head of one log's audit tree.

    Attributes:
        origin: which log, `loop/{log id}`.
        size: leaves of the tree, which is the position of its last event.
        root: 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return what is signed: three lines, each with its line break."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read what `text` made; further lines are extensions and left alone.

        Raises:
            ValueError: it is no checkpoint.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):  # noqa: PLR2004 - three lines, an end
            raise ValueError("a checkpoint has an origin, a size and a root, a line each")
        origin, digits, encoded = lines[:3]
        if not _SIZE.fullmatch(digits) or int(digits) > SIZE_MAX:
            raise ValueError("a checkpoint's size is a decimal number of 64 bits")
        try:
            root = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            root = b""
        if len(root) != HASH_BYTES:
            raise ValueError("a checkpoint's root is 32 bytes in base64")
        return cls(origin=origin, size=int(digits), root=root)


def origin_of(log_id: str) -> str:
    """Return the name of a log in its checkpoints; a restored log has a new one."""
    return f"loop/{log_id}"
