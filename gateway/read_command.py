"""What a request says that commands something: its body, and the idempotency key it comes under."""

from typing import Any, TypeVar

import msgspec
from litestar import Request

from commands.caller import Caller, Idempotency
from gateway.decode import as_struct, json_body, no_query
from gateway.headers import idempotency

T = TypeVar("T", bound=msgspec.Struct)


async def read_command(
    request: Request[Any, Any, Any], caller: Caller, shape: type[T], *, required: bool
) -> tuple[T, Idempotency | None]:
    """Return the body as its struct, and the key; an absent body that is not required is `{}`.

    Raises:
        Refused: `invalid_request` for a query, `unsupported_media_type`, `invalid_request` for
            what is no JSON, `card_data_refused`, then `invalid_request` for the key and the body.
    """
    no_query(request)
    raw = await json_body(request, required=required)
    once = idempotency(request, caller, raw)
    return as_struct(raw, shape), once
