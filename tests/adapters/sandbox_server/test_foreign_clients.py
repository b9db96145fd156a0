"""What strangers' clients ask beside the payments: the vendors' other SDKs, and mistakes."""

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import stripe

from tests.adapters.sandbox_server.razorpay_shop import captured as paid_in_rupees
from tests.adapters.sandbox_server.stripe_shop import captured, create, held, said
from tests.sandbox_server import SandboxServer

STRIPE: Final = {"authorization": "Bearer sk_test_stranger"}
RAZORPAY: Final = {"authorization": "Basic cnpwX3Rlc3Rfc3RyYW5nZXI6c2VjcmV0"}
CARD: Final = '"amount":100,"currency":"INR","method":"card","card":{"number":"4100280000001007"}}'
FORM: Final = "application/x-www-form-urlencoded"


@pytest.fixture
def http(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.ready.url, trust_env=False, timeout=60) as client:
        yield client


def test_a_customers_payment_methods(shop: Any) -> None:
    customer = shop.customers.create({"name": "Ada", "address": {"city": "Pune"}}).id
    kept = shop.payment_methods.create(
        {"type": "card", "card": {"token": "tok_visa"}, "billing_details": {"name": "Ada"}}
    )
    assert (kept.billing_details.name, kept.customer) == ("Ada", None)
    shop.payment_methods.attach(kept.id, {"customer": customer})
    other = shop.payment_methods.attach("pm_card_mastercard", {"customer": customer})
    assert [one.id for one in shop.customers.payment_methods.list(customer)] == [other.id, kept.id]
    assert shop.customers.payment_methods.retrieve(customer, kept.id).id == kept.id
    usual = {"invoice_settings": {"default_payment_method": kept.id}}
    shop.customers.update(customer, {**usual, "address": {"city": "Goa"}})
    found = shop.customers.retrieve(customer, {"expand": [
        "invoice_settings.default_payment_method"]})  # fmt: skip
    assert found.address.city == "Goa"
    assert found.invoice_settings.default_payment_method.card.last4 == "4242"
    changed = shop.payment_methods.update(kept.id, {"metadata": {"a": "b"}, "card": {
        "exp_year": 2040}})  # fmt: skip
    assert (changed.metadata.a, changed.card.exp_year) == ("b", 2040)
    assert shop.payment_methods.detach(kept.id).customer is None
    assert [one.id for one in shop.customers.payment_methods.list(customer)] == [other.id]
    with pytest.raises(stripe.InvalidRequestError):
        shop.customers.payment_methods.retrieve(customer, kept.id)


def test_of_a_deleted_customer_there_is_that_he_was(shop: Any) -> None:
    customer = shop.customers.create({"payment_method": "pm_card_visa"}).id
    assert len(shop.customers.payment_methods.list(customer).data) == 1
    shop.customers.delete(customer)
    assert shop.customers.retrieve(customer).deleted
    assert shop.customers.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        create(shop, customer=customer)
    assert said(caught).code == "resource_missing"


