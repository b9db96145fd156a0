"""Reports of payouts: what a processor's files and its API say, in our words."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from commands.processor import Credentials
from domain.metadata import Mode
from domain.settlement import Report
from domain.settlement_facts import Key


class ReportError(ValueError):
    """A file that is not what the processor documents; nothing of it may be used.

    Attributes:
        line: of the file, from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class Reporter(Protocol):
    """One processor's reports."""

    def parse(self, text: str) -> list[Report]:
        """Read a file of its dashboard, whole or not at all, the earliest payout first.

        Raises:
            ReportError: it is not as documented.
        """
        ...

    async def fetch(self, since: datetime, credentials: Credentials) -> list[Report]:
        """Read the payouts since a time from its API, the earliest first.

        Raises:
            domain.errors.Unavailable: `processor_unavailable`; nothing was read.
        """
        ...


class SettlementIndex(Protocol):
    """What is known of orders by a processor's ids, and of what explains a line."""

    async def level(self) -> None:
        """Wait until everything that is in the log now is known.

        Raises:
            domain.errors.Unavailable: `read_model_behind`, no worker keeps it up.
        """
        ...

    async def orders_of(
        self, *, merchant_id: str, mode: Mode, processor: str, references: Sequence[str]
    ) -> dict[str, str]:
        """Return the orders that the processor's ids belong to."""
        ...

    async def taken(self, *, merchant_id: str, mode: Mode, keys: Collection[Key]) -> set[Key]:
        """Return which of these explain a line already, by the log as it is now."""
        ...
