"""The keys that sign checkpoints: sealed under the master key, the newest signs, all verify."""

import os
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from adapters.notes import Signer, Verifier
from adapters.vault import MasterKeys

_OWNER: Final = "checkpoint_keys"
_NOBODY: Final = ""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('loop.checkpoint_keys', 0))"
_ALL: Final = "SELECT field, box FROM secrets WHERE merchant_id = %s AND owner = %s ORDER BY field"
_ADD: Final = "INSERT INTO secrets (merchant_id, owner, field, box) VALUES (%s, %s, %s, %s)"


class _Kept(msgspec.Struct, frozen=True):
    """What is sealed of a key; `name` is the origin of the log that it was made for."""

    name: str
    seed: bytes


async def signers(db: AsyncConnection[Any], master: MasterKeys) -> list[Signer]:
    """Return all keys of this database, the oldest first; none before the first checkpoint.

    Raises:
        adapters.vault.MasterKeyError: a row was not sealed here.
    """
    cursor = await db.execute(_ALL, (_NOBODY, _OWNER))
    found: list[Signer] = []
    for field, box in await cursor.fetchall():
        raw = master.unwrap(bytes(box), _place(field))
        kept = msgspec.json.decode(raw, type=_Kept)
        found.append(Signer(kept.name, kept.seed))
    return found


async def verifiers(db: AsyncConnection[Any], master: MasterKeys) -> list[Verifier]:
    """Return the public keys of `signers`, in the same order."""
    return [signer.verifier for signer in await signers(db, master)]


async def signer_of(db: AsyncConnection[Any], master: MasterKeys, origin: str) -> Signer:
    """Return the newest key of a log, made now if it has none."""
    async with db.transaction():
        await db.execute(_LOCK)
        own = [s for s in await signers(db, master) if s.verifier.name == origin]
        return own[-1] if own else await _add(db, master, origin)


async def rotate(db: AsyncConnection[Any], master: MasterKeys, origin: str) -> Signer:
    """Make a new key for a log; it signs from the next checkpoint on, the old ones still verify."""
    async with db.transaction():
        await db.execute(_LOCK)
        return await _add(db, master, origin)


async def _add(db: AsyncConnection[Any], master: MasterKeys, origin: str) -> Signer:
    number = 1 + len(await signers(db, master))
    field, seed = f"{number:06d}", os.urandom(32)
    box = master.wrap(msgspec.json.encode(_Kept(origin, seed)), _place(field))
    await db.execute(_ADD, (_NOBODY, _OWNER, field, box))
    return Signer(origin, seed)


def _place(field: str) -> str:
    """Return what a box is bound to, as `PostgresVault` binds secrets."""
    return f"secret:{_NOBODY}:{_OWNER}:{field}"
