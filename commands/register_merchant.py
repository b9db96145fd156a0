"""The verb: register a merchant, ready for test payments."""

from msgspec.structs import replace

from commands.append import Claim
from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import Ports
from domain.ids import new_id
from domain.merchant import ConfigureProcessor, Merchant, Register
from domain.personal import Profile

SANDBOX = "sandbox"
LAST = 100
"""Priority of the sandbox: whatever else a merchant configures is preferred."""


async def register_merchant(
    ports: Ports,
    caller: Caller,
    *,
    name: str,
    email: str | None = None,
    claims: tuple[Claim, ...] = (),
    merchant_id: str | None = None,
) -> Merchant:
    """Make a merchant whose test mode can use the sandbox at once.

    `caller.merchant_id` is replaced by the new merchant's.

    Raises:
        commands.append.ClaimTaken: a claim has another owner; nothing was made.
    """
    merchant_id = merchant_id or new_id("mer")
    caller = replace(caller, merchant_id=merchant_id)
    sealed, key = await ports.vault.seal(
        Profile(name=name, email=email), merchant_id=merchant_id, mode=None, owner=merchant_id
    )
    register = Register(profile=sealed)
    keys = (key,) if key else ()
    await change_merchant(ports, caller, register, new=True, data_keys=keys, claims=claims)
    sandbox = ConfigureProcessor(
        processor=SANDBOX, mode="test", account=SANDBOX, credential_version=1, priority=LAST
    )
    return await change_merchant(ports, caller, sandbox)
