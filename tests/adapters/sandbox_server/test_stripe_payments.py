from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import stripe

from tests.adapters.sandbox_server.stripe_shop import (
    URL,
    captured,
    confirm,
    create,
    held,
    kinds,
    said,
)
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content")


async def test_a_life_through_the_asynchronous_client(sandbox: SandboxServer) -> None:
    http = stripe.HTTPXClient(timeout=httpx.Timeout(10))
    client = stripe.StripeClient(
        "sk_test_sandbox", base_addresses={"api": sandbox.ready.stripe_url}, http_client=http
    )
    pi = await client.v1.payment_intents.create_async(
        {"amount": 1000, "currency": "usd", "capture_method": "manual"}, {"idempotency_key": "k"}
    )
    pi = await client.v1.payment_intents.confirm_async(
        pi.id, {"payment_method": "pm_card_visa", "return_url": URL}
    )
    pi = await client.v1.payment_intents.capture_async(pi.id)
    refund = await client.v1.refunds.create_async({"payment_intent": pi.id, "amount": 300})
    await http.close_async()

    assert (pi.status, pi.amount_received, refund.status) == ("succeeded", 1000, "succeeded")


def test_manual_capture_holds_first(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    assert (pi.status, pi.latest_charge) == ("requires_payment_method", None)

    pi = confirm(shop, pi, expand=["latest_charge.payment_method_details"])

    card = pi.latest_charge.payment_method_details.card
    assert (pi.status, pi.amount_capturable, pi.amount_received) == ("requires_capture", 1000, 0)
    assert (card.brand, card.country) == ("visa", "US")
    assert card.capture_before - pi.latest_charge.created == 7 * 86_400
    assert sandbox.books()["orders"]["ord_1"]["held"] == 1000
    assert kinds(shop) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
    ]


def test_automatic_capture_takes_at_once(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop, capture_method="automatic", confirm=True, payment_method="pm_card_mastercard",
                return_url=URL)  # fmt: skip

    assert (pi.status, pi.amount_received) == ("succeeded", 1000)
    assert sandbox.books()["orders"]["ord_1"]["captured"] == 1000


def test_a_partial_capture_releases_the_rest(sandbox: SandboxServer, shop: Any) -> None:
    pi = shop.payment_intents.capture(held(shop).id, {"amount_to_capture": 600})

    order = sandbox.books()["orders"]["ord_1"]
    assert (pi.status, pi.amount_received, pi.amount_capturable) == ("succeeded", 600, 0)
    assert (order["captured"], order["held"]) == (600, 0)
    charge = shop.charges.retrieve(pi.latest_charge, {"expand": ["balance_transaction"]})
    assert (charge.balance_transaction.amount, charge.balance_transaction.fee) == (600, 47)


