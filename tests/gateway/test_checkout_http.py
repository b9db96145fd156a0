"""The hosted page without a browser: what it shows, refuses, and never does twice."""

import asyncio
import html
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from adapters.processors.razorpay_page import RazorpayPage
from adapters.processors.stripe_page import SCRIPT, StripePage
from commands.caller import Caller
from commands.create_order import NewOrder, create_order
from commands.customer_page import Collecting, VendorForm, VendorScript
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>&{}$title"""
SHOP = "https://shop.example/thanks"
CART = "https://shop.example/cart"


def session(client: httpx.Client, **fields: Any) -> str:
    body = {"amount": 4999, "currency": "USD", "successUrl": SHOP, "cancelUrl": CART, **fields}
    answer = client.post("/v1/checkout/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return f"/checkout/{answer.json()['id']}"


def order_of(client: httpx.Client, path: str) -> dict[str, Any]:
    order_id = path.rpartition("/")[2].replace("cs_", "ord_")
    order: dict[str, Any] = client.get(f"/v1/orders/{order_id}").json()
    return order


def token_of(page: str) -> str:
    (token,) = re.findall(r'name="page" value="([^"]+)"', page)
    return str(token)


class Customer:
    """A browser without scripts that follows only what it is told to."""

    def __init__(self, service: Service) -> None:
        self.http = httpx.Client(base_url=service.url, headers=BROWSER, timeout=60, trust_env=False)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path.removeprefix("http://loop.test"))

    def pay(self, path: str, card: str = "sbx_approve", page: str | None = None) -> httpx.Response:
        token = page or token_of(self.get(path).text)
        return self.http.post(f"{path}/pay", data={"page": token, "card": card})

    def onward(self, path: str) -> httpx.Response:
        """Follow our own redirects and refreshes, as long as they stay with us."""
        answer = self.get(path)
        for _ in range(40):
            to = answer.headers.get("location") or refresh_of(answer.text)
            if to is None or not to.startswith(("/checkout/", "http://loop.test/")):
                return answer
            answer = self.get(to)
        raise AssertionError(f"it goes in circles at {path}")


def refresh_of(page: str) -> str | None:
    found = re.search(r'http-equiv="refresh" content="\d+; url=([^"]+)"', page)
    return html.unescape(found[1]) if found else None


@pytest.fixture(scope="module")
def customer(service: Service) -> Iterator[Customer]:
    someone = Customer(service)
    with someone.http:
        yield someone


def test_a_session_is_paid_and_its_customer_goes_back_to_the_shop(
    client: httpx.Client, customer: Customer
) -> None:
    path = session(client)
    paid = customer.pay(path)
    assert (paid.status_code, paid.headers["location"]) == (303, f"{path}/next")
    order = order_of(client, path)
    assert refresh_of(customer.onward(f"{path}/next").text) == (
        f"{SHOP}?orderId={order['id']}&status=captured"
    )
    assert order["status"] == "captured"
    assert "Thank you" in customer.get(path).text


def test_the_page_shows_what_is_paid_for(client: httpx.Client, customer: Customer) -> None:
    items = [
        {"name": "Tea pot", "amount": 150_000, "quantity": 1},
        {"name": "Tea cup", "amount": 1000, "quantity": 2},
    ]
    path = session(client, amount=152_000, lineItems=items, description="For the garden")
    text = customer.get(path).text
    for shown in ("Test shop", "1,520.00 USD", "For the garden", "Tea pot", "1,500.00 USD",
                  "2 &times; 10.00 USD", "20.00 USD", "Test mode.", CART):  # fmt: skip
        assert shown in text
    assert "ada@example.com" not in text


@pytest.mark.parametrize(("currency", "shown"), [("JPY", "4,999 JPY"), ("KWD", "4.999 KWD")])
def test_amounts_have_their_currencys_decimals(
    client: httpx.Client, customer: Customer, currency: str, shown: str
) -> None:
    assert f'<p class="sum">{shown}</p>' in customer.get(session(client, currency=currency)).text


def test_whatever_a_merchant_writes_is_text(client: httpx.Client, customer: Customer) -> None:
    url = "https://shop.example/?a=\"><script>alert(1)</script>&b='"
    refused = {"amount": 1, "successUrl": url + " ", "cancelUrl": url}
    is_problem(client.post("/v1/checkout/sessions", json=refused), 400, "invalid_request")
    items = [{"name": HOSTILE, "amount": 4999}]
    path = session(client, description=HOSTILE, lineItems=items, successUrl=url, cancelUrl=url)
    seen = [customer.get(path).text]
    customer.pay(path, "sbx_decline")
    seen.append(customer.onward(path).text)
    customer.pay(path)
    seen += [customer.onward(f"{path}/next").text, customer.get(path).text]
    assert html.escape(HOSTILE) in seen[0]
    for page in seen:
        assert "<script" not in page
        assert "<img" not in page
        assert 'href="javascript' not in page


def test_the_policy_lets_nothing_in_and_forms_only_to_us(
    client: httpx.Client, customer: Customer
) -> None:
    answer = customer.get(session(client))
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["style-src"])
    assert set(policy) == {
        "default-src", "form-action", "frame-ancestors", "base-uri", "style-src", "img-src",
    }  # fmt: skip
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_a_decline_is_said_plainly_and_may_be_tried_again(
    client: httpx.Client, customer: Customer
) -> None:
    path = session(client)
    customer.pay(path, "sbx_decline_insufficient_funds")
    page = customer.onward(path).text
    assert "not enough money on this card" in page
    assert "Nothing was charged" in page
    assert "insufficient_funds" not in page.replace("sbx_decline_insufficient_funds", "")
    assert order_of(client, path)["status"] == "requires_action"
    customer.pay(path)
    assert order_of(client, path)["status"] == "captured"


def test_a_stop_ends_it_without_telling_why(client: httpx.Client, customer: Customer) -> None:
    path = session(client)
    customer.pay(path, "sbx_decline_lost_card")
    page = customer.onward(f"{path}/next").text
    assert "The payment failed" in page
    assert "lost" not in page
    assert CART in page
    assert order_of(client, path)["status"] == "failed"


def test_ten_tries_and_no_more(service: Service, client: httpx.Client, customer: Customer) -> None:
    path = session(client)
    for n in range(10):
        page = customer.onward(path).text
        assert ("You have one more try" in page) == (n == 9)
        customer.pay(path, "sbx_decline", token_of(page))
    page = customer.onward(path).text
    assert "tried too often" in page
    order = order_of(client, path)
    assert (order["status"], len(order["attempts"])) == ("failed", 10)
    assert service.app.sandbox.bank.books().violations == ()


def test_m01_a_double_click_pays_once(client: httpx.Client, customer: Customer) -> None:
    path = session(client)
    token = token_of(customer.get(path).text)
    together = threading.Barrier(4)

    def click(n: int) -> httpx.Response:
        together.wait(90)
        return customer.pay(path, "sbx_approve" if n % 2 else "sbx_decline", token)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(click, range(4)))
    assert {a.status_code for a in answers} == {303}
    order = order_of(client, path)
    assert len(order["attempts"]) == 1


def test_a_form_of_an_earlier_try_pays_nothing(client: httpx.Client, customer: Customer) -> None:
    path = session(client)
    stale = token_of(customer.get(path).text)
    customer.pay(path, "sbx_decline", stale)
    answer = customer.pay(path, "sbx_approve", stale)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}/next")
    assert len(order_of(client, path)["attempts"]) == 1
    customer.pay(path)
    assert customer.pay(path, "sbx_approve", stale).status_code == 303
    order = order_of(client, path)
    assert (order["status"], len(order["attempts"])) == ("captured", 2)


def test_a_token_of_another_order_or_made_up_is_refused(
    client: httpx.Client, customer: Customer
) -> None:
    path, other = session(client), session(client)
    foreign = token_of(customer.get(other).text)
    for token in (foreign, f"0.{'a' * 64}", f"1{foreign[1:]}"):
        answer = customer.pay(path, page=token)
        assert answer.status_code == 400
        assert "text/html" in answer.headers["content-type"]
    assert order_of(client, path)["status"] == "pending"


def test_a_form_from_another_site_is_refused(client: httpx.Client, customer: Customer) -> None:
    path = session(client)
    data = {"page": token_of(customer.get(path).text), "card": "sbx_approve"}
    for site in ("cross-site", "same-site"):
        answer = customer.http.post(f"{path}/pay", data=data, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403
        plain = {"Sec-Fetch-Site": site, "Accept": "*/*"}
        is_problem(customer.http.post(f"{path}/pay", data=data, headers=plain), 403, "forbidden")
    assert order_of(client, path)["status"] == "pending"


def test_a_card_that_is_none_of_those_is_told_beside_the_choice(
    client: httpx.Client, customer: Customer
) -> None:
    path = session(client)
    answer = customer.pay(path, "sbx_gold")
    assert answer.status_code == 400
    assert '<p class="wrong" id="wrong">Choose a test card.</p>' in answer.text
    assert 'aria-describedby="wrong"' in answer.text
    data = {"page": token_of(answer.text), "card": "sbx_gold"}
    plain = customer.http.post(f"{path}/pay", data=data, headers={"Accept": "*/*"})
    assert is_problem(plain, 400, "invalid_request")["errors"][0]["field"] == "card"
    assert order_of(client, path)["status"] == "pending"


@pytest.mark.parametrize(
    "fields",
    [{"card": "4242 4242 4242 4242"}, {"number": "1"}, {"cvc": "123"}, {"x": "4242424242424242"}],
)
def test_s07_card_numbers_are_refused_and_nothing_is_kept(
    client: httpx.Client, customer: Customer, fields: dict[str, str]
) -> None:
    path = session(client)
    data = {"page": token_of(customer.get(path).text), "card": "sbx_approve", **fields}
    answer = customer.http.post(f"{path}/pay", data=data)
    assert answer.status_code == 400
    assert "never entered on this page" in answer.text
    assert "4242" not in answer.text
    plain = customer.http.post(f"{path}/pay", data=data, headers={"Accept": "*/*"})
    is_problem(plain, 400, "card_data_refused")
    assert order_of(client, path)["status"] == "pending"


def test_other_bodies_are_refused(client: httpx.Client, customer: Customer) -> None:
    path = session(client)
    plain = {"Accept": "*/*"}
    post = customer.http.post
    is_problem(
        post(f"{path}/pay", json={"page": "x"}, headers=plain), 415, "unsupported_media_type"
    )
    form = {"Content-Type": "application/x-www-form-urlencoded", **plain}
    for body in (b"page=\xff", b"page=a&page=b", b"page=%00", b"", b"other=1"):
        answer = post(f"{path}/pay", content=body, headers=form)
        is_problem(answer, 400, "invalid_request")


def test_pages_of_nothing_are_a_404_for_people_and_machines(
    client: httpx.Client, customer: Customer
) -> None:
    never_sent = client.post("/v1/orders", json={"amount": 5}).json()["id"]
    for unknown in ("x", f"cs_{'0' * 26}", never_sent, never_sent.replace("ord_", "cs_")):
        for path in (f"/checkout/{unknown}", f"/checkout/{unknown}/next"):
            answer = customer.get(path)
            assert answer.status_code == 404
            assert "There is no such page" in answer.text
            is_problem(client.get(path), 404, "not_found")
        page = {"page": f"0.{'a' * 64}"}
        is_problem(client.post(f"/checkout/{unknown}/pay", data=page), 404, "not_found")


def test_the_address_of_the_order_is_the_same_page(
    client: httpx.Client, customer: Customer
) -> None:
    path = session(client)
    other = path.replace("cs_", "ord_")
    token = token_of(customer.get(other).text)
    paid = customer.pay(path, page=token)
    assert "Thank you" in customer.onward(other).text, (paid, paid.text, order_of(client, path))


def challenged(client: httpx.Client, customer: Customer, **fields: Any) -> tuple[str, str]:
    """Return a session whose bank asks, and the bank's page."""
    path = session(client, **fields)
    customer.pay(path, "sbx_challenge")
    bank = refresh_of(customer.get(f"{path}/next").text)
    assert bank is not None
    return path, bank.removeprefix("http://loop.test")


