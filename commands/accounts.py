"""What the verbs of people's accounts need from outside: passwords, sessions, log-ins."""

from typing import Protocol

import msgspec


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """Whose access token it is."""

    merchant_id: str
    session_id: str


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody who has logged in is given; shown to nobody again.

    Attributes:
        access: a JWT, good for a quarter of an hour.
        refresh: good once, for the next pair.
    """

    access: str
    refresh: str

    def __repr__(self) -> str:
        return "Tokens(***)"


class Logins(Protocol):
    """Log-ins and sessions; what is kept of both stands beside the log.

    Every method raises `Unavailable`: `database_unavailable`, `overloaded`.
    """

    def subject(self, email: str) -> str:
        """Return the keyed hash that an e-mail address is claimed under, however it is cased."""
        ...

    async def owner(self, email: str) -> str | None:
        """Return the merchant that has claimed the address."""
        ...

    async def keep(self, merchant_id: str, password: str) -> None:
        """Keep the hash of a merchant's password; replaces an older one."""
        ...

    async def forget(self, merchant_id: str) -> None:
        """Drop what `keep` kept."""
        ...

    async def checked(self, email: str, password: str) -> str | None:
        """Return the merchant whose log-in this is; as slow for an address that nobody has."""
        ...

    async def begin(self, merchant_id: str) -> Tokens:
        """Begin a session."""
        ...

    async def renewed(self, refresh_token: str) -> Tokens | None:
        """Return the next pair of a session; None ends the session if the token was used before."""
        ...

    async def end(self, refresh_token: str) -> None:
        """End the session of a token at once, in all processes; nothing for an unknown one."""
        ...
