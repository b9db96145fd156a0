"""The verb: replace a merchant's routing rules. Every version stays in the log."""

from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import Ports
from domain.merchant import Merchant, SetRouting
from domain.routing import RoutingPolicy


async def set_routing(
    ports: Ports, caller: Caller, policy: RoutingPolicy, *, version: int | None = None
) -> Merchant:
    """Append `merchant.routing_set` in the caller's mode; nothing where the rules are those.

    Args:
        ports: what the command works with.
        caller: on whose behalf.
        policy: without its version, which is counted here.
        version: which version is to be replaced; None replaces whatever there is.

    Raises:
        NotFound: no such merchant.
        Conflict: `concurrent_change`, another version is there.
    """
    command = SetRouting(mode=caller.mode, policy=policy, replaces=version)
    return await change_merchant(ports, caller, command)