def test_the_bank_is_reached_by_a_page_and_can_be_reached_again(
    client: httpx.Client, customer: Customer
) -> None:
    path, bank = challenged(client, customer)
    page = customer.get(path).text
    assert f'href="http://loop.test{bank}"' in page
    assert refresh_of(page) is None
    approved = customer.http.post(f"{bank}/approve")
    assert approved.status_code == 303
    back = customer.get(approved.headers["location"])
    assert back.headers["location"].startswith(f"{SHOP}?orderId=")
    assert back.headers["location"].endswith("&status=captured")


def test_who_fails_at_the_bank_comes_back_to_the_page(
    client: httpx.Client, customer: Customer
) -> None:
    path, bank = challenged(client, customer)
    failed = customer.http.post(f"{bank}/fail")
    back = customer.get(failed.headers["location"])
    assert (back.status_code, back.headers["location"]) == (303, path.replace("cs_", "ord_"))
    page = customer.onward(path).text
    assert "could not confirm that it is you" in page
    customer.pay(path)
    assert order_of(client, path)["status"] == "captured"


def test_a_payment_that_takes_its_time_waits_without_scripts(
    client: httpx.Client, customer: Customer
) -> None:
    path = session(client)
    client.post(
        f"/v1/orders/{order_of(client, path)['id']}/pay",
        json={"paymentMethod": {"type": "card", "token": "sbx_pending"}},
        headers={"Prefer": "wait=0"},
    )
    page = customer.get(path).text
    if "being processed" in page:  # a slow machine may be done before it is looked at
        assert refresh_of(page) == f"{path}/next"
    assert "successfully" not in page


