"""What a merchant says of themselves, opened: name, e-mail address, the shorthand's endpoint."""

import msgspec

from commands.ports import Ports
from domain.endpoints import Endpoint
from domain.merchant import Merchant
from domain.metadata import Mode
from domain.personal import Profile


async def open_profile(ports: Ports, merchant: Merchant) -> Profile:
    """Return the opened profile; empty where there is none or its key was destroyed."""
    if merchant.profile is None:
        return Profile(name="")
    (raw,) = await ports.vault.open([merchant.profile])
    return msgspec.json.decode(raw, type=Profile) if raw else Profile(name="")


def shorthand(merchant: Merchant, profile: Profile, mode: Mode) -> Endpoint | None:
    """Return the endpoint that the profile's `webhookUrl` stands for in a mode, if it is there."""
    wanted = profile.endpoints.get(mode)
    return next((x for x in merchant.endpoints if x.id == wanted and x.mode == mode), None)


async def webhook_url(ports: Ports, merchant: Merchant, profile: Profile, mode: Mode) -> str | None:
    """Return where the shorthand's endpoint is, None without one."""
    endpoint = shorthand(merchant, profile, mode)
    if endpoint is None:
        return None
    (raw,) = await ports.vault.open([endpoint.url])
    return msgspec.json.decode(raw, type=str) if raw else None
