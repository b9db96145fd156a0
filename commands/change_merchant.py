"""How every command on a merchant runs: load, decide, append with key rows and claims."""

from typing import Final

from commands.caller import Caller
from commands.ports import Append, Claim, DataKeyRow, KeyRow, NewEvent, Ports, VersionTaken, Write
from domain.errors import Conflict, NotFound
from domain.ids import is_id
from domain.merchant import Merchant, MerchantCommand, decide, evolve, fold

CONFLICTS_MAX: Final = 8


async def load_merchant(ports: Ports, merchant_id: str) -> Merchant:
    """Return a merchant.

    Raises:
        NotFound: no such merchant.
    """
    rows = (await ports.store.load([merchant_id]))[merchant_id] if is_id(merchant_id, "mer") else ()
    merchant = fold(rows)
    if merchant is None:
        raise NotFound("not_found", "There is no such merchant.")
    return merchant


async def change_merchant(
    ports: Ports,
    caller: Caller,
    command: MerchantCommand,
    *,
    new: bool = False,
    key_rows: tuple[KeyRow, ...] = (),
    revoked_keys: tuple[str, ...] = (),
    claims: tuple[Claim, ...] = (),
    data_keys: tuple[DataKeyRow, ...] = (),
) -> Merchant:
    """Append what the command gives and return the merchant as it is then.

    Raises:
        NotFound, Rejected: as the command says.
        Conflict: `concurrent_change` when others were always faster.
        commands.ports.ClaimTaken, KeyRevoked: as `EventStore.append`.
    """
    for _ in range(CONFLICTS_MAX):
        before = None if new else await load_merchant(ports, caller.merchant_id)
        at = ports.now()
        events = tuple(
            NewEvent(metadata=caller.metadata(at, mode=None), data=event)
            for event in decide(before, command)
        )
        after = before
        for event in events:
            after = evolve(after, event.data, event.metadata, stream_id=caller.merchant_id)
        assert after is not None, "a merchant registers before anything else"
        if not events:
            return after
        write = Write(
            stream_id=caller.merchant_id,
            expected_version=before.version if before else 0,
            events=events,
        )
        append = Append(
            writes=(write,),
            key_rows=key_rows,
            revoked_keys=revoked_keys,
            claims=claims,
            data_keys=data_keys,
            caller_key=caller.key_id,
        )
        try:
            await ports.store.append(append)
        except VersionTaken:
            continue
        return after
    raise Conflict("concurrent_change", "The merchant changed meanwhile; try again.")