def test_the_amount_changes_until_it_is_held(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    changed = shop.payment_intents.update(
        pi.id, {"amount": 1500, "payment_method": "pm_card_visa", "metadata": {"order_id": "ord_1"}}
    )
    assert (changed.amount, changed.currency) == (1500, "usd")
    assert changed.status == "requires_confirmation"
    assert shop.payment_intents.confirm(pi.id, {"return_url": "http://x.test"}).status == (
        "requires_capture"
    )
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.payment_intents.update(pi.id, {"amount": 1})
    assert said(caught).code == "payment_intent_unexpected_state"
    assert shop.payment_intents.capture(pi.id).amount_received == 1500
    assert sandbox.violations() == []


def test_the_balance_is_what_was_taken_less_fees_until_it_is_available(
    sandbox: SandboxServer, shop: Any
) -> None:
    captured(shop, 1000)
    balance = shop.balance.retrieve()
    assert [(one.amount, one.currency) for one in balance.pending] == [(941, "usd")]
    assert balance.available[0].amount == 0
    sandbox.advance("3d")
    assert [one.amount for one in shop.balance.retrieve().available] == [941]


def test_a_key_tells_its_account(shop: Any) -> None:
    account = shop.accounts.retrieve_current()
    assert account.id.startswith("acct_")
    assert account.charges_enabled


def test_a_charge_with_its_refunds(shop: Any) -> None:
    pi = captured(shop, 1000)
    refund = shop.refunds.create({"payment_intent": pi.id, "amount": 300})
    charge = shop.charges.retrieve(pi.latest_charge, {"expand": ["refunds"]})
    assert [one.id for one in charge.refunds.data] == [refund.id]
    assert shop.charges.update(charge.id, {"metadata": {"a": "b"}}).metadata.a == "b"
    with pytest.raises(stripe.InvalidRequestError, match="canceled"):
        shop.refunds.cancel(refund.id)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/subscriptions",
        "/v1/payment_intents/pi_1/a/b",
        "/v1/customers/cus_1/sources/card_1",
        "/v2/core/events",
        "/stripe/v2/core/events",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_what_stripe_is_not_asked_here_is_refused_in_its_words(
    http: httpx.Client, method: str, path: str
) -> None:
    answer = http.request(method, path, headers=STRIPE)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")
    assert answer.headers["request-id"].startswith("req_")


@pytest.mark.parametrize("path", ["/v1/plans", "/v1/payments/pay_1/x", "/v2/x", "/razorpay/v2/x"])
def test_what_razorpay_is_not_asked_here_is_refused_in_its_words(
    http: httpx.Client, path: str
) -> None:
    answer = http.get(path, headers=RAZORPAY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "BAD_REQUEST_ERROR")


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("POST", "payment_intents", "amount=1000&currency=usd&customer[a]=b"),
        ("POST", "payment_intents", "amount=1000&currency=usd&confirm=true&payment_method[a]=b"),
        ("POST", "payment_intents", "amount=1000&currency=usd&amount[a]=b"),
        ("POST", "payment_intents", "amount=1000&currency=usd&metadata" + "[a]" * 50_000 + "=b"),
        ("POST", "refunds", "payment_intent[a]=b"),
        ("POST", "refunds", "charge[]=b"),
        ("POST", "webhook_endpoints", "url=http://x.test&enabled_events[0][a]=b"),
        ("GET", "payment_intents", "starting_after[a]=b"),
        ("GET", "payment_intents", "limit=0"),
        ("GET", "refunds", "payment_intent[a]=b"),
        ("GET", "refunds", "types=x"),
    ],
)
def test_a_parameter_of_another_shape_is_stripes_error(
    http: httpx.Client, method: str, path: str, form: str
) -> None:
    sent = STRIPE | {"content-type": FORM}
    answer = http.request(
        method,
        f"/v1/{path}" if method == "POST" else f"/v1/{path}?{form}",
        content=form if method == "POST" else None,
        headers=sent,
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("orders", '{"amount":100,"currency":"INR","payment":{"capture_options":[1]}}'),
        ("orders", "[" * 100_000),
        ("payments/create/json", f'{{"order_id":{{"a":1}},{CARD}'),
        ("payments/create/json", f'{{"callback_url":[1],{CARD}'),
    ],
)
def test_a_member_of_another_shape_is_razorpays_error(
    http: httpx.Client, path: str, body: str
) -> None:
    sent = RAZORPAY | {"content-type": "application/json"}
    answer = http.post(f"/v1/{path}", content=body, headers=sent)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST_ERROR")
    assert http.get("/v1/orders?skip=-1", headers=RAZORPAY).status_code == 400


def test_razorpay_takes_forms_as_some_of_its_sdks_send_them(http: httpx.Client) -> None:
    form = "amount=50000&currency=INR&receipt=r1&payment_capture=1&notes[order_id]=o1&notes[a]=b"
    sent = RAZORPAY | {"content-type": FORM}
    order = http.post("/v1/orders", content=form, headers=sent).json()
    assert (order["amount"], order["notes"]) == (50_000, {"order_id": "o1", "a": "b"})
    payment = http.post(f"/checkout/{order['id']}/pay", data={"outcome": "success"}).json()
    paid = http.get(f"/v1/payments/{payment['razorpay_payment_id']}", headers=RAZORPAY).json()
    assert paid["status"] == "captured"


def test_a_razorpay_refunds_notes_change(sandbox: SandboxServer, dukan: Any) -> None:
    payment = paid_in_rupees(sandbox, dukan)
    refund = dukan.payment.refund(payment["id"], {"amount": 100, "receipt": "ref_1"})
    changed = dukan.refund.edit(refund["id"], {"notes": {"why": "late"}})
    assert (changed["notes"], changed["amount"]) == ({"why": "late"}, 100)
    assert dukan.refund.fetch(refund["id"])["notes"] == {"why": "late"}


def test_pages_follow_each_other_in_both_directions(shop: Any) -> None:
    made = [held(shop, 1000 + n).id for n in range(7)][::-1]
    forward = shop.payment_intents.list({"limit": 3}).auto_paging_iter()
    assert [pi.id for pi in forward] == made
    backward = shop.payment_intents.list({"limit": 2, "ending_before": made[-1]})
    assert [pi.id for pi in backward.auto_paging_iter()] == made[:-1][::-1]
