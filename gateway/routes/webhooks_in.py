"""Where processors report what happened on their side: verified, kept as a hint, applied later."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.params import FromPath
from prometheus_client import Counter

from commands.receive_webhook import NotVerified, receive_webhook
from gateway.auth import deps_of
from gateway.errors import Refused
from gateway.limits import count_address
from gateway.operation import Operation, answer

SIGNATURES: Final = {"stripe": "stripe-signature", "razorpay": "x-razorpay-signature"}
"""The header that carries each processor's signature."""
CODES: Final = (
    "missing_signature", "no_config", "invalid_signature", "payload_too_large",
    "rate_limited", "database_unavailable",
)  # fmt: skip

received_total = Counter(
    "webhooks_received_total", "Webhooks of processors by the answer", ["processor", "outcome"]
)


class ReceivedView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """It is kept and will be applied; the same event again gets the same answer."""

    received: bool


def _operation(processor: str, name: str, *, whose: str) -> Operation:
    return Operation(
        id=name,
        tag="Webhooks of processors",
        summary=f"An event of {processor}",
        description=(
            f"{processor} sends its events here, as raw bytes with its signature. {whose} An event "
            "is a hint: what it tells is read from the processor before anything is recorded. A "
            "replaced signing secret is good for 72 more hours."
        ),
        answer=ReceivedView,
        example={"received": True},
        limited=False,
        codes=CODES,
    )


_PATH: Final = "The path names the merchant."
_BODY: Final = "The payment that the body names says whose signing secrets are tried."


@post(
    "/webhooks/stripe/{merchant_id:str}",
    opt={"operation": _operation("Stripe", "receiveStripe", whose=_PATH)},
    status_code=200,
)
async def stripe(request: Request[Any, Any, Any], merchant_id: FromPath[str]) -> Response[bytes]:
    """Take an event of Stripe for a merchant."""
    return await _received(request, "stripe", merchant_id)


@post(
    "/webhooks/stripe",
    opt={"operation": _operation("Stripe", "receiveStripeForAny", whose=_BODY)},
    status_code=200,
)
async def stripe_for_any(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Take an event of Stripe for the merchant whose payment it names."""
    return await _received(request, "stripe", None)


@post(
    "/webhooks/razorpay/{merchant_id:str}",
    opt={"operation": _operation("Razorpay", "receiveRazorpay", whose=_PATH)},
    status_code=200,
)
async def razorpay(request: Request[Any, Any, Any], merchant_id: FromPath[str]) -> Response[bytes]:
    """Take an event of Razorpay for a merchant."""
    return await _received(request, "razorpay", merchant_id)


@post(
    "/webhooks/razorpay",
    opt={"operation": _operation("Razorpay", "receiveRazorpayForAny", whose=_BODY)},
    status_code=200,
)
async def razorpay_for_any(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Take an event of Razorpay for the merchant whose payment it names."""
    return await _received(request, "razorpay", None)


async def _received(
    request: Request[Any, Any, Any], processor: str, merchant_id: str | None
) -> Response[bytes]:
    raw = await request.body()
    try:
        await _take(request, processor, merchant_id, raw)
    except Refused as refused:
        received_total.labels(processor, refused.code).inc()
        # A signature is a credential: only who has none is counted by his address.
        count_address(request, deps_of(request).limits)
        raise
    received_total.labels(processor, "received").inc()
    return answer(ReceivedView(received=True))


async def _take(
    request: Request[Any, Any, Any], processor: str, merchant_id: str | None, raw: bytes
) -> None:
    none: list[str] = []
    header = SIGNATURES[processor]
    signatures = request.headers.getall(header, none)
    if not any(signatures):
        raise Refused("missing_signature")
    if len(signatures) > 1:
        raise Refused("invalid_signature")
    try:
        await receive_webhook(
            deps_of(request).ports,
            processor,
            raw,
            {header: signatures[0]},
            merchant_id=merchant_id,
        )
    except NotVerified as error:
        raise Refused(error.code) from None


ROUTES = (stripe, stripe_for_any, razorpay, razorpay_for_any)
