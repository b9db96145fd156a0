"""The vendors' pages as a browser walks through them: on to the bank, and back to the shop."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.adapters.sandbox_server import razorpay_shop, stripe_shop
from tests.sandbox_server import SandboxServer

BROWSER = {"Accept": "text/html"}


def post(sandbox: SandboxServer, path: str, **form: str) -> httpx.Response:
    with httpx.Client(base_url=sandbox.ready.url, trust_env=False, timeout=90) as http:
        return http.post(path, data=form, headers=BROWSER)


@pytest.mark.parametrize(
    ("card", "said"),
    [("pm_card_visa", "succeeded"), ("pm_card_visa_chargeDeclined", "failed")],
)
def test_stripes_form_leads_back_to_the_shop(
    sandbox: SandboxServer, shop: Any, card: str, said: str
) -> None:
    pi = stripe_shop.create(shop)
    answer = post(
        sandbox,
        f"/pay/{pi.id}",
        client_secret=pi.client_secret,
        payment_method=card,
        return_url=stripe_shop.URL,
    )
    assert answer.status_code == 303
    back = urlsplit(answer.headers["location"])
    assert back.path == "/back"
    assert parse_qs(back.query)["redirect_status"] == [said]


def test_stripes_form_leads_on_to_the_bank(sandbox: SandboxServer, shop: Any) -> None:
    pi = stripe_shop.create(shop)
    answer = post(
        sandbox,
        f"/pay/{pi.id}",
        client_secret=pi.client_secret,
        payment_method="pm_card_threeDSecure2Required",
        return_url=stripe_shop.URL,
    )
    assert answer.status_code == 303
    assert f"/3ds/{pi.id}" in answer.headers["location"]


def fields(page: str) -> set[str]:
    return set(re.findall(r'name="([^"]+)"', page))


def test_razorpays_form_brings_back_the_triple_or_the_error(
    sandbox: SandboxServer, dukan: Any
) -> None:
    made = razorpay_shop.order(dukan)
    path, back = f"/checkout/{made['id']}/pay", "http://shop.test/back"
    refused = post(sandbox, path, outcome="card_declined", callback_url=back)
    assert fields(refused.text) == {"error[code]", "error[description]", "error[reason]"}
    paid = post(sandbox, path, outcome="success", callback_url=back)
    assert fields(paid.text) == {"razorpay_payment_id", "razorpay_order_id", "razorpay_signature"}
    assert f'action="{back}"' in paid.text


def test_what_is_no_page_is_a_404(sandbox: SandboxServer) -> None:
    for path in ("/favicon.ico", "/checkout"):
        with httpx.Client(base_url=sandbox.ready.url, trust_env=False) as http:
            assert http.get(path, headers=BROWSER).status_code == 404
