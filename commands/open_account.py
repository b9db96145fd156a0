"""The verb: open an account, which is a merchant and the log-in of the person behind it."""

from commands.accounts import Logins
from commands.caller import Caller
from commands.ports import Claim, ClaimTaken, Ports
from commands.register_merchant import register_merchant
from domain.ids import new_id
from domain.merchant import Merchant


class EmailTaken(Exception):
    """There is an account with this e-mail address; nothing was made."""


async def open_account(
    ports: Ports, logins: Logins, caller: Caller, *, name: str, email: str, password: str
) -> Merchant:
    """Keep the password's hash, then register the merchant with a claim on the address.

    In this order an account that exists can be logged in to; what a crash leaves is a hash that
    belongs to nobody. `caller.merchant_id` is replaced by the new merchant's.

    Raises:
        EmailTaken: somebody has the address, also if they were faster just now.
        Unavailable: `database_unavailable`, `overloaded`.
    """
    if await logins.owner(email) is not None:
        raise EmailTaken
    merchant_id = new_id("mer")
    claim = Claim(kind="email", scope="", value=logins.subject(email), owner=merchant_id)
    await logins.keep(merchant_id, password)
    try:
        return await register_merchant(
            ports, caller, name=name, email=email, claims=(claim,), merchant_id=merchant_id
        )
    except ClaimTaken:
        await logins.forget(merchant_id)
        raise EmailTaken from None
