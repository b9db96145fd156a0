"""The vault: AES-256-GCM for personal data in events and for secrets in rows, keys wrapped."""

import asyncio
import copy
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.coalesce import Coalesced
from adapters.connect import borrowed
from commands.append import DataKeyRow
from commands.processor import Credentials
from domain.metadata import Mode, Sealed

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32

_BY_ID: Final = "SELECT key_id, wrapped, merchant_id FROM data_keys WHERE key_id = ANY(%s::text[])"
_BY_SUBJECT: Final = (
    "SELECT d.merchant_id, d.subject, d.key_id, d.wrapped FROM data_keys d "
    "JOIN unnest(%s::text[], %s::text[]) AS k (merchant_id, subject) "
    "ON d.merchant_id = k.merchant_id AND d.subject = k.subject ORDER BY d.key_id"
)
_COUNT_KEYS: Final = "SELECT count(*) FROM data_keys WHERE merchant_id = %s AND subject = %s"
_DESTROY_KEYS: Final = "DELETE FROM data_keys WHERE merchant_id = %s AND subject = %s"
_PUT: Final = (
    "INSERT INTO secrets (merchant_id, owner, field, box) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (merchant_id, owner, field) DO UPDATE SET box = excluded.box"
)
_ADD: Final = (
    "INSERT INTO secrets (merchant_id, owner, field, box) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (merchant_id, owner, field) DO NOTHING"
)
_DESTROY: Final = (
    "DELETE FROM secrets WHERE merchant_id = %s AND starts_with(owner, %s) "
    "AND field = 'credentials'"
)
_GET: Final = (
    "SELECT s.merchant_id, s.owner, s.field, s.box FROM secrets s "
    "JOIN unnest(%s::text[], %s::text[], %s::text[]) AS k (merchant_id, owner, field) "
    "ON s.merchant_id = k.merchant_id AND s.owner = k.owner AND s.field = k.field"
)


class MasterKeyError(Exception):
    """`LOOP_MASTER_KEYS` is not a list of `id:hex` pairs with 32-byte keys, or does not open a box.

    Then an id is missing, or its key is another one, or the box was altered or moved.
    """


