"""The whole checkout in a browser: by card, by 3-D Secure, with and without scripts."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Route, expect

from adapters.processors.stripe_page import SCRIPT, StripePage
from commands.customer_page import Collecting, VendorScript
from gateway.checkout import screens
from gateway.checkout.turn import shown
from gateway.checkout.visit import visit
from tests.browser.accessibility import check
from tests.browser.conftest import WAIT_MS, shop_page
from tests.gateway.conftest import Service

PICTURES: Final = os.environ.get("LOOP_TEST_PICTURES")
ITEMS: Final = [
    {"name": "Tea pot, hand-made", "amount": 2999, "quantity": 1},
    {"name": "Tea cup", "amount": 1000, "quantity": 2},
]
APPROVED: Final = "Approved sbx_approve"
DECLINED: Final = "Declined sbx_decline"
BANK_ASKS: Final = "3-D Secure: the bank asks first"
Opens = Callable[..., BrowserContext]

expect.set_options(timeout=WAIT_MS)


@pytest.fixture
def opens(browser: Browser) -> Iterator[Opens]:
    """Open a customer's browser; fail afterwards if anything was asked of another host."""
    asked: list[str] = []
    contexts: list[BrowserContext] = []

    def open_(**options: Any) -> BrowserContext:
        context = browser.new_context(**options)
        context.set_default_timeout(WAIT_MS)
        context.on("request", lambda request: asked.append(request.url))
        context.route("http://shop.test/**", shop_page)
        contexts.append(context)
        return context

    yield open_
    for context in contexts:
        context.close()
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith("data:")}
    assert hosts <= {"loop.test", "shop.test"}, hosts


def session(client: httpx.Client, **fields: Any) -> tuple[str, str]:
    """Open a session; return its page and its order's id."""
    body = {
        "amount": 4999,
        "successUrl": "http://shop.test/thanks?cart=1",
        "cancelUrl": "http://shop.test/cart",
        "lineItems": ITEMS,
        "description": "Order 1042, sent to Ada",
        **fields,
    }
    answer = client.post("/v1/checkout/sessions", json=body)
    assert answer.status_code == 201, answer.text
    url = answer.json()["url"]
    return url, url.rpartition("/")[2].replace("cs_", "ord_")


def status_of(client: httpx.Client, order_id: str) -> str:
    return client.get(f"/v1/orders/{order_id}").json()["status"]


def pay(page: Page, card: str = APPROVED) -> None:
    page.get_by_role("radio", name=card, exact=True).check()
    page.get_by_role("button", name=re.compile("^Pay ")).click()


def at_the_shop(page: Page, order_id: str) -> None:
    """Wait for the shop's page, and see that it was told the order and that it is paid."""
    page.wait_for_url("http://shop.test/thanks*", timeout=WAIT_MS)
    told = parse_qs(urlsplit(page.url).query)
    assert told == {"cart": ["1"], "orderId": [order_id], "status": ["captured"]}


