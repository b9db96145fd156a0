"""What moves an order's money forward: pay, confirm, capture, cancel."""

from typing import Any

from litestar import Request, Response, post
from litestar.params import FromPath

from commands.cancel_order import cancel_order
from commands.capture_order import capture_order
from commands.confirm_order import confirm_order
from commands.pay_order import PayOrder, pay_order
from commands.processor import CheckoutProof
from gateway import examples
from gateway.auth import authenticated, deps_of
from gateway.bodies import (
    CancelRequest,
    CaptureRequest,
    ConfirmRequest,
    PaymentMethodRequest,
    PayRequest,
)
from gateway.decode import as_struct, json_body, no_query
from gateway.errors import invalid
from gateway.headers import idempotency, preferred_wait_s
from gateway.operation import Operation, answer
from gateway.read_command import read_command
from gateway.views import OrderView, PaymentView, render_orders, render_payment

PAY = Operation(
    id="payOrder",
    tag="Payments",
    summary="Pay an order",
    description=(
        "Waits for the outcome as long as `Prefer: wait=N` says, then answers `processing`. A "
        "decline is a 200 with `status: failed`; `requires_action` always has a `redirectUrl`."
    ),
    scope="payments:write",
    answer=PaymentView,
    example=examples.PAYMENT,
    body=PayRequest,
    body_example=examples.PAY,
    headers=("Idempotency-Key", "Prefer"),
    codes=(
        "invalid_status",
        "order_quarantined",
        "no_processor",
        "amount_not_representable",
        "reconciling",
    ),
)
CONFIRM = Operation(
    id="confirmOrder",
    tag="Payments",
    summary="Look up a payment that the customer says is done",
    description=(
        "Razorpay's checkout gives your page three values: sent along, their signature has to fit "
        "this order. What counts is what the processor says then."
    ),
    scope="payments:write",
    answer=PaymentView,
    example=examples.PAYMENT,
    body=ConfirmRequest,
    body_example={},
    headers=("Idempotency-Key", "Prefer"),
    codes=("invalid_status", "invalid_signature"),
)
CAPTURE = Operation(
    id="captureOrder",
    tag="Payments",
    summary="Capture held money",
    scope="payments:write",
    answer=OrderView,
    example=examples.PAID_ORDER,
    body=CaptureRequest,
    body_example={"amount": 4999},
    headers=("Idempotency-Key",),
    codes=(
        "invalid_status",
        "order_quarantined",
        "capture_exceeds_authorization",
        "partial_capture_unsupported",
        "amount_not_representable",
    ),
)
CANCEL = Operation(
    id="cancelOrder",
    tag="Payments",
    summary="Cancel an order before its money is taken",
    description="Nothing captures after a 200; the status is `cancelled` once all is closed.",
    scope="payments:write",
    answer=OrderView,
    example=examples.CANCELLED_ORDER,
    body=CancelRequest,
    body_example={"reason": "out of stock"},
    headers=("Idempotency-Key", "Prefer"),
    codes=("invalid_status", "order_quarantined"),
)


@post("/v1/orders/{order_id:str}/pay", opt={"operation": PAY}, status_code=200)
async def pay(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Route and pay."""
    caller = await authenticated(request, "payments:write", cached=True)
    wait_s = preferred_wait_s(request)
    body, once = await read_command(request, caller, PayRequest, required=False)
    asked = as_pay_order(body.processor, body.payment_method, body.return_url)
    ports = deps_of(request).ports
    done = await pay_order(ports, caller, order_id, asked, once, wait_s=wait_s)
    view = await render_payment(ports, done.order)
    return answer(view, status=done.status, replayed=done.replayed)


def as_pay_order(
    processor: str | None, method: PaymentMethodRequest | None, return_url: str | None = None
) -> PayOrder:
    """Return what the command takes; brands are lower case, countries upper case."""
    if method is None:
        return PayOrder(processor=processor, return_url=return_url)
    tokens = method.tokens
    named = {"stripe": tokens.stripe, "razorpay": tokens.razorpay} if tokens else {}
    return PayOrder(
        processor=processor,
        token=method.token,
        tokens={name: token for name, token in named.items() if token is not None},
        brand=method.brand.lower() if method.brand else None,
        country=method.country.upper() if method.country else None,
        return_url=return_url,
    )


@post("/v1/orders/{order_id:str}/confirm", opt={"operation": CONFIRM}, status_code=200)
async def confirm(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Look up what the processor has."""
    caller = await authenticated(request, "payments:write", cached=True)
    no_query(request)
    wait_s = preferred_wait_s(request)
    raw = await json_body(request, required=False)
    idempotency(request, caller, raw)  # a lookup may be repeated, a bad header may not
    proof = _proof(as_struct(raw, ConfirmRequest))
    ports = deps_of(request).ports
    done = await confirm_order(ports, caller, order_id, wait_s=wait_s, proof=proof)
    return answer(await render_payment(ports, done.order), status=done.status)


def _proof(body: ConfirmRequest) -> CheckoutProof | None:
    """Return what the checkout handed over; all of it or nothing."""
    given = {
        "razorpayOrderId": body.razorpay_order_id,
        "razorpayPaymentId": body.razorpay_payment_id,
        "razorpaySignature": body.razorpay_signature,
    }
    reference, payment_id, signature = given.values()
    if reference is not None and payment_id is not None and signature is not None:
        return CheckoutProof(reference=reference, payment_id=payment_id, signature=signature)
    if any(given.values()):
        missing = next(name for name, value in given.items() if value is None)
        raise invalid(missing, "is required beside the two others")
    return None


@post("/v1/orders/{order_id:str}/capture", opt={"operation": CAPTURE}, status_code=200)
async def capture(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Take all or a part of the hold."""
    caller = await authenticated(request, "payments:write", cached=True)
    body, once = await read_command(request, caller, CaptureRequest, required=False)
    ports = deps_of(request).ports
    done = await capture_order(
        ports, caller, order_id, amount_minor=body.amount, final=body.final, idempotency=once
    )
    (view,) = await render_orders(ports, [done.order])
    return answer(view, status=done.status, replayed=done.replayed)


@post("/v1/orders/{order_id:str}/cancel", opt={"operation": CANCEL}, status_code=200)
async def cancel(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """End the order without money."""
    caller = await authenticated(request, "payments:write", cached=True)
    wait_s = preferred_wait_s(request)
    body, once = await read_command(request, caller, CancelRequest, required=False)
    ports = deps_of(request).ports
    done = await cancel_order(
        ports, caller, order_id, reason=body.reason, idempotency=once, wait_s=wait_s
    )
    (view,) = await render_orders(ports, [done.order])
    return answer(view, status=done.status, replayed=done.replayed)


ROUTES = (pay, confirm, capture, cancel)
