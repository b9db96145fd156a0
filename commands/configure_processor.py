"""The verb: let a merchant use a processor account. Its credentials go to the vault, by version."""

from typing import Final

import msgspec

from commands.caller import Caller, Idempotency
from commands.change_merchant import change_merchant, load_merchant
from commands.ports import Ports
from commands.processor import Credentials, Processor
from domain.errors import Rejected
from domain.events import ProcessorConfigured
from domain.merchant import ConfigureProcessor, Merchant
from domain.metadata import Mode
from domain.routing import Account

VERSIONS_MAX: Final = 10_000


class ProcessorAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A processor account to be used from now on, in the caller's mode.

    Attributes:
        credentials: None keeps those that are configured.
        added: members that replace those of the same name in what is configured.
        priority: a lower one is preferred where no rule decides.
    """

    processor: str
    credentials: Credentials | None = None
    added: Credentials | None = None
    enabled: bool = True
    priority: int = 1


async def configure_processor(
    ports: Ports,
    caller: Caller,
    wanted: ProcessorAccount,
    *,
    idempotency: Idempotency | None = None,
    status: int = 200,
) -> Account:
    """Seal new credentials as a new version, then append `merchant.processor_configured`.

    Older versions stay: attempts that were routed with them still need them.

    Raises:
        NotFound: no such merchant.
        Rejected: `unknown_processor`, `credentials_required`, `credentials_refused`.
        Conflict: `concurrent_change`.
        commands.append.AlreadyAnswered: the idempotency key was used before.
    """
    processor = ports.processors.get(wanted.processor)
    if processor is None:
        raise Rejected("unknown_processor", f"There is no processor {wanted.processor!r}.")
    merchant = await load_merchant(ports, caller.merchant_id)
    current = account_of(merchant, caller.mode, wanted.processor)
    credentials = wanted.credentials
    if wanted.added is not None and current is not None:
        kept = await ports.vault.credentials(
            caller.merchant_id, caller.mode, wanted.processor, current.credential_version
        )
        credentials = Credentials({**kept.values, **wanted.added.values})
    if credentials is not None:
        fingerprint = _account_of(processor, credentials, caller)
        version = await _kept(ports, caller, wanted.processor, credentials)
    elif current is not None:
        fingerprint, version = current.fingerprint, current.credential_version
    else:
        raise Rejected("credentials_required", f"{wanted.processor} has no credentials yet.")
    command = ConfigureProcessor(
        processor=wanted.processor,
        mode=caller.mode,
        account=fingerprint,
        credential_version=version,
        enabled=wanted.enabled,
        priority=wanted.priority,
    )
    after = await change_merchant(
        ports, caller, command, idempotency=idempotency, subject=wanted.processor, status=status
    )
    account = account_of(after, caller.mode, wanted.processor)
    assert account is not None, "it was just configured"
    return account


def account_of(merchant: Merchant, mode: Mode, processor: str) -> Account | None:
    """Return a merchant's account at a processor, None where none is configured."""
    return next((a for a in merchant.accounts_of(mode) if a.processor == processor), None)


def _account_of(processor: Processor, credentials: Credentials, caller: Caller) -> str:
    """Check the credentials and return the account's fingerprint."""
    known = {field.name for field in processor.fields}
    missing = [
        field.name
        for field in processor.fields
        if field.required and not credentials.values.get(field.name)
    ]
    if missing:
        raise Rejected("credentials_refused", f"{processor.name} also needs {missing[0]}.")
    if set(credentials.values) - known:
        names = ", ".join(sorted(known))
        raise Rejected("credentials_refused", f"{processor.name} takes only: {names or 'nothing'}.")
    try:
        return processor.account_of(credentials, caller.mode)
    except ValueError as error:
        raise Rejected("credentials_refused", f"{processor.name}: {error}.") from None


async def _kept(ports: Ports, caller: Caller, processor: str, credentials: Credentials) -> int:
    """Seal the credentials under a version that nobody has used; return it."""
    rows = (await ports.store.load([caller.merchant_id]))[caller.merchant_id]
    used = [
        row.data.credential_version
        for row in rows
        if isinstance(row.data, ProcessorConfigured)
        and (row.data.processor, row.data.mode) == (processor, caller.mode)
    ]
    first = max(used, default=0) + 1
    for version in range(first, first + VERSIONS_MAX):
        if await ports.vault.add_credentials(
            caller.merchant_id, caller.mode, processor, version, credentials
        ):
            return version
    raise AssertionError("a version is free sooner or later")
