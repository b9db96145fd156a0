"""The verb: change what a merchant says of themselves, and the webhook endpoint it stands for."""

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from commands.add_endpoint import NewEndpoint, add_endpoint
from commands.caller import Caller
from commands.change_endpoint import EndpointChange, change_endpoint
from commands.change_merchant import change_merchant, load_merchant
from commands.ports import Ports
from commands.read_profile import open_profile, shorthand
from commands.remove_endpoint import remove_endpoint
from domain.merchant import ChangeProfile, Merchant
from domain.personal import Profile


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; a webhook URL of None takes the endpoint away."""

    name: str | UnsetType = UNSET
    webhook_url: str | UnsetType | None = UNSET


async def change_profile(ports: Ports, caller: Caller, change: ProfileChange) -> Merchant:
    """Append `merchant.profile_changed` where something is new; return the merchant.

    The webhook URL is that of one endpoint of the caller's mode, which gets every event. It is made
    or changed first: a crash in between leaves an endpoint that the profile does not name yet.

    Raises:
        NotFound: no such merchant.
        Rejected: `url_not_allowed`, `endpoint_limit`.
        Conflict: `concurrent_change`.
    """
    merchant = await load_merchant(ports, caller.merchant_id)
    profile = await open_profile(ports, merchant)
    changed = replace(profile, name=profile.name if change.name is UNSET else change.name)
    if change.webhook_url is not UNSET:
        changed = await _with_endpoint(ports, caller, merchant, changed, change.webhook_url)
    if changed == profile:
        return await load_merchant(ports, caller.merchant_id)
    sealed, key = await ports.vault.seal(
        changed, merchant_id=merchant.id, mode=None, owner=merchant.id, beside=merchant.profile
    )
    keys = (key,) if key else ()
    return await change_merchant(ports, caller, ChangeProfile(profile=sealed), data_keys=keys)


async def _with_endpoint(
    ports: Ports, caller: Caller, merchant: Merchant, profile: Profile, url: str | None
) -> Profile:
    """Make, change or remove the endpoint; return the profile that names it."""
    endpoint = shorthand(merchant, profile, caller.mode)
    others = {mode: x for mode, x in profile.endpoints.items() if mode != caller.mode}
    if url is None:
        if endpoint is not None:
            await remove_endpoint(ports, caller, endpoint.id)
        return replace(profile, endpoints=others)
    if endpoint is not None:
        every = EndpointChange(url=url, events=("*",), enabled=True)
        await change_endpoint(ports, caller, endpoint.id, every)
        return profile
    made = await add_endpoint(ports, caller, NewEndpoint(url=url, mode=caller.mode))
    return replace(profile, endpoints={**others, caller.mode: made.endpoint.id})
