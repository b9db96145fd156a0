"""Passwords: argon2id, beside the event loop, few at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.errors import Unavailable

MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
"""With one lane, what OWASP asks for at least; about 30 ms of one core."""
AT_ONCE: Final = 2
WAITING_MAX: Final = 256
"""Who comes when so many wait is told to try again."""

P = ParamSpec("P")
R = TypeVar("R")


class Passwords:
    """Hashes and verifies. The threads start with the first use and end with `close`."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1, hash_len=32, salt_len=16
        )
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._waiting = 0
        self._of_nobody: str | None = None

    def close(self) -> None:
        """Let go of the threads; who is under way finishes."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hashed(self, password: str) -> str:
        """Return the encoded hash with its own salt and parameters.

        Raises:
            Unavailable: `overloaded`.
        """
        return await self._aside(self._hash, password)

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Tell whether this is the password; without a hash it takes as long, and is none.

        Raises:
            Unavailable: `overloaded`.
        """
        return await self._aside(self._verify, password_hash, password)

    def _hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        if self._of_nobody is None:
            self._of_nobody = self._hasher.hash("the password of nobody")
        try:
            self._hasher.verify(password_hash or self._of_nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _aside(self, work: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
        if self._waiting >= WAITING_MAX:
            raise Unavailable("overloaded", "Too many people log in at once; try again.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, partial(work, *given, **named))
        finally:
            self._waiting -= 1