def test_an_order_that_was_declined_on_the_page_goes_home_to_its_own_return_url(
    client: httpx.Client, customer: Customer
) -> None:
    """A payment's own returnUrl stays that of the customer's further tries."""
    path = session(client)
    order_id = order_of(client, path)["id"]
    own = "https://shop.example/payment"
    client.post(
        f"/v1/orders/{order_id}/pay",
        json={"paymentMethod": {"type": "card", "token": "sbx_decline"}, "returnUrl": own},
        headers={"Prefer": "wait=20"},
    )
    customer.pay(path)
    assert refresh_of(customer.onward(f"{path}/next").text) == (
        f"{own}?orderId={order_id}&status=captured"
    )


def test_a_cancelled_order_is_said_to_be(client: httpx.Client, customer: Customer) -> None:
    path = session(client)
    token = token_of(customer.get(path).text)
    client.post(f"/v1/orders/{order_of(client, path)['id']}/cancel")
    assert "was cancelled" in customer.get(path).text
    assert customer.pay(path, page=token).status_code == 303
    assert order_of(client, path)["attempts"] == []


async def over(service: Service, caller: Caller, ends: datetime) -> str:
    new = NewOrder(amount_minor=500, currency="USD", session=True, expires_at=ends, cancel_url=CART)
    return (await create_order(service.app.ports, caller, new, None)).order.id


