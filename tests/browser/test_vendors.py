"""Paying at both vendors' sandboxes: their own pages, and back by the hosted page to the shop."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect
from psycopg import sql

from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from commands.caller import Caller
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.processor import Credentials
from tests.browser.accessibility import check
from tests.browser.conftest import WAIT_MS, shop_page
from tests.conftest import at_database
from tests.gateway.conftest import Service, settings_for
from tests.sandbox_server import SandboxServer, sandbox_server

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_server(tmp_path_factory.mktemp("vendors")) as running:
        yield running


@pytest.fixture(scope="module")
def service(
    postgres: EmbeddedPostgres,
    database_template: str,
    nats_server: EmbeddedNats,
    tmp_path_factory: pytest.TempPathFactory,
    vendors: SandboxServer,
) -> Iterator[Service]:
    name = f"vendors_{secrets.token_hex(4)}"
    database, template = sql.Identifier(name), sql.Identifier(database_template)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, template))
        url = at_database(postgres.url, name)
        settings = replace(
            settings_for(tmp_path_factory.mktemp(name), url, nats_server.url),
            stripe_base_url=vendors.ready.stripe_url,
            razorpay_base_url=vendors.ready.razorpay_url,
        )
        with Service(settings) as running:
            yield running
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@pytest.fixture(scope="module")
def merchant(service: Service) -> Caller:
    """A merchant with an account at each vendor."""
    caller, key = service.merchant(), secrets.token_hex(6)
    stripe = {"secret_key": f"sk_test_{key}", "publishable_key": "pk_test_1"}
    razorpay = {"key_id": f"rzp_test_{key}", "key_secret": "secret"}
    for name, values in (("stripe", stripe), ("razorpay", razorpay)):
        account = ProcessorAccount(processor=name, credentials=Credentials(values))
        service.call(configure_processor(service.app.ports, caller, account))
    return caller


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    context.route("http://shop.test/**", shop_page)
    yield context.new_page()
    context.close()


def order_of(client: httpx.Client, order_id: str) -> dict[str, Any]:
    order: dict[str, Any] = client.get(f"/v1/orders/{order_id}").json()
    return order


def at_the_shop(page: Page, client: httpx.Client, order_id: str) -> None:
    page.wait_for_url(f"http://shop.test/thanks?orderId={order_id}&status=captured")
    assert order_of(client, order_id)["amountCaptured"] == 4999


def test_an_order_without_a_token_is_paid_at_stripe_by_a_plain_form(
    client: httpx.Client, page: Page, vendors: SandboxServer
) -> None:
    body = {"amount": 4999, "returnUrl": "http://shop.test/thanks"}
    order_id = client.post("/v1/orders", json=body).json()["id"]
    asked = client.post(f"/v1/orders/{order_id}/pay", json={}, headers={"Prefer": "wait=20"})
    assert asked.json()["nextAction"]["type"] == "collect_payment_method"
    page.goto(asked.json()["redirectUrl"])
    check(page)
    page.get_by_label("Test card").select_option("pm_card_visa_chargeDeclined")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("did not go through")
    check(page)
    page.get_by_label("Test card").select_option("pm_card_threeDSecure2Required")
    page.get_by_role("button").click()
    page.get_by_role("button", name="Approve").click()
    at_the_shop(page, client, order_id)
    assert vendors.control("GET", "books")["violations"] == []


def test_a_decline_at_stripe_goes_on_at_razorpay_and_the_customer_hears_why(
    client: httpx.Client, page: Page, vendors: SandboxServer
) -> None:
    body = {
        "amount": 4999,
        "successUrl": "http://shop.test/thanks",
        "cancelUrl": "http://shop.test",
    }
    url = client.post("/v1/checkout/sessions", json=body).json()["url"]
    order_id = url.rpartition("/")[2].replace("cs_", "ord_")
    page.goto(url)
    page.get_by_role("radio", name="Declined pm_card_visa_chargeDeclined", exact=True).check()
    page.get_by_role("button").click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("The bank declined the payment. Nothing was charged.")
    check(page)
    page.get_by_label("Outcome of the test").select_option("card_declined")
    page.get_by_role("button").click()
    expect(told).to_contain_text("did not go through")
    page.get_by_label("Outcome of the test").select_option("success")
    page.get_by_role("button").click()
    at_the_shop(page, client, order_id)
    used = [a["processor"] for a in order_of(client, order_id)["attempts"]]
    assert used == ["stripe", "razorpay"]
    assert vendors.control("GET", "books")["violations"] == []
