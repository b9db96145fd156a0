"""Whose turn it is with an order, and so which page its customer sees or is sent to."""

from urllib.parse import urlencode, urlsplit, urlunsplit

from litestar import Response

from commands.customer_page import Collecting, TestCard, VendorForm
from commands.pay_order import customer_until
from commands.ports import Ports
from commands.read_order import OpenChallenge, open_challenge
from commands.route_order import Wish, route_order
from gateway.checkout import screens
from gateway.checkout.frame import Screen, rendered
from gateway.checkout.page_token import page_token
from gateway.checkout.visit import PAID, Visit
from gateway.deps import Deps


def shown(seen: Visit, screen: Screen) -> Response[bytes]:
    """Answer with a page under the shop's name."""
    return rendered(screen, shop=seen.shop, test=seen.order.mode == "test")


def payable(ports: Ports, seen: Visit) -> bool:
    """Tell whether the customer may pay: asked to, in time, nothing cancelled or in question."""
    order = seen.order
    asked = order.status == "pending" or order.awaits_customer
    until = customer_until(order)
    in_time = until is None or until > ports.now()
    return asked and in_time and not order.cancel_requested and not order.quarantine


def collects(seen: Visit) -> bool:
    """Tell whether the open challenge is one that this page shows itself."""
    live = seen.order.live
    return (
        seen.order.ended is None
        and live is not None
        and live.status == "challenged"
        and live.challenge != "redirect"
    )


def home(seen: Visit) -> str | None:
    """Return the merchant's page with the result; None while the customer stays with us.

    Who pays on a session goes back once it is paid. Without a session the merchant asked for the
    payment and hears every result, unless the customer is to go on here.
    """
    order, url = seen.order, seen.return_url
    stays = order.awaits_customer or collects(seen)
    if order.checkout_session_id is not None:
        stays = order.status not in PAID
    if url is None or stays:
        return None
    return with_result(url, order_id=order.id, status=order.status)


def with_result(url: str, *, order_id: str, status: str) -> str:
    """Return a merchant's URL with the result behind its own query parameters."""
    parts = urlsplit(url)
    result = urlencode({"orderId": order_id, "status": status})
    return urlunsplit(parts._replace(query=f"{parts.query}&{result}" if parts.query else result))


async def cards_of(deps: Deps, seen: Visit) -> tuple[TestCard, ...] | None:
    """Return the test cards of the processor that would be asked now; None where nobody can.

    There are none where the processor collects cards itself, nor where money is real.
    """
    order = seen.order
    decision = await route_order(
        deps.ports,
        seen.merchant,
        order_id=order.id,
        amount=order.amount,
        mode=order.mode,
        wish=Wish(),
    )
    if decision.chosen is None:
        return None
    page = deps.pages.get(decision.chosen)
    return page.cards if page is not None and order.mode == "test" else ()


async def screen_of(deps: Deps, seen: Visit, *, again: bool) -> Screen:
    """Return the page of the order's state; `again` after a try that the processor refused."""
    order = seen.order
    if payable(deps.ports, seen):
        cards = await cards_of(deps, seen)
        if cards is None:
            return screens.closed(seen)
        return screens.pay_form(seen, cards, page_token(deps.page_key, order))
    asked = order.status == "pending" or order.awaits_customer
    if order.quarantine and not order.ended:
        return screens.waiting(seen)
    if order.ended or order.status in PAID or order.cancel_requested or asked:
        return screens.ended(seen, home(seen))
    challenge = await open_challenge(deps.ports, order)
    if challenge is None:
        return screens.waiting(seen)
    if challenge.kind == "redirect":
        return screens.at_bank(seen, challenge.redirect_url)
    return _collected(deps, seen, challenge, again=again)


def _collected(deps: Deps, seen: Visit, challenge: OpenChallenge, *, again: bool) -> Screen:
    """Return the processor's way to give a card; Loop's own page never has a field for one."""
    live = seen.order.live
    assert live is not None, "a challenge is of an attempt"
    page = deps.pages.get(live.processor)
    url = f"{deps.ports.public_url}{seen.path}"
    asked = Collecting(
        reference=live.reference or "",
        back_url=f"{url}/return",
        cancel_url=url,
        shop=seen.shop or "",
        description=seen.personal.description,
        client_secret=challenge.client_secret,
        publishable_key=challenge.publishable_key,
        key_id=challenge.key_id,
    )
    found = page.collect(asked) if page is not None else None
    if found is None:
        return screens.closed(seen)
    if isinstance(found, VendorForm):
        return screens.vendor_form(seen, found, again=again)
    return screens.vendor_script(seen, found)
