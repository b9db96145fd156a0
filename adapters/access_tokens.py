"""Access tokens: short-lived JWTs that name a merchant and the session they belong to."""

import time
from typing import Any, Final

import jwt

from adapters.vault import MasterKeys
from commands.accounts import AccessToken
from domain.ids import new_id

ALGORITHM: Final = "HS256"
ISSUER: Final = "loop"
AUDIENCE: Final = "loop-api"
LIFE_S: Final = 900
"""A token is good for so long, unless its session ends before."""
LENGTH_MAX: Final = 1024
CACHE_MAX: Final = 10_000

_REQUIRED: Final = ("iss", "aud", "sub", "sid", "jti", "iat", "exp")


class AccessTokens:
    """Signs and reads tokens; all processes of one database have the same key."""

    def __init__(self, master_keys: MasterKeys) -> None:
        self._key = master_keys.keyed_hash("access_token", ISSUER)
        self._read: dict[str, tuple[float, AccessToken]] = {}

    def signed(self, merchant_id: str, session_id: str, *, now: float | None = None) -> str:
        """Return a new token; `now` is the Unix time that it is issued at."""
        at = int(time.time() if now is None else now)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": merchant_id,
            "sid": session_id,
            "jti": new_id("tok"),
            "iat": at,
            "exp": at + LIFE_S,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def read(self, token: str) -> AccessToken | None:
        """Return whose token it is, None for one that is not ours, altered or over.

        Whether its session has ended is not known here.
        """
        found = self._read.get(token)
        if found is not None and time.time() < found[0]:
            return found[1]
        if len(token) > LENGTH_MAX:
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Another machine's clock may run ahead of ours, so `iat` decides nothing.
                options={"require": list(_REQUIRED), "strict_aud": True, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            self._read.pop(token, None)
            return None
        if not isinstance(claims["sid"], str) or not isinstance(claims["iat"], int):
            return None
        whose = AccessToken(merchant_id=claims["sub"], session_id=claims["sid"])
        if len(self._read) >= CACHE_MAX:
            self._read.clear()
        self._read[token] = (float(claims["exp"]), whose)
        return whose
