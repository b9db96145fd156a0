"""The hosted page: a customer pays with nothing but its address, and comes back to it from 3DS."""

import contextlib
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar import Request, Response, get, post
from litestar.params import FromPath

from commands.caller import Idempotency
from commands.confirm_order import confirm_order
from commands.pay_order import PayOrder, pay_order
from commands.ports import Ports
from commands.read_order import open_challenge
from domain.errors import Conflict, Rejected
from gateway import checkout
from gateway.auth import deps_of
from gateway.bodies import CheckoutPayForm
from gateway.checkout import screens
from gateway.checkout.page_token import page_token, try_of
from gateway.checkout.refusals import ON_ERROR
from gateway.checkout.turn import cards_of, collects, home, payable, screen_of, shown
from gateway.checkout.visit import Visit, customer_of, payment_return_url, visit
from gateway.decode import as_struct, form_body
from gateway.errors import Refused, invalid
from gateway.operation import FORM, HTML, Operation

WAIT_S: Final = 3.0
PAY_WAIT_S: Final = 5.0
"""How long a customer looks at a page that loads, before it says that the payment is processed."""
NO_CARD: Final = "Choose a test card."

_PAGE_CODES: Final = ("not_found", "overloaded", "database_unavailable")
_SCRIPT: Final = (Path(checkout.__file__).parent / "stripe.js").read_bytes()

SHOW = Operation(
    id="showCheckout",
    tag="Checkout",
    summary="The hosted page of a checkout session or order",
    description=(
        "Needs no credentials: the id is the address. It asks for a payment, sends on to the bank, "
        "waits, or says how it ended. An order's page exists once it was paid or sent there."
    ),
    media=HTML,
    example="<!doctype html>…",
    codes=_PAGE_CODES,
)
PAY = Operation(
    id="payCheckout",
    tag="Checkout",
    summary="The customer's button: pay",
    description=(
        "`page` is the hidden field of the form: it belongs to the order and to the try that the "
        "customer was shown, so a second tab, click or reload pays nothing. Goes on to `next`."
    ),
    status=303,
    media=HTML,
    body=CheckoutPayForm,
    body_media=FORM,
    body_required=True,
    body_example={"page": f"0.{'a' * 64}", "card": "sbx_approve"},
    codes=(*_PAGE_CODES, "forbidden", "reconciling"),
)
NEXT = Operation(
    id="continueCheckout",
    tag="Checkout",
    summary="Where a customer goes on after paying",
    description="To the bank, to the shop, or back to the page where there is something to do.",
    media=HTML,
    example="<!doctype html>…",
    also={303: (None, None)},
    codes=_PAGE_CODES,
)
RETURN = Operation(
    id="returnFromProcessor",
    tag="Checkout",
    summary="Where every 3-D Secure page sends the customer back to",
    description=(
        "Looks the payment up, then goes on to `returnUrl?orderId=…&status=…`, or shows a short "
        "page where the merchant named none. A session's customer goes on to `successUrl` once it "
        "is paid, else back to the page."
    ),
    media=HTML,
    example="<!doctype html>…",
    also={303: (None, None)},
    codes=_PAGE_CODES,
)
RETURN_FORM = Operation(
    id="returnFromProcessorByForm",
    tag="Checkout",
    summary="The same for processors that send the customer back with a form",
    description="What the form says is not believed: the payment is looked up.",
    media=HTML,
    example="<!doctype html>…",
    also={303: (None, None)},
    codes=_PAGE_CODES,
)
SCRIPT = Operation(
    id="getCheckoutScript",
    tag="Checkout",
    summary="The script that starts Stripe's card form",
    media="text/javascript",
    example="…",
)


@get("/checkout/{checkout_id:str}", opt={"operation": SHOW}, exception_handlers=ON_ERROR)
async def show(request: Request[Any, Any, Any], checkout_id: FromPath[str]) -> Response[bytes]:
    """Show what there is to do now."""
    deps = deps_of(request)
    seen = await visit(deps.ports, checkout_id)
    again = request.query_params.get("again") == "1"
    return shown(seen, await screen_of(deps, seen, again=again))


