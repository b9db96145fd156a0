"""The verb: change a webhook endpoint, or disable and enable it."""

import msgspec

from commands.add_endpoint import check_url, sealed_text
from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import Ports
from commands.read_endpoint import read_endpoint
from domain.endpoints import ChangeEndpoint, Endpoint, EndpointStatus

BY_MERCHANT = "disabled by the merchant"


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; None leaves it as it is. An empty description removes it."""

    url: str | None = None
    events: tuple[str, ...] | None = None
    description: str | None = None
    enabled: bool | None = None


async def change_endpoint(
    ports: Ports, caller: Caller, endpoint_id: str, change: EndpointChange
) -> Endpoint:
    """Append `merchant.endpoint_changed` where something is new.

    Raises:
        NotFound: no such endpoint.
        Rejected: `url_not_allowed`.
        Conflict: `concurrent_change`.
    """
    endpoint = await read_endpoint(ports, caller, endpoint_id)
    if change.url is not None:
        await check_url(ports, change.url)
    description = change.description
    command = ChangeEndpoint(
        endpoint_id=endpoint.id,
        url=await sealed_text(ports, caller, change.url) if change.url is not None else None,
        events=change.events,
        description=await sealed_text(ports, caller, description)
        if description is not None
        else None,
        status=_status(endpoint, change.enabled),
        disabled_reason=BY_MERCHANT if change.enabled is False else None,
    )
    after = await change_merchant(ports, caller, command)
    return next(x for x in after.endpoints if x.id == endpoint.id)


def _status(endpoint: Endpoint, enabled: bool | None) -> EndpointStatus | None:  # noqa: FBT001 - as in the change
    """An endpoint that fails is enabled all the same."""
    if enabled is None:
        return None
    if not enabled:
        return "disabled"
    return "enabled" if endpoint.status == "disabled" else None


async def note_status(
    ports: Ports,
    caller: Caller,
    endpoint_id: str,
    status: EndpointStatus,
    *,
    only_from: EndpointStatus | None = None,
    reason: str | None = None,
) -> None:
    """Say what the dispatcher found out about an endpoint; nothing where it is known.

    `only_from` is the status that it has to have for that.

    Raises:
        NotFound: the endpoint was removed.
        Conflict: `concurrent_change`.
    """
    command = ChangeEndpoint(
        endpoint_id=endpoint_id, only_from=only_from, status=status, disabled_reason=reason
    )
    await change_merchant(ports, caller, command)
