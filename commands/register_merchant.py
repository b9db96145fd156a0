"""The verb: register a merchant, ready for test payments."""

from msgspec.structs import replace

from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import Ports
from domain.ids import new_id
from domain.merchant import ConfigureProcessor, Merchant, Register
from domain.personal import Profile

SANDBOX = "sandbox"


async def register_merchant(ports: Ports, caller: Caller, *, name: str) -> Merchant:
    """Make a merchant whose test mode can use the sandbox at once.

    `caller.merchant_id` is replaced by the new merchant's.
    """
    merchant_id = new_id("mer")
    caller = replace(caller, merchant_id=merchant_id)
    sealed, key = await ports.vault.seal(
        Profile(name=name), merchant_id=merchant_id, mode=None, owner=merchant_id
    )
    register = Register(profile=sealed)
    await change_merchant(ports, caller, register, new=True, data_keys=(key,) if key else ())
    sandbox = ConfigureProcessor(
        processor=SANDBOX, mode="test", account=SANDBOX, credential_version=1
    )
    return await change_merchant(ports, caller, sandbox)