def picture(page: Page, name: str) -> None:
    """Take a picture where somebody wants to look at it."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def test_a_customer_pays_by_card_and_goes_back_to_the_shop(
    client: httpx.Client, opens: Opens
) -> None:
    url, order_id = session(client)
    page = opens().new_page()
    page.goto(url)
    check(page)
    picture(page, "pay-light")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pay Test shop")
    expect(page.get_by_role("row", name="Tea cup")).to_contain_text("20.00 USD")
    pay(page)
    at_the_shop(page, order_id)
    assert status_of(client, order_id) == "captured"


def test_a_customer_pays_with_the_keyboard_alone(client: httpx.Client, opens: Opens) -> None:
    url, order_id = session(client)
    page = opens().new_page()
    page.goto(url)
    reached: list[str] = []
    for key in ("Tab", "Tab", "Tab"):
        page.keyboard.press(key)
        reached.append(page.evaluate("document.activeElement.type || 'link'"))
    assert reached == ["radio", "submit", "link"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    at_the_shop(page, order_id)


def test_the_bank_asks_and_the_customer_approves(client: httpx.Client, opens: Opens) -> None:
    url, order_id = session(client)
    page = opens().new_page()
    page.goto(url)
    pay(page, f"{BANK_ASKS} sbx_challenge")
    approve = page.get_by_role("button", name="Approve payment")
    expect(approve).to_be_visible()
    picture(page, "bank-light")
    page.goto(url)
    check(page)
    picture(page, "confirm-light")
    page.get_by_role("link", name="Continue to your bank").click()
    approve.click()
    at_the_shop(page, order_id)
    assert status_of(client, order_id) == "captured"


def test_a_decline_is_told_and_focused_and_the_next_card_pays(
    client: httpx.Client, opens: Opens
) -> None:
    url, order_id = session(client)
    page = opens().new_page()
    page.goto(url)
    pay(page, "Declined: not enough money sbx_decline_insufficient_funds")
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("not enough money on this card. Try another card")
    expect(problem).to_contain_text("Nothing was charged.")
    expect(problem).to_be_focused()
    expect(page).to_have_title(re.compile("^Declined"))
    check(page)
    picture(page, "declined-light")
    pay(page)
    at_the_shop(page, order_id)


def test_who_fails_at_the_bank_may_try_again(client: httpx.Client, opens: Opens) -> None:
    url, order_id = session(client)
    page = opens().new_page()
    page.goto(url)
    pay(page, f"{BANK_ASKS} sbx_challenge")
    page.get_by_role("button", name="Fail authentication").click()
    expect(page.get_by_role("alert")).to_contain_text("could not confirm that it is you")
    pay(page)
    at_the_shop(page, order_id)


def test_a_lost_card_ends_it(client: httpx.Client, opens: Opens) -> None:
    url, order_id = session(client)
    page = opens().new_page()
    page.goto(url)
    pay(page, "Declined: reported lost, no further try sbx_decline_lost_card")
    expect(page.get_by_role("heading", name="The payment failed")).to_be_visible()
    check(page)
    picture(page, "failed-light")
    page.get_by_role("link", name="Back to Test shop").click()
    page.wait_for_url("http://shop.test/cart")
    assert status_of(client, order_id) == "failed"


def test_who_cancels_goes_to_the_shop_and_may_come_back(client: httpx.Client, opens: Opens) -> None:
    url, order_id = session(client)
    page = opens().new_page()
    page.goto(url)
    page.get_by_role("link", name="Cancel and go back to Test shop").click()
    page.wait_for_url("http://shop.test/cart")
    assert status_of(client, order_id) == "pending"
    page.go_back()
    pay(page)
    at_the_shop(page, order_id)


def test_m01_two_tabs_back_and_reload_pay_once(
    service: Service, client: httpx.Client, opens: Opens
) -> None:
    url, order_id = session(client)
    context = opens()
    one, two = context.new_page(), context.new_page()
    one.goto(url)
    two.goto(url)
    pay(one)
    at_the_shop(one, order_id)
    pay(two)
    at_the_shop(two, order_id)
    for page in (one, two):
        page.goto(url)
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    one.go_back()
    check(two)
    picture(two, "paid-light")
    assert len(client.get(f"/v1/orders/{order_id}").json()["attempts"]) == 1
    books = service.app.sandbox.bank.books()
    assert (books.orders[order_id].captured, books.violations) == (4999, ())


def test_everything_works_without_scripts(client: httpx.Client, opens: Opens) -> None:
    url, order_id = session(client)
    page = opens(java_script_enabled=False).new_page()
    page.goto(url)
    pay(page, DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("The bank declined the payment")
    pay(page, f"{BANK_ASKS} sbx_challenge")
    page.get_by_role("button", name="Approve payment").click()
    at_the_shop(page, order_id)


def test_a_payment_that_takes_its_time_goes_on_by_itself_without_scripts(
    client: httpx.Client, opens: Opens
) -> None:
    url, order_id = session(client)
    client.post(
        f"/v1/orders/{order_id}/pay",
        json={"paymentMethod": {"type": "card", "token": "sbx_pending"}},
        headers={"Prefer": "wait=0"},
    )
    page = opens(java_script_enabled=False).new_page()
    page.goto(url)
    picture(page, "waiting-light")
    at_the_shop(page, order_id)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_phone_shows_all_of_it(client: httpx.Client, opens: Opens, scheme: Any) -> None:
    long = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 3
    items = [{"name": long, "amount": 99_999_999_999}]
    url, order_id = session(client, amount=99_999_999_999, lineItems=items, description=long)
    phone = {"viewport": {"width": 320, "height": 640}, "color_scheme": scheme}
    page = opens(**phone).new_page()
    page.goto(url)
    check(page)
    picture(page, f"long-phone-{scheme}")
    url, order_id = session(client)
    page.goto(url)
    check(page)
    picture(page, f"pay-phone-{scheme}")
    pay(page, DECLINED)
    expect(page.get_by_role("alert")).to_be_visible()
    check(page)
    picture(page, f"declined-phone-{scheme}")
    pay(page, f"{BANK_ASKS} sbx_challenge")
    expect(page.get_by_role("button", name="Approve payment")).to_be_visible()
    check(page)
    picture(page, f"bank-phone-{scheme}")
    page.goto(url)
    check(page)
    picture(page, f"confirm-phone-{scheme}")
    client.post(f"/v1/orders/{order_id}/cancel", headers={"Prefer": "wait=20"})
    page.reload()
    expect(page.get_by_role("heading", name="This payment was cancelled")).to_be_visible()
    check(page)
    picture(page, f"cancelled-phone-{scheme}")
    page.goto(f"{url}x")
    check(page)
    picture(page, f"missing-phone-{scheme}")


def test_a_dark_desktop_is_readable_too(client: httpx.Client, opens: Opens) -> None:
    url, order_id = session(client)
    page = opens(color_scheme="dark").new_page()
    page.goto(url)
    check(page)
    picture(page, "pay-dark")
    page.get_by_role("radio", name=APPROVED, exact=True).evaluate("e => { e.value = 'sbx_gold' }")
    pay(page)
    wrong = page.get_by_role("radiogroup", name="Test card")
    expect(wrong).to_have_accessible_description("Choose a test card.")
    check(page)
    picture(page, "wrong-dark")
    pay(page, DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("The bank declined the payment")
    check(page)
    picture(page, "declined-dark")
    pay(page)
    at_the_shop(page, order_id)
    page.goto(url)
    check(page)
    picture(page, "paid-dark")


def test_what_a_merchant_writes_runs_nowhere(client: httpx.Client, opens: Opens) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(1)</script>\"'>"
    items = [{"name": hostile, "amount": 4999}]
    url, _ = session(client, description=hostile, lineItems=items)
    page = opens().new_page()
    said: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("console", lambda message: said.append(message.text))
    page.goto(url)
    expect(page.get_by_role("table")).to_contain_text(hostile)
    assert said == []


VENDOR: Final = """
window.Stripe = (key) => ({
  elements: ({ clientSecret }) => ({
    create: () => {
      const on = {};
      return {
        on: (event, then) => { on[event] = then; },
        mount: (at) => {
          document.querySelector(at).textContent = `Card form of ${key} for ${clientSecret}`;
          on.ready();
        },
      };
    },
  }),
  confirmPayment: async ({ confirmParams }) => {
    window.tries = (window.tries || 0) + 1;
    if (window.tries === 1) {
      return { error: { type: "card_error", message: "Your card was declined." } };
    }
    location.assign(confirmParams.return_url);
    return new Promise(() => {});
  },
});
"""


def test_stripes_own_card_form_is_started_by_our_script_under_our_policy(
    service: Service, client: httpx.Client, browser: Browser
) -> None:
    """Stripe itself is not reachable from a test: what stands in is the vendor's script."""
    url, _ = session(client)
    seen = service.call(visit(service.app.ports, url.rpartition("/")[2]))
    asked = Collecting(
        reference="pi_1",
        back_url="http://shop.test/return",
        cancel_url=url,
        shop="Test shop",
        client_secret="pi_1_secret_2",
        publishable_key="pk_test_3",
    )
    script = StripePage().collect(asked)
    assert isinstance(script, VendorScript)
    answer = shown(seen, screens.vendor_script(seen, script))
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)

    def ours(route: Route) -> None:
        body = answer.content
        headers = {**answer.headers, "Content-Type": "text/html; charset=utf-8"}
        route.fulfill(status=200, headers=headers, body=body)

    context.route(url, ours)
    own = client.get("/checkout/assets/stripe.js")
    context.route(
        f"{url.partition('/checkout')[0]}/checkout/assets/stripe.js",
        lambda route: route.fulfill(content_type="text/javascript", body=own.content),
    )
    context.route(SCRIPT, lambda r: r.fulfill(content_type="text/javascript", body=VENDOR))
    context.route("http://shop.test/**", shop_page)
    page = context.new_page()
    broken: list[str] = []
    page.on("console", lambda message: broken.append(message.text))
    page.goto(url)
    expect(page.locator("#card")).to_have_text("Card form of pk_test_3 for pi_1_secret_2")
    check(page)
    page.get_by_role("button", name="Pay 49.99 USD").click()
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    check(page)
    picture(page, "stripe-light")
    page.get_by_role("button", name="Pay 49.99 USD").click()
    page.wait_for_url("http://shop.test/return")
    assert broken == []
    context.close()
