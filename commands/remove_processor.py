"""The verb: no new attempt uses a processor account. What was begun with it goes on with it."""

from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import Ports
from domain.merchant import RemoveProcessor


async def remove_processor(ports: Ports, caller: Caller, processor: str) -> None:
    """Append `merchant.processor_removed` in the caller's mode; the credentials stay sealed.

    Raises:
        NotFound: no such merchant, or the processor is not configured.
        Conflict: `concurrent_change`.
    """
    await change_merchant(ports, caller, RemoveProcessor(processor=processor, mode=caller.mode))
