"""Log-ins and sessions in Postgres, beside the log: password hashes, refresh tokens, their end."""

import hashlib
import secrets
import unicodedata
from typing import Final

from psycopg_pool import AsyncConnectionPool

from adapters.access_tokens import AccessTokens
from adapters.connect import borrowed
from adapters.passwords import Passwords
from adapters.vault import MasterKeys
from commands.accounts import Tokens
from domain.ids import new_id
from domain.merchant import SCOPES

SESSION_DAYS: Final = 30
"""A session that nobody renews ends after so many days."""

_OWNER: Final = "SELECT owner FROM claims WHERE kind = 'email' AND scope = '' AND value = %s"
_HASH: Final = (
    "SELECT c.owner, l.password_hash FROM claims c JOIN logins l ON l.merchant_id = c.owner "
    "WHERE c.kind = 'email' AND c.scope = '' AND c.value = %s"
)
_KEEP: Final = (
    "INSERT INTO logins (merchant_id, password_hash) VALUES (%s, %s) ON CONFLICT (merchant_id) "
    "DO UPDATE SET password_hash = excluded.password_hash, changed_at = clock_timestamp()"
)
_FORGET: Final = "DELETE FROM logins WHERE merchant_id = %s"
_BEGIN: Final = """
    WITH session AS (
        INSERT INTO api_keys (kind, key_hash, key_id, merchant_id, mode, scopes, expires_at)
        VALUES ('session', %s, %s, %s, 'test', %s, clock_timestamp() + make_interval(days => %s))
        RETURNING key_id
    ) INSERT INTO refresh_tokens (token_hash, session_id) SELECT %s, key_id FROM session
"""
# One statement takes the token: of two at once, one finds it used.
_USE: Final = """
    UPDATE refresh_tokens t SET used_at = clock_timestamp()
    FROM api_keys k
    WHERE t.token_hash = %s AND t.used_at IS NULL AND k.key_id = t.session_id
      AND k.revoked_at IS NULL AND k.expires_at > clock_timestamp()
    RETURNING k.key_id, k.merchant_id
"""
_EXTEND: Final = (
    "UPDATE api_keys SET expires_at = clock_timestamp() + make_interval(days => %s) "
    "WHERE key_id = %s"
)
_NEXT: Final = "INSERT INTO refresh_tokens (token_hash, session_id) VALUES (%s, %s)"
_END: Final = """
    UPDATE api_keys SET revoked_at = clock_timestamp()
    WHERE key_id = (SELECT session_id FROM refresh_tokens WHERE token_hash = %s)
      AND revoked_at IS NULL
"""
_EXPIRED: Final = """
    DELETE FROM api_keys WHERE key_id IN (
        SELECT key_id FROM api_keys WHERE kind = 'session' AND expires_at < clock_timestamp()
        ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED)
"""


class PostgresLogins:
    """See `commands.accounts.Logins`."""

    def __init__(
        self, pool: AsyncConnectionPool, master_keys: MasterKeys, tokens: AccessTokens
    ) -> None:
        self._pool = pool
        self._master = master_keys
        self._tokens = tokens
        self._passwords = Passwords()

    def close(self) -> None:
        """Let go of the threads that passwords are hashed in."""
        self._passwords.close()

    def subject(self, email: str) -> str:
        """See `commands.accounts.Logins.subject`."""
        plain = unicodedata.normalize("NFKC", email).casefold()
        return self._master.keyed_hash("email", plain).hex()

    async def owner(self, email: str) -> str | None:
        """See `commands.accounts.Logins.owner`."""
        async with borrowed(self._pool) as db:
            row = await (await db.execute(_OWNER, (self.subject(email),))).fetchone()
        return row[0] if row else None

    async def keep(self, merchant_id: str, password: str) -> None:
        """See `commands.accounts.Logins.keep`."""
        hashed = await self._passwords.hashed(password)
        async with borrowed(self._pool) as db:
            await db.execute(_KEEP, (merchant_id, hashed))

    async def forget(self, merchant_id: str) -> None:
        """See `commands.accounts.Logins.forget`."""
        async with borrowed(self._pool) as db:
            await db.execute(_FORGET, (merchant_id,))

    async def checked(self, email: str, password: str) -> str | None:
        """See `commands.accounts.Logins.checked`."""
        async with borrowed(self._pool) as db:
            row = await (await db.execute(_HASH, (self.subject(email),))).fetchone()
        fits = await self._passwords.fits(row[1] if row else None, password)
        return row[0] if row and fits else None

    async def begin(self, merchant_id: str) -> Tokens:
        """See `commands.accounts.Logins.begin`."""
        session_id, refresh = new_id("ses"), _refresh_token()
        key = session_hash(self._master, session_id)
        row = (key, session_id, merchant_id, list(SCOPES), SESSION_DAYS, _hashed(refresh))
        async with borrowed(self._pool) as db:
            await db.execute(_BEGIN, row)
        return Tokens(access=self._tokens.signed(merchant_id, session_id), refresh=refresh)

    async def renewed(self, refresh_token: str) -> Tokens | None:
        """See `commands.accounts.Logins.renewed`."""
        refresh = _refresh_token()
        async with borrowed(self._pool) as db, db.transaction():
            found = await (await db.execute(_USE, (_hashed(refresh_token),))).fetchone()
            if found is None:
                await db.execute(_END, (_hashed(refresh_token),))
                return None
            session_id, merchant_id = found
            await db.execute(_EXTEND, (SESSION_DAYS, session_id))
            await db.execute(_NEXT, (_hashed(refresh), session_id))
        return Tokens(access=self._tokens.signed(merchant_id, session_id), refresh=refresh)

    async def end(self, refresh_token: str) -> None:
        """See `commands.accounts.Logins.end`."""
        async with borrowed(self._pool) as db:
            await db.execute(_END, (_hashed(refresh_token),))


def session_hash(master_keys: MasterKeys, session_id: str) -> bytes:
    """Return what a session's key row is found under; no API key has such a hash."""
    return master_keys.keyed_hash("session", session_id)


def _refresh_token() -> str:
    return f"rt_{secrets.token_urlsafe(32)}"


def _hashed(refresh_token: str) -> bytes:
    """Return what is kept of a token; it is random enough to need no key."""
    return hashlib.sha256(refresh_token.encode()).digest()


async def expire_sessions(pool: AsyncConnectionPool, *, batch: int = 1000) -> int:
    """Delete sessions that are over, with their tokens; return how many.

    Raises:
        psycopg.Error: what was deleted until then stays deleted.
    """
    deleted = 0
    while True:
        async with pool.connection() as db:
            count = (await db.execute(_EXPIRED, (batch,))).rowcount
        deleted += count
        if count < batch:
            return deleted