class MasterKeys:
    """The keys that wrap all others; the first one wraps, all of them open.

    Written as `id:64 hex digits`, several separated by commas, the newest first. The hashes under
    which API keys and customers are found are made with a key of their own, which stays when
    master keys come and go (`adapters/hash_key.py`); without one the oldest master key makes them.
    """

    def __init__(self, text: str) -> None:
        self._ciphers: dict[str, AESGCM] = {}
        self._hash_key = b""
        for part in text.split(","):
            key_id, _, digits = part.strip().partition(":")
            try:
                key = bytes.fromhex(digits)
            except ValueError:
                key = b""
            if not (key_id.isascii() and key_id.isalnum()) or len(key) != _KEY_BYTES:
                raise MasterKeyError("LOOP_MASTER_KEYS must be id:64-hex-digits, comma separated")
            if key_id in self._ciphers:
                raise MasterKeyError("LOOP_MASTER_KEYS has two keys of one id")
            self._ciphers[key_id] = AESGCM(key)
            # Derived, because it is kept: the oldest key itself must be gone once it is removed.
            self._hash_key = hmac.digest(key, b"loop hash key", hashlib.sha256)
        self.newest = next(iter(self._ciphers))

    def __repr__(self) -> str:
        return "MasterKeys(***)"

    def wrap(self, plain: bytes, bound_to: str) -> bytes:
        """Seal bytes for a place; they open in no other place."""
        return self.newest.encode() + b":" + _seal(self._ciphers[self.newest], plain, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: str) -> bytes:
        """Open what `wrap` sealed for the same place.

        Raises:
            MasterKeyError: the key that sealed it is not configured, or bytes or place are not
                what was sealed.
        """
        key_id, _, box = wrapped.partition(b":")
        cipher = self._ciphers.get(key_id.decode("ascii", "replace"))
        if cipher is None:
            raise MasterKeyError("a master key that is still in use is missing")
        return _open(cipher, box, bound_to)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the newest first."""
        return tuple(self._ciphers)

    def first_hash_key(self) -> bytes:
        """Return what `keyed_hash` is made with until another key is set, 32 bytes."""
        return self._hash_key

    def with_hash_key(self, hash_key: bytes) -> "MasterKeys":
        """Return the same keys, whose hashes are made with this one."""
        other = copy.copy(self)
        other._hash_key = hash_key  # noqa: SLF001 - a copy of ourselves
        return other

    def keyed_hash(self, purpose: str, value: str) -> bytes:
        """Return a 32-byte hash that nobody can compute without the hash key."""
        return hmac.digest(self._hash_key, f"{purpose}\0{value}".encode(), hashlib.sha256)


def _seal(cipher: AESGCM, plain: bytes, bound_to: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, bound_to.encode())


def _open(cipher: AESGCM, box: bytes, bound_to: str) -> bytes:
    try:
        return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError) as error:  # ValueError: too short to be a box
        raise MasterKeyError("a box was altered or moved, or its key is another one") from error


class PostgresVault:
    """The vault over PostgreSQL. Start it with `run`, which ends after `close`."""

    def __init__(
        self, database_url: str, pool: AsyncConnectionPool, master_keys: MasterKeys
    ) -> None:
        self._pool = pool
        self._master = master_keys
        self._by_id: Coalesced[str, Any] = Coalesced(database_url, _load_by_id)
        self._by_subject: Coalesced[tuple[str, str], Any] = Coalesced(
            database_url, _load_by_subject
        )
        self._secrets: Coalesced[tuple[str, str, str], bytes | None] = Coalesced(
            database_url, _load_secrets
        )

    async def run(self) -> None:
        """Serve until `close`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._by_id.run())
            tasks.create_task(self._by_subject.run())
            tasks.create_task(self._secrets.run())

    def close(self) -> None:
        """Take nothing more."""
        self._by_id.close()
        self._by_subject.close()
        self._secrets.close()

    async def seal(
        self,
        value: Any,
        *,
        merchant_id: str,
        mode: Mode | None,
        owner: str,
        customer_id: str | None = None,
        beside: Sealed | None = None,
    ) -> tuple[Sealed, DataKeyRow | None]:
        """See `commands.ports.Vault.seal`."""
        subject = owner
        if customer_id is not None:
            assert mode is not None, "a customer is one of a mode"
            subject = self.customer_subject(merchant_id, mode, customer_id)
        found = None
        if beside is not None:
            found = await self._by_id.get(beside.key)
        if found is None and (customer_id is not None or beside is not None):
            found = await self._by_subject.get((merchant_id, subject))
        row = None
        if found is None:
            key_id, key = os.urandom(8).hex(), AESGCM.generate_key(bit_length=256)
            wrapped = self._master.wrap(key, f"data_key:{merchant_id}:{key_id}")
            row = DataKeyRow(
                key_id=key_id, subject=subject, merchant_id=merchant_id, wrapped=wrapped
            )
        else:
            key_id, key = found[0], self._unwrap(found)
        box = _seal(AESGCM(key), msgspec.json.encode(value), f"sealed:{key_id}")
        return Sealed(key_id, box), row

    def customer_subject(self, merchant_id: str, mode: Mode, customer_id: str) -> str:
        """See `commands.ports.Vault.customer_subject`."""
        return self._master.keyed_hash("customer", f"{merchant_id}\0{mode}\0{customer_id}").hex()

    def _unwrap(self, found: tuple[str, bytes, str]) -> bytes:
        key_id, wrapped, merchant_id = found
        return self._master.unwrap(wrapped, f"data_key:{merchant_id}:{key_id}")

    async def open(self, sealed: Sequence[Sealed]) -> list[bytes | None]:
        """See `commands.ports.Vault.open`.

        Raises:
            MasterKeyError: a box or its key does not open.
            Unavailable: `database_unavailable`.
        """
        ids = list(dict.fromkeys(box.key for box in sealed))
        rows = await asyncio.gather(*(self._by_id.get(key_id) for key_id in ids))
        ciphers = {
            key_id: AESGCM(self._unwrap(row))
            for key_id, row in zip(ids, rows, strict=True)
            if row is not None
        }
        return [
            _open(ciphers[box.key], box.box, f"sealed:{box.key}") if box.key in ciphers else None
            for box in sealed
        ]

    async def count_keys(self, merchant_id: str, subject: str) -> int:
        """See `commands.ports.Vault.count_keys`."""
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(_COUNT_KEYS, (merchant_id, subject))).fetchone()
        assert row is not None, "an aggregate has one row"
        return int(row[0])

    async def destroy_keys(self, merchant_id: str, subject: str) -> int:
        """See `commands.ports.Vault.destroy_keys`."""
        async with borrowed(self._pool) as connection:
            return (await connection.execute(_DESTROY_KEYS, (merchant_id, subject))).rowcount

    async def put_secret(self, owner: str, field: str, value: bytes, *, merchant_id: str) -> None:
        """See `commands.ports.Vault.put_secret`."""
        box = self._master.wrap(value, f"secret:{merchant_id}:{owner}:{field}")
        async with borrowed(self._pool) as connection:
            await connection.execute(_PUT, (merchant_id, owner, field, box))

    async def get_secret(self, owner: str, field: str, *, merchant_id: str) -> bytes | None:
        """See `commands.ports.Vault.get_secret`."""
        box = await self._secrets.get((merchant_id, owner, field))
        if box is None:
            return None
        return self._master.unwrap(box, f"secret:{merchant_id}:{owner}:{field}")

    async def credentials(
        self, merchant_id: str, mode: Mode, processor: str, version: int
    ) -> Credentials:
        """See `commands.ports.Vault.credentials`."""
        owner = f"{merchant_id}:{mode}:{processor}:{version}"
        raw = await self.get_secret(owner, "credentials", merchant_id=merchant_id)
        return Credentials(msgspec.json.decode(raw, type=dict[str, str]) if raw else {})

    async def destroy_credentials(self, merchant_id: str, mode: Mode, processor: str) -> int:
        """See `commands.ports.Vault.destroy_credentials`."""
        versions = f"{merchant_id}:{mode}:{processor}:"
        async with borrowed(self._pool) as connection:
            return (await connection.execute(_DESTROY, (merchant_id, versions))).rowcount

    async def add_credentials(
        self,
        merchant_id: str,
        mode: Mode,
        processor: str,
        version: int,
        credentials: Credentials,
    ) -> bool:
        """See `commands.ports.Vault.add_credentials`."""
        owner, field = f"{merchant_id}:{mode}:{processor}:{version}", "credentials"
        raw = msgspec.json.encode(credentials.values)
        box = self._master.wrap(raw, f"secret:{merchant_id}:{owner}:{field}")
        async with borrowed(self._pool) as connection:
            done = await connection.execute(_ADD, (merchant_id, owner, field, box))
        return done.rowcount == 1


async def _load_by_id(connection: AsyncConnection[Any], ids: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(ids)
    rows = await (await connection.execute(_BY_ID, (ids,))).fetchall()
    found.update({row[0]: (row[0], bytes(row[1]), row[2]) for row in rows})
    return found


async def _load_by_subject(
    connection: AsyncConnection[Any], subjects: list[tuple[str, str]]
) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = dict.fromkeys(subjects)
    merchants, names = _columns(subjects)
    for merchant_id, subject, key_id, wrapped in await (
        await connection.execute(_BY_SUBJECT, (merchants, names))
    ).fetchall():
        found[merchant_id, subject] = (key_id, bytes(wrapped), merchant_id)
    return found


async def _load_secrets(
    connection: AsyncConnection[Any], places: list[tuple[str, str, str]]
) -> dict[tuple[str, str, str], bytes | None]:
    found: dict[tuple[str, str, str], bytes | None] = dict.fromkeys(places)
    columns = [list(column) for column in zip(*places, strict=True)]
    for merchant_id, owner, field, box in await (
        await connection.execute(_GET, columns)
    ).fetchall():
        found[merchant_id, owner, field] = bytes(box)
    return found


def _columns(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [a for a, _ in pairs], [b for _, b in pairs]