def test_several_captures_need_multicapture(sandbox: SandboxServer, shop: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        shop.payment_intents.capture(
            held(shop).id, {"amount_to_capture": 600, "final_capture": False}
        )
    options = {"card": {"request_multicapture": "if_available"}}
    pi = confirm(shop, create(shop, order="ord_2"), payment_method_options=options)
    part = {"amount_to_capture": 600, "final_capture": False}

    pi = shop.payment_intents.capture(pi.id, part)
    assert (pi.status, pi.amount_capturable) == ("requires_capture", 400)
    sandbox.advance("7d")

    pi = shop.payment_intents.retrieve(pi.id)
    assert (pi.status, pi.amount_received, pi.amount_capturable) == ("succeeded", 600, 0)


def test_captures_stay_below_what_is_held(shop: Any) -> None:
    pi = held(shop)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.payment_intents.capture(pi.id, {"amount_to_capture": 1001})
    assert refused.value.code == "amount_too_large"


def test_a_hold_expires_after_seven_days(sandbox: SandboxServer, shop: Any) -> None:
    pi = held(shop)

    sandbox.advance(7 * 86_400 - 60)
    assert shop.payment_intents.retrieve(pi.id).status == "requires_capture"
    sandbox.advance(60)

    pi = shop.payment_intents.retrieve(pi.id)
    assert (pi.status, pi.cancellation_reason) == ("canceled", "automatic")
    assert kinds(shop)[-2:] == ["charge.expired", "payment_intent.canceled"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.payment_intents.capture(pi.id)
    assert said(refused).payment_intent.status == "canceled"


def test_cancelling_releases_and_fences(sandbox: SandboxServer, shop: Any) -> None:
    pi = shop.payment_intents.cancel(held(shop).id, {"cancellation_reason": "abandoned"})
    assert (pi.status, pi.cancellation_reason) == ("canceled", "abandoned")
    assert sandbox.books()["orders"]["ord_1"]["held"] == 0

    for again in (lambda: confirm(shop, pi), lambda: shop.payment_intents.cancel(pi.id)):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            again()
        assert refused.value.code == "payment_intent_unexpected_state"


def test_what_succeeded_cannot_be_cancelled(shop: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.payment_intents.cancel(captured(shop).id)
    assert said(refused).payment_intent.status == "succeeded"


def test_the_customer_authenticates_and_comes_back(sandbox: SandboxServer, shop: Any) -> None:
    pi = held(shop, 1000, "pm_card_threeDSecure2Required")
    assert pi.status == "requires_action"
    path = urlsplit(pi.next_action.redirect_to_url.url).path
    assert "Approve" in sandbox.page("GET", path).text

    back = sandbox.page("POST", f"{path}/approve", client_secret=pi.client_secret)

    assert back.status_code == 303
    query = parse_qs(urlsplit(back.headers["location"]).query)
    assert query["payment_intent"] == [pi.id]
    assert query["payment_intent_client_secret"] == [pi.client_secret]
    assert shop.payment_intents.retrieve(pi.id).status == "requires_capture"


def test_a_failed_authentication_may_be_tried_again(sandbox: SandboxServer, shop: Any) -> None:
    pi = held(shop, 1000, "pm_card_threeDSecure2Required")

    sandbox.page("POST", f"/3ds/{pi.id}/fail")

    pi = shop.payment_intents.retrieve(pi.id)
    assert pi.status == "requires_payment_method"
    assert pi.last_payment_error.code == "payment_intent_authentication_failure"
    assert confirm(shop, pi).status == "requires_capture"


def test_manual_confirmation_is_confirmed_twice(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop, confirmation_method="manual")
    pi = confirm(shop, pi, "pm_card_threeDSecure2Required")
    sandbox.page("POST", f"/3ds/{pi.id}/approve")

    assert shop.payment_intents.retrieve(pi.id).status == "requires_confirmation"
    assert shop.payment_intents.confirm(pi.id).status == "requires_capture"


def test_without_a_return_url_the_sdk_in_the_page_goes_on(shop: Any) -> None:
    apart = {"enabled": True, "allow_redirects": "never"}
    pi = create(shop, automatic_payment_methods=apart)
    pi = shop.payment_intents.confirm(pi.id, {"payment_method": "pm_card_threeDSecure2Required"})

    assert pi.next_action.type == "use_stripe_sdk"


def test_confirming_needs_somewhere_to_come_back_to(shop: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.payment_intents.confirm(create(shop).id, {"payment_method": "pm_card_visa"})
    assert refused.value.param == "return_url"


@pytest.mark.parametrize("how", [{"off_session": True}, {"error_on_requires_action": True}])
def test_nobody_there_to_authenticate(shop: Any, how: dict[str, bool]) -> None:
    pi = create(shop)
    with pytest.raises(stripe.CardError) as declined:
        confirm(shop, pi, "pm_card_authenticationRequired", **how)
    assert declined.value.code == "authentication_required"
    assert shop.payment_intents.retrieve(pi.id).status == "requires_payment_method"


def test_a_declined_payment_is_paid_in_the_old_tab(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    with pytest.raises(stripe.CardError):
        confirm(shop, pi, "pm_card_visa_chargeDeclined")
    assert "pm_card_visa" in sandbox.page("GET", f"/pay/{pi.id}").text

    wrong = sandbox.page("POST", f"/pay/{pi.id}", client_secret="x", payment_method="pm_card_visa")
    paid = sandbox.page("POST", f"/pay/{pi.id}", client_secret=pi.client_secret)

    assert (wrong.status_code, paid.status_code) == (404, 200)
    assert shop.payment_intents.retrieve(pi.id).status == "requires_capture"


def test_a_cancelled_payment_cannot_be_paid_in_the_old_tab(
    sandbox: SandboxServer, shop: Any
) -> None:
    pi = shop.payment_intents.cancel(create(shop).id)
    assert sandbox.page("POST", f"/pay/{pi.id}").status_code == 400


def test_cards_by_token_number_and_saved_id(shop: Any) -> None:
    data = {"type": "card", "card": {"token": "tok_mastercard"}}
    pi = shop.payment_intents.confirm(
        create(shop).id,
        {"payment_method_data": data, "return_url": URL, "expand": ["payment_method"]},
    )
    assert pi.payment_method.card.brand == "mastercard"
    assert shop.payment_methods.retrieve(pi.payment_method.id).card.last4 == "4444"
    assert confirm(shop, create(shop), pi.payment_method.id).status == "requires_capture"
    number = {"type": "card", "card": {"number": "4000000000000002"}}
    with pytest.raises(stripe.CardError):
        shop.payment_intents.confirm(
            create(shop).id, {"payment_method_data": number, "return_url": URL}
        )


def test_test_cards_can_be_read_before_they_are_used(shop: Any) -> None:
    method = shop.payment_methods.retrieve("pm_card_in")
    assert (method.card.brand, method.card.country) == ("visa", "IN")
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.payment_methods.retrieve("pm_nobody")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_metadata_is_kept(shop: Any) -> None:
    pi = create(shop, metadata={"order_id": "o", "attempt_id": "a"})
    shop.payment_intents.update(pi.id, {"metadata": {"attempt_id": "", "more": "x"}})
    assert shop.payment_intents.retrieve(pi.id).metadata.to_dict() == {"order_id": "o", "more": "x"}


def test_lists_by_time_customer_and_cursor(sandbox: SandboxServer, shop: Any) -> None:
    customer = shop.customers.create({"email": "a@example.com"})
    first = create(shop, order="a")
    sandbox.advance(100)
    rest = [create(shop, order=name, customer=customer.id) for name in "bcd"]

    listed = shop.payment_intents.list
    assert [pi.id for pi in listed({"created": {"lt": rest[0].created}}).data] == [first.id]
    assert len(listed({"customer": customer.id}).data) == 3
    page = listed({"limit": 2})
    assert page.has_more
    after = listed({"limit": 2, "starting_after": page.data[-1].id})
    assert [pi.id for pi in after.data] == [rest[0].id, first.id]
    assert not after.has_more
    newer = listed({"limit": 1, "ending_before": rest[1].id})
    assert [pi.id for pi in newer.data] == [rest[2].id]
    assert len(list(listed({"limit": 1}).auto_paging_iter())) == 4


@pytest.mark.parametrize(
    ("amount", "currency", "good"),
    [
        (500, "jpy", True),
        (5120, "kwd", True),
        (5124, "kwd", False),
        (500, "isk", True),
        (550, "isk", False),
        (500, "ugx", True),
        (49, "usd", False),
        (99_999_999, "usd", True),
        (100_000_000, "usd", False),
        (0, "usd", False),
        (1000, "xxx", False),
    ],
)
def test_currencies_as_stripe_counts_them(
    shop: Any, amount: int, currency: str, *, good: bool
) -> None:
    if good:
        assert create(shop, amount, currency=currency).amount == amount
        return
    with pytest.raises(stripe.InvalidRequestError):
        create(shop, amount, currency=currency)


def test_accounts_see_only_their_own(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    with sandbox.stripe("sk_test_sandbox_other") as same, sandbox.stripe("sk_test_b") as other:
        assert same.v1.payment_intents.retrieve(pi.id).id == pi.id
        with pytest.raises(stripe.InvalidRequestError) as missing:
            other.v1.payment_intents.retrieve(pi.id)
    assert missing.value.http_status == 404


def test_who_gives_the_authentication_up_stays_there(sandbox: SandboxServer, shop: Any) -> None:
    pi = held(shop, 1000, "pm_card_threeDSecure2Required")
    left = sandbox.page("POST", f"/3ds/{pi.id}/abandon")
    assert (left.status_code, left.json()["status"]) == (200, "requires_action")


@pytest.mark.parametrize(("amount", "made"), [(5001, 0), (5002, 1), (5004, 1), (5005, 0)])
def test_creating_and_confirming_at_once_with_an_unknown_outcome(
    sandbox: SandboxServer, shop: Any, amount: int, made: int
) -> None:
    with pytest.raises(stripe.StripeError):
        create(shop, amount, confirm=True, payment_method="pm_card_visa", return_url=URL)
    found = shop.payment_intents.list().data
    assert [pi.status for pi in found] == ["requires_capture"] * made
    assert sandbox.violations() == []
