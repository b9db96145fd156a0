"""The verb: erase what is known of a customer, by destroying the keys that it is sealed under."""

from commands.caller import Caller
from commands.change_merchant import change_merchant, load_merchant
from commands.ports import Ports
from domain.errors import NotFound
from domain.merchant import EraseCustomer


async def erase_customer(ports: Ports, caller: Caller, *, customer_id: str) -> int:
    """Append `merchant.customer_erased`, then destroy all data keys of the customer in this mode.

    Return how many there were. In this order a crash between the two leaves keys, so the command
    is not acknowledged and finds them when it is repeated; the other order could leave no trace.

    Raises:
        NotFound: no such merchant, or nothing is kept of this customer.
    """
    await load_merchant(ports, caller.merchant_id)
    subject = ports.vault.customer_subject(caller.merchant_id, caller.mode, customer_id)
    if await ports.vault.count_keys(caller.merchant_id, subject) == 0:
        raise NotFound("not_found", "Nothing is kept of this customer.")
    await change_merchant(ports, caller, EraseCustomer(subject=subject, mode=caller.mode))
    return await ports.vault.destroy_keys(caller.merchant_id, subject)
