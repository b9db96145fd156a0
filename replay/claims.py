"""Checkpoints that the log is held against: the kept ones, and those of a witness."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from adapters.log import PAGE, Connection
from adapters.notes import NoteError, Verifier, open_note
from domain.checkpoint import Checkpoint

_PAGE: Final = """
SELECT origin, size, root, note FROM checkpoints WHERE (size, origin) > (%s, %s)
ORDER BY size, origin LIMIT %s
"""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that the log is held against.

    Attributes:
        trouble: why it proves nothing, None where it is signed by a key of this log.
        foreign: it is well made, but no key of ours signed it.
    """

    checkpoint: Checkpoint
    trouble: str | None = None
    foreign: bool = False

    @property
    def size(self) -> int:
        """The events that it covers."""
        return self.checkpoint.size


def claim_of(note: str, keys: Sequence[Verifier]) -> Claim:
    """Read a signed checkpoint.

    Raises:
        ValueError: it is none at all.
    """
    try:
        opened = open_note(note, keys)
    except NoteError as error:
        text = note.partition("\n\n")[0] + "\n"
        return Claim(checkpoint=Checkpoint.parse(text), trouble=str(error))
    checkpoint = Checkpoint.parse(opened.text)
    if not any(verifier.name == checkpoint.origin for verifier in opened.signed_by):
        trouble = "no key of this log signed it"
        return Claim(checkpoint=checkpoint, trouble=trouble, foreign=True)
    return Claim(checkpoint=checkpoint)


async def kept_claims(db: Connection, keys: Sequence[Verifier]) -> AsyncIterator[Claim]:
    """Give the checkpoints that the database keeps, by size."""
    after: tuple[int, str] = (-1, "")
    while True:
        rows = await (await db.execute(_PAGE, (*after, PAGE))).fetchall()
        for origin, size, root, note in rows:
            after = (size, origin)
            yield _kept(Checkpoint(origin=origin, size=size, root=root), note, keys)
        if len(rows) < PAGE:
            return


def _kept(columns: Checkpoint, note: str, keys: Sequence[Verifier]) -> Claim:
    try:
        claim = claim_of(note, keys)
    except ValueError as error:
        return Claim(checkpoint=columns, trouble=str(error))
    if claim.checkpoint != columns:
        return Claim(checkpoint=columns, trouble="its columns are not what was signed")
    return claim


class Side:
    """What the checkpoints of one keeper come to.

    Attributes:
        origins: the logs that there are checkpoints of.
        agreed: how many that our keys signed say what the log says; `agrees` is the size of the
            largest.
        differs: (largest size that agrees before, first size that does not), while none after it
            agrees again; `wrong` keeps them all.
        beyond: the largest size that the log does not reach.
        unsigned: those that prove nothing.
    """

    def __init__(self) -> None:
        self.agreed = self.agrees = self.beyond = 0
        self.differs: list[tuple[int, int]] = []
        self.wrong: list[tuple[int, int]] = []
        self.unsigned: list[Claim] = []
        self.origins: set[str] = set()

    def hear(self, claim: Claim, size: int, root: bytes | None) -> None:
        """Take one more checkpoint, in the order of sizes.

        Args:
            claim: what it says.
            size: events of the log that were read, at least as many as the claim covers, or all.
            root: of the tree over exactly these, None where nobody can know it.
        """
        if claim.size > size:
            self.beyond = max(self.beyond, claim.size)
        elif root is None or claim.size != size:
            return
        elif claim.checkpoint.root != root:
            self.wrong.append((self.agrees, claim.size))
            self.differs = self.differs or self.wrong[-1:]
        elif claim.trouble is None:
            self.agreed += 1
            self.agrees = claim.size
            self.differs.clear()
