"""The verb: no new attempt uses a processor account. What was begun with it goes on with it."""

from commands.caller import Caller
from commands.change_merchant import change_merchant, load_merchant
from commands.configure_processor import account_of
from commands.ports import Ports
from domain.errors import NotFound
from domain.events import ProcessorConfigured
from domain.merchant import RemoveProcessor


async def remove_processor(
    ports: Ports, caller: Caller, processor: str, *, force: bool = False
) -> None:
    """Append `merchant.processor_removed` in the caller's mode; the credentials stay sealed.

    `force` then destroys every version of them, also where the processor was removed before: what
    an open order still needs to ask the processor is from then on a matter for a person.

    Raises:
        NotFound: no such merchant, or the processor is not configured.
        Conflict: `concurrent_change`.
    """
    merchant = await load_merchant(ports, caller.merchant_id)
    configured = account_of(merchant, caller.mode, processor) is not None
    if configured or not force:
        await change_merchant(ports, caller, RemoveProcessor(processor=processor, mode=caller.mode))
    if force:
        await _destroyed(ports, caller, processor, configured=configured)


async def _destroyed(ports: Ports, caller: Caller, processor: str, *, configured: bool) -> None:
    rows = (await ports.store.load([caller.merchant_id]))[caller.merchant_id]
    ever = configured or any(
        isinstance(row.data, ProcessorConfigured)
        and (row.data.processor, row.data.mode) == (processor, caller.mode)
        for row in rows
    )
    if not ever:
        raise NotFound("not_found", "This processor is not configured.")
    await ports.vault.destroy_credentials(caller.merchant_id, caller.mode, processor)
