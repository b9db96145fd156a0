"""The verb: open an account, which is a merchant and the log-in of the person behind it."""

import msgspec

from commands.accounts import Logins
from commands.append import Claim, ClaimTaken
from commands.caller import Caller
from commands.ports import Ports
from commands.register_merchant import register_merchant
from domain.ids import new_id
from domain.merchant import Merchant
from domain.metadata import Actor


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Who opens an account."""

    name: str
    email: str
    password: str

    def __repr__(self) -> str:
        return "NewAccount(***)"


class EmailTaken(Exception):
    """There is an account with this e-mail address; nothing was made."""


async def open_account(
    ports: Ports, logins: Logins, account: NewAccount, *, correlation_id: str, trace: str | None
) -> Merchant:
    """Keep the password's hash, then register the merchant with a claim on the address.

    In this order an account that exists can be logged in to; what a crash leaves is a hash that
    belongs to nobody.

    Raises:
        EmailTaken: somebody has the address, also if they were faster just now.
        Unavailable: `database_unavailable`, `overloaded`.
    """
    if await logins.owner(account.email) is not None:
        raise EmailTaken
    merchant_id = new_id("mer")
    caller = Caller(
        actor=Actor("user", merchant_id),
        merchant_id=merchant_id,
        mode="test",
        correlation_id=correlation_id,
        trace=trace,
    )
    claim = Claim(kind="email", scope="", value=logins.subject(account.email), owner=merchant_id)
    await logins.keep(merchant_id, account.password)
    try:
        return await register_merchant(
            ports,
            caller,
            name=account.name,
            email=account.email,
            claims=(claim,),
            merchant_id=merchant_id,
        )
    except ClaimTaken:
        await logins.forget(merchant_id)
        raise EmailTaken from None