def test_an_expired_page_says_so_and_its_form_pays_nothing(
    service: Service, merchant: Caller, client: httpx.Client, customer: Customer
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    path = f"/checkout/{service.call(over(service, merchant, soon))}"
    token = token_of(customer.get(path).text)
    asyncio.run(until(lambda: "has expired" in customer.get(path).text))
    assert CART in customer.get(path).text
    assert customer.pay(path, page=token).status_code == 303
    order = order_of(client, path)
    assert order["attempts"] == []
    asyncio.run(until(lambda: order_of(client, path)["status"] == "expired"))


def test_live_orders_show_no_test_cards_and_no_banner(
    service: Service, merchant: Caller, customer: Customer
) -> None:
    key, _ = service.key(merchant, mode="live")
    with service.client(key) as live:
        text = customer.get(session(live)).text
    assert "Test mode" not in text
    assert "sbx_" not in text
    assert "cannot be made here now" in text


ASKED = Collecting(
    reference="pi_1",
    back_url="https://pay.example/checkout/ord_1/return",
    cancel_url="https://pay.example/checkout/ord_1",
    shop="Test shop",
    client_secret="pi_1_secret_2",
    publishable_key="pk_test_3",
    key_id="rzp_test_4",
)


def test_scripts_of_a_vendor_are_for_the_real_vendor_only() -> None:
    real = StripePage().collect(ASKED)
    assert isinstance(real, VendorScript)
    assert real.script == SCRIPT
    assert StripePage().cards == ()
    sandbox = StripePage(base_url="http://127.0.0.1:1/stripe").collect(ASKED)
    assert isinstance(sandbox, VendorForm)
    assert sandbox.action == "http://127.0.0.1:1/pay/pi_1"
    razorpay = RazorpayPage().collect(ASKED)
    assert isinstance(razorpay, VendorForm)
    assert razorpay.action == "https://api.razorpay.com/v1/checkout/embedded"
    assert dict(razorpay.fields)["callback_url"] == ASKED.back_url
    sandbox = RazorpayPage(base_url="http://127.0.0.1:1/razorpay").collect(ASKED)
    assert isinstance(sandbox, VendorForm)
    assert sandbox.action == "http://127.0.0.1:1/checkout/pi_1/pay"


def test_secrets_of_an_open_challenge_are_in_no_repr() -> None:
    for page in (StripePage(), StripePage(base_url="http://127.0.0.1:1")):
        assert "secret_2" not in f"{ASKED!r} {page.collect(ASKED)!r}"


def test_our_own_script_is_served(client: httpx.Client) -> None:
    answer = client.get("/checkout/assets/stripe.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "confirmPayment" in answer.text
