"""What a dispatcher finds out about endpoints, written to the log: they fail, work again, are gone.

It is appended beside the deliveries, which do not wait for it.
"""

import asyncio
from functools import partial
from typing import Final

import structlog

from adapters.delivery_rows import Failing
from commands.caller import Caller
from commands.change_endpoint import note_status
from commands.ports import Ports
from domain.endpoints import EndpointStatus
from domain.errors import LoopError
from domain.ids import new_id
from domain.metadata import Actor

FAILING_S: Final = 3600.0
FAILING_MIN: Final = 3
"""An endpoint is failing after so many attempts and seconds of nothing but failures."""

DISABLE_S: Final = 5 * 24 * 3600.0
"""An endpoint that failed for so long is disabled."""

log = structlog.get_logger(__name__)


class EndpointNotes:
    """The notes of one dispatcher; `cancel` gives up those under way."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._noting: set[asyncio.Task[None]] = set()
        self._noted: set[str] = set()

    def judge(self, merchant_id: str, failing: Failing) -> None:
        """Say that an endpoint fails or works again; disable it after failures for too long."""
        if failing.attempts < FAILING_MIN:
            return
        note = partial(self._note, merchant_id, failing.endpoint_id)
        if failing.failing_s is None:
            note("enabled", only_from="failing")
        elif failing.failing_s >= DISABLE_S:
            note("disabled", reason="nothing but failures for 5 days")
        elif failing.failing_s >= FAILING_S and failing.endpoint_id not in self._noted:
            self._noted.add(failing.endpoint_id)
            note("failing", only_from="enabled")
        if failing.failing_s is None:
            self._noted.discard(failing.endpoint_id)

    def gone(self, merchant_id: str, endpoint_id: str) -> None:
        """Disable an endpoint that answered so."""
        self._note(merchant_id, endpoint_id, "disabled", reason="it answered 410 Gone")

    def cancel(self) -> None:
        """Give up what is not appended yet; a later attempt finds it out again."""
        for task in self._noting:
            task.cancel()

    def _note(
        self,
        merchant_id: str,
        endpoint_id: str,
        status: EndpointStatus,
        *,
        only_from: EndpointStatus | None = None,
        reason: str | None = None,
    ) -> None:
        caller = Caller(
            actor=Actor("saga", "webhook-dispatcher"),
            merchant_id=merchant_id,
            mode="test",
            correlation_id=new_id("req"),
        )

        async def append() -> None:
            try:
                await note_status(
                    self._ports, caller, endpoint_id, status, only_from=only_from, reason=reason
                )
            except LoopError as error:
                # It is found out again at a later attempt.
                self._noted.discard(endpoint_id)
                log.warning("endpoint_not_noted", status=status, cause=error.code)

        task = asyncio.create_task(append())
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)
