"""The four families of errors that a caller can act on; a bug is an assertion."""

from typing import Any


class LoopError(Exception):
    """Something that the caller has to know.

    Attributes:
        code: stable and machine readable, lower snake case.
        message: one sentence for a person; never holds secrets or card data.
        extra: further public members of the answer, JSON-ready.
    """

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extra = extra


class NotFound(LoopError):
    """It does not exist, or belongs to somebody else, or to the other mode: all the same answer."""


class Conflict(LoopError):
    """Somebody else was first; reading again shows what they did."""


class Rejected(LoopError):
    """A rule of the business says no; the same request will be refused again."""


class Unavailable(LoopError):
    """An engine that Loop needs cannot serve now; the same request may succeed later.

    Attributes:
        retry_after_s: when to try again.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s
