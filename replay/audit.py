"""Everything about the log computed anew and compared with tree, checkpoints and witness."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from adapters.log import Connection, Row, connect, pages
from adapters.notes import Verifier
from domain.merkle import HASH_BYTES, Edge
from replay import evidence
from replay.claims import Claim, Side, kept_claims
from replay.tampering import (
    FINDINGS_MAX,
    Finding,
    around,
    checkpoint_damaged,
    diagnose,
    inner_node,
    leaf_of,
    tree_damaged,
)

MISMATCHES_MAX: Final = 512
GAP_MAX: Final = 10_000
"""Events that are gone in one place and whose leaves are taken from the tree instead."""

_BEFORE_ALL: Final = -(2**62)

Verdict = Literal["verified", "unwitnessed", "tampered"]
Progress = Callable[[int, int], None]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the verification came to.

    Attributes:
        events: rows of the log.
        root: head of the tree over them, computed here.
        checkpoints: how many kept ones are signed by a key of this log and agree.
        signed: events under the newest of them.
        witnessed: events under the newest checkpoint of the witness that agrees; None without one.
    """

    verdict: Verdict
    events: int
    root: str
    checkpoints: int
    signed: int
    witnessed: int | None
    findings: tuple[Finding, ...]


async def verify(
    database_url: str,
    keys: Sequence[Verifier],
    *,
    witness: Sequence[Claim] | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Compute everything anew from the rows of the log, in one snapshot, and compare.

    Args:
        database_url: where the log, the tree and the kept checkpoints are.
        keys: whose signatures count.
        witness: checkpoints that were kept elsewhere.
        progress: told how many of how many events are done, about once per page.

    Raises:
        psycopg.Error: the database cannot be read.
    """
    async with await connect(database_url, "loop-audit") as db, db.transaction():
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        audit = _Audit(db, keys, witness)
        await audit.read(progress)
        return await audit.report()


class _Audit:
    """One pass over the log."""

    def __init__(
        self, db: Connection, keys: Sequence[Verifier], witness: Sequence[Claim] | None
    ) -> None:
        self._db = db
        self._keys = keys
        self._witness = None if witness is None else sorted(witness, key=lambda claim: claim.size)
        self._edge = Edge()
        self._next = 1
        self._broken = False  # an event is gone and nobody knows its leaf: no more heads
        self._rows = 0
        self._mismatches: list[Row] = []
        self._more = False
        self._tree_size = 0
        self._findings: list[Finding] = []
        self._inner: list[Finding] = []
        self._kept = Side()
        self._told = Side()

    async def read(self, progress: Progress) -> None:
        total = await evidence.count(self._db, "SELECT count(*) FROM events")
        has_tree = await evidence.count(
            self._db, "SELECT (to_regclass('audit_tree') IS NOT NULL)::int"
        )
        if has_tree:
            self._tree_size = await evidence.count(
                self._db, "SELECT coalesce(max(position), 0) FROM audit_tree"
            )
        claims = self._claims()
        pending = await anext(claims, None)
        last_at = None
        async for page in pages(self._db, _BEFORE_ALL):
            tree = (
                await evidence.tree_rows(self._db, range(page[0].position, page[-1].position + 1))
                if has_tree
                else {}
            )
            for row in page:
                await self._up_to(row.position - 1)
                self._take(row, tree)
                if last_at is not None and row.recorded_at < last_at:
                    self._note_time(row, tree)
                last_at = row.recorded_at
                while pending is not None and pending[1].checkpoint.size <= row.position:
                    self._hear(*pending)
                    pending = await anext(claims, None)
            self._rows += len(page)
            progress(self._rows, total)
        while pending is not None:
            self._hear(*pending)
            pending = await anext(claims, None)
        if self._rows != total:
            self._find("inserted", self._edge.size, self._edge.size, "rows share a position")

    async def _claims(self) -> AsyncIterator[tuple[Side, Claim]]:
        """Give the kept and the witnessed checkpoints by size."""
        witnessed = list(reversed(self._witness or ()))
        async for claim in kept_claims(self._db, self._keys):
            while witnessed and witnessed[-1].size <= claim.size:
                yield self._told, witnessed.pop()
            yield self._kept, claim
        while witnessed:
            yield self._told, witnessed.pop()

    async def _up_to(self, position: int) -> None:
        """Note the events that are not there before the next one that is; take their leaves."""
        first = self._next
        if first > position:
            return
        events = f"events {first} to {position} are" if position > first else f"event {first} is"
        self._find("missing", first, position, f"{events} not in the log")
        gap = range(first, min(position, first + GAP_MAX) + 1)
        held = await evidence.tree_rows(self._db, gap) if self._tree_size else {}
        for number in gap:
            leaf = held.get(number, b"")[:HASH_BYTES]
            self._broken = self._broken or len(leaf) != HASH_BYTES or len(gap) > GAP_MAX
            if self._broken:
                break
            self._edge.append(leaf)
        self._next = position + 1

    def _take(self, row: Row, tree: dict[int, bytes]) -> None:
        if row.position < self._next:
            detail = f"a row of {row.stream_id} stands at position {row.position}"
            self._find("inserted", row.position, row.position, detail)
            return
        leaf = leaf_of(row)
        ended = b"".join(self._edge.append(leaf))
        self._next = row.position + 1
        if row.position > self._tree_size or ended == tree.get(row.position):
            return
        known = tree.get(row.position, b"")
        if leaf != known[:HASH_BYTES]:
            if len(self._mismatches) < MISMATCHES_MAX:
                self._mismatches.append(row)
            else:
                self._more = True
        elif not (self._mismatches or self._inner or self._broken):
            self._inner.append(inner_node(row.position, known, ended))

    def _note_time(self, row: Row, tree: dict[int, bytes]) -> None:
        if row.position not in tree:
            detail = f"event {row.position} was recorded before the one in front of it"
            self._find("altered", row.position, row.position, detail)

    def _find(self, kind: Any, position: int, upto: int, detail: str) -> None:
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(Finding(kind=kind, position=position, upto=upto, detail=detail))

    def _hear(self, side: Side, claim: Claim) -> None:
        side.origins.add(claim.checkpoint.origin)
        if claim.trouble is not None and side is self._kept:
            side.unsigned.append(claim)
            return
        root = None if self._broken else self._edge.root()
        side.hear(claim, self._next - 1, root)

    async def report(self) -> Report:
        """Return what all of it comes to."""
        agrees = self._told.agrees
        if not self._told.differs:  # or else our own signatures are worth nothing
            agrees = max(agrees, self._kept.agrees)
        found = [*self._findings, *await self._compared_rows(agrees)]
        found += self._rewritten(found)
        found += self._damaged(agrees)
        found += await self._truncated(found)
        if not found:
            found += await evidence.versions(self._db)
        return Report(
            verdict="tampered" if found else "verified" if self._told.agreed else "unwitnessed",
            events=self._rows,
            root=self._edge.root().hex(),
            checkpoints=self._kept.agreed,
            signed=self._kept.agrees,
            witnessed=None if self._witness is None else self._told.agrees,
            findings=tuple(sorted(found, key=lambda f: (f.position, f.kind))[:FINDINGS_MAX]),
        )

    async def _compared_rows(self, agrees: int) -> list[Finding]:
        """Say what was done to rows whose leaves differ, or to the tree where they were signed."""
        rows = [row for row in self._mismatches if row.position > agrees]
        found = [
            tree_damaged(row.position, row.position)
            for row in self._mismatches
            if row.position <= agrees
        ]
        for inner in self._inner:
            covered = inner.upto <= agrees or not (self._kept.differs or self._told.differs)
            found.append(tree_damaged(inner.position, inner.upto) if covered else inner)
        hashes = await evidence.tree_rows(self._db, around(rows)) if rows else {}
        leaves = {position: held[:HASH_BYTES] for position, held in hashes.items()}
        return found + diagnose(rows, leaves, more=self._more)

    def _rewritten(self, found: Sequence[Finding]) -> list[Finding]:
        """Say where rows and tree are of one mind, but the signed heads are of another."""
        for side, whose in ((self._told, "the witness's"), (self._kept, "the kept")):
            for good, bad in side.differs:
                if any(f.position <= bad for f in found if f.kind not in {"tree", "checkpoint"}):
                    continue
                detail = (
                    f"up to event {good} the log is what was signed; up to event {bad} it is not"
                    f" ({whose} checkpoint of {bad} events)"
                )
                return [Finding(kind="rewritten", position=good + 1, upto=bad, detail=detail)]
        foreign = [c for c in self._kept.unsigned if c.foreign and c.size > self._kept.agrees]
        if not foreign or found:
            return []
        first, upto = self._kept.agrees + 1, foreign[-1].size
        detail = f"from event {first} on, no key of this log signed the checkpoints"
        return [Finding(kind="rewritten", position=first, upto=upto, detail=detail)]

    def _damaged(self, agrees: int) -> list[Finding]:
        """Name kept checkpoints that are not what was signed, though the log is."""
        found = [
            checkpoint_damaged(claim.size, claim.trouble or "")
            for claim in self._kept.unsigned
            if not claim.foreign or claim.size <= self._kept.agrees
        ]
        for good, bad in self._kept.wrong:
            if (good, bad) not in self._kept.differs and bad <= agrees:
                found.append(checkpoint_damaged(bad, "its root is not that of the log"))
        unused = {key.name for key in self._keys} - self._kept.origins if self._rows else set()
        for origin in sorted(unused):
            why = f"there is a key of {origin}, but nothing that it signed"
            found.append(checkpoint_damaged(self._next - 1, why))
        return found

    async def _truncated(self, found: Sequence[Finding]) -> list[Finding]:
        head = self._next - 1
        applied = await evidence.count(
            self._db, "SELECT (to_regclass('projection_positions') IS NOT NULL)::int"
        ) and await evidence.count(
            self._db, "SELECT coalesce(max(position), 0) FROM projection_positions"
        )
        last = max(self._tree_size, self._kept.beyond, self._told.beyond, applied)
        taken_out = sum(f.upto - f.position + 1 for f in found if f.kind == "missing")
        if last <= head + (taken_out if self._mismatches else 0):
            return []
        shown = {
            self._tree_size: "the audit tree has leaves",
            self._kept.beyond: "there is a signed checkpoint",
            self._told.beyond: "the witness has a checkpoint",
        }.get(last, "read models show events")
        detail = f"the log ends with event {head}, but {shown} up to event {last}"
        return [Finding(kind="truncated", position=head + 1, upto=last, detail=detail)]