@post(
    "/checkout/{checkout_id:str}/pay",
    opt={"operation": PAY},
    status_code=303,
    exception_handlers=ON_ERROR,
)
async def pay(request: Request[Any, Any, Any], checkout_id: FromPath[str]) -> Response[bytes]:
    """Pay once per try that was shown; whatever comes of it, `next` knows."""
    form = as_struct(await form_body(request), CheckoutPayForm)
    deps = deps_of(request)
    seen = await visit(deps.ports, checkout_id)
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Refused("forbidden", "This form was sent from another site.")
    tries = try_of(deps.page_key, seen.order.id, form.page)
    if tries is None:
        raise invalid("page", "is not of this page")
    if tries != len(seen.order.attempts) or not payable(deps.ports, seen):
        return _on(f"{seen.path}/next")
    cards = await cards_of(deps, seen)
    if cards is None:
        return shown(seen, screens.closed(seen))
    if cards and form.card not in {card.token for card in cards}:
        if HTML not in request.headers.get("accept", ""):
            raise invalid("card", "is none of the cards of this page")
        token = page_token(deps.page_key, seen.order)
        return shown(seen, screens.pay_form(seen, cards, token, wrong=NO_CARD))
    with contextlib.suppress(Rejected, Conflict):
        # Somebody was faster, or nobody can take it any more: the page knows.
        await _pay(deps.ports, request, seen, form.card if cards else None, tries)
    return _on(f"{seen.path}/next")


async def _pay(
    ports: Ports, request: Request[Any, Any, Any], seen: Visit, token: str | None, tries: int
) -> None:
    order = seen.order
    caller = customer_of(request, order)
    once = Idempotency(
        key=f"try-{tries + 1}",
        scope=f"{order.merchant_id}:{order.mode}:POST /checkout/{order.id}/pay",
        fingerprint=b"",  # a second click pays nothing, whatever it chose
    )
    back = await payment_return_url(ports, order)
    asked = PayOrder(token=token, return_url=back, hosted=True)
    await pay_order(ports, caller, order.id, asked, once, wait_s=PAY_WAIT_S)


@get("/checkout/{checkout_id:str}/next", opt={"operation": NEXT}, exception_handlers=ON_ERROR)
async def onward(request: Request[Any, Any, Any], checkout_id: FromPath[str]) -> Response[bytes]:
    """Leave the house by a page of our own, never by a redirect behind a form."""
    ports = deps_of(request).ports
    seen = await visit(ports, checkout_id)
    challenge = await open_challenge(ports, seen.order)
    if challenge is not None and challenge.kind == "redirect":
        return shown(seen, screens.leaving(challenge.redirect_url, where="your bank"))
    url = None if seen.order.status == "processing" else home(seen)
    if url is not None:
        return shown(seen, screens.leaving(url, where=seen.shop or "the shop"))
    return _on(seen.path)


@get("/checkout/{checkout_id:str}/return", opt={"operation": RETURN}, exception_handlers=ON_ERROR)
async def returned(request: Request[Any, Any, Any], checkout_id: FromPath[str]) -> Response[bytes]:
    """Look the payment up and send the customer on; processors add parameters of their own."""
    failed = request.query_params.get("redirect_status") == "failed"
    return await _returned(request, checkout_id, failed=failed)


@post(
    "/checkout/{checkout_id:str}/return",
    opt={"operation": RETURN_FORM},
    status_code=200,
    exception_handlers=ON_ERROR,
)
async def returned_by_form(
    request: Request[Any, Any, Any], checkout_id: FromPath[str]
) -> Response[bytes]:
    """Do the same; that the form speaks of an error only chooses the words."""
    sent = (await request.body()).decode("utf-8", "replace")
    failed = any(name.startswith("error") for name, _ in parse_qsl(sent))
    return await _returned(request, checkout_id, failed=failed)


async def _returned(
    request: Request[Any, Any, Any], checkout_id: str, *, failed: bool
) -> Response[bytes]:
    ports = deps_of(request).ports
    order = (await visit(ports, checkout_id)).order
    if order.live is None:
        return _on(f"/checkout/{checkout_id}")
    await confirm_order(ports, customer_of(request, order), order.id, wait_s=WAIT_S)
    seen = await visit(ports, checkout_id)
    url = home(seen)
    if url is not None:
        return _on(url)
    if seen.order.awaits_customer or seen.order.checkout_session_id or collects(seen):
        return _on(f"{seen.path}?again=1" if failed else seen.path)
    return shown(seen, await screen_of(deps_of(request), seen, again=False))


@get("/checkout/assets/stripe.js", opt={"operation": SCRIPT})
async def stripe_script() -> Response[bytes]:
    """Answer our own script, which is the same for everybody."""
    headers = {"Cache-Control": "public, max-age=300"}
    return Response(_SCRIPT, media_type="text/javascript; charset=utf-8", headers=headers)


def _on(url: str) -> Response[bytes]:
    return Response(b"", status_code=303, headers={"Location": url}, media_type=HTML)


ROUTES = (show, pay, onward, returned, returned_by_form, stripe_script)
