"""What the audit's routes and verbs read: checkpoints, keys, stored rows and proofs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg_pool import AsyncConnectionPool

from adapters import log as events
from adapters.checkpoint_keys import verifiers
from adapters.checkpoints import latest
from adapters.connect import borrowed
from adapters.log import Row
from adapters.vault import MasterKeys
from domain.checkpoint import Checkpoint, origin_of
from domain.errors import NotFound, Unavailable
from gateway.audit_views import LatestCheckpointView, OrderProofView, latest_view, proof_view
from replay.proof import prove, stored_rows

_NONE_YET: Final = "There is no signed checkpoint yet."


@dataclass(frozen=True)
class PostgresAudit:
    """The audit over PostgreSQL.

    Every method raises `Unavailable`, `database_unavailable`, where it cannot be asked.
    """

    pool: AsyncConnectionPool
    master_keys: MasterKeys

    async def checkpoint(self) -> LatestCheckpointView:
        """Return the newest checkpoint and the log's keys.

        Raises:
            NotFound: nothing was signed yet.
        """
        async with borrowed(self.pool) as db:
            signed = await latest(db)
            keys = await self._keys(db)
        if signed is None:
            raise NotFound("not_found", _NONE_YET)
        return latest_view(signed, keys)

    async def rows(self, order_id: str) -> list[Row]:
        """Return an order's rows as they are stored."""
        async with borrowed(self.pool) as db:
            return await stored_rows(db, order_id)

    async def proof(self, order_id: str, others: Sequence[Checkpoint] = ()) -> OrderProofView:
        """Return the proof of an order's events.

        Raises:
            NotFound: nothing was signed yet.
            Unavailable: the tree is being replaced.
        """
        async with borrowed(self.pool) as db:
            try:
                proof = await prove(db, order_id, others=others)
            except LookupError as error:
                raise Unavailable("overloaded", "The audit tree is being rebuilt.") from error
            keys = await self._keys(db)
        if proof is None:
            raise NotFound("not_found", _NONE_YET)
        return proof_view(proof, keys)

    async def _keys(self, db: events.Connection) -> list[str]:
        origin = origin_of(await events.log_id(db))
        return [str(v) for v in await verifiers(db, self.master_keys) if v.name == origin]
