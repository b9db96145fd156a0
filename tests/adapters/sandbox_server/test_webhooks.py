"""Webhooks of both dialects, checked with the vendors' own verifiers."""

from typing import Any

import pytest
import razorpay.errors
import stripe

from tests.adapters.sandbox_server.razorpay_shop import captured as paid_for
from tests.adapters.sandbox_server.razorpay_shop import order, paid, pay
from tests.adapters.sandbox_server.stripe_shop import captured, create, held
from tests.sandbox_server import Heard, Listener, SandboxServer

SECRET = "whsec_of_this_test"


@pytest.fixture
def hooked(sandbox: SandboxServer, listener: Listener) -> Listener:
    """Both dialects deliver to the listener."""
    for dialect in ("stripe", "razorpay"):
        sandbox.control("POST", "webhooks", dialect=dialect, url=listener.url, secret=SECRET)
    return listener


def is_good(heard: Heard, now: float, secret: str = SECRET) -> bool:
    """Whether Stripe's verifier takes it; the sandbox's clock may be far ahead of ours."""
    header = heard.headers["stripe-signature"]
    stamp = int(header.split(",")[0].removeprefix("t="))
    try:
        stripe.WebhookSignature.verify_header(heard.body.decode(), header, secret)
    except stripe.SignatureVerificationError:
        return False
    return abs(stamp - now) < 300


def clock(sandbox: SandboxServer) -> float:
    now: float = sandbox.control("GET", "clock")["now"]
    return now


def test_stripe_signs(sandbox: SandboxServer, shop: Any, hooked: Listener) -> None:
    held(shop)
    heard = hooked.wait(3)

    assert [one.kind for one in heard] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
    ]
    for one in heard:
        assert is_good(one, clock(sandbox))
        event = stripe.Webhook.construct_event(
            one.body, one.headers["stripe-signature"], SECRET, tolerance=10**9
        )
        assert event.data.object["livemode"] is False
        assert event.api_version == stripe.api_version
    assert {one.event["id"] for one in heard} == {e.id for e in shop.events.list().data}


def test_razorpay_signs(sandbox: SandboxServer, dukan: Any, hooked: Listener) -> None:
    paid_for(sandbox, dukan)
    heard = hooked.wait(3)

    assert [one.kind for one in heard] == ["payment.authorized", "payment.captured", "order.paid"]
    for one in heard:
        sign = one.headers["x-razorpay-signature"]
        dukan.utility.verify_webhook_signature(one.body.decode(), sign, SECRET)
        assert one.headers["x-razorpay-event-id"] not in one.body.decode()
    assert heard[2].event["contains"] == ["payment", "order"]
    assert heard[2].event["payload"]["order"]["entity"]["status"] == "paid"
    assert heard[0].event["payload"]["payment"]["entity"]["notes"] == []


def test_automatic_refunds_are_told(sandbox: SandboxServer, dukan: Any, hooked: Listener) -> None:
    paid(sandbox, dukan)
    sandbox.advance("5d")
    heard = hooked.wait(3)
    assert [one.kind for one in heard[1:]] == ["refund.created", "refund.processed"]
    assert heard[2].event["payload"]["payment"]["entity"]["captured"] is False


def test_stripes_endpoints_are_made_by_the_api(
    sandbox: SandboxServer, shop: Any, listener: Listener
) -> None:
    wanted = ["charge.captured", "payment_intent.succeeded"]
    made = shop.webhook_endpoints.create(
        {"url": listener.url, "enabled_events": wanted, "api_version": "2025-01-27.acacia"}
    )
    captured(shop)
    heard = listener.wait(2)

    assert [one.kind for one in heard] == wanted
    assert all(is_good(one, clock(sandbox), made.secret) for one in heard)
    assert heard[0].event["api_version"] == "2025-01-27.acacia"
    assert not hasattr(shop.webhook_endpoints.retrieve(made.id), "secret")
    shop.webhook_endpoints.update(made.id, {"disabled": True})
    captured(shop, order="ord_2")
    assert len(shop.webhook_endpoints.list().data) == 1
    assert shop.webhook_endpoints.delete(made.id).deleted
    assert len(sandbox.control("GET", "webhooks")["log"]) == 2


def test_others_do_not_hear_of_an_account(
    sandbox: SandboxServer, shop: Any, listener: Listener
) -> None:
    with sandbox.stripe("sk_test_other") as other:
        other.v1.webhook_endpoints.create({"url": listener.url, "enabled_events": ["*"]})
        create(shop)
        create(other.v1, order="theirs")
    assert listener.wait(1)[0].event["data"]["object"]["metadata"] == {"order_id": "theirs"}
    assert len(sandbox.control("GET", "webhooks")["log"]) == 1


def test_retries_are_signed_anew_on_the_virtual_clock(
    sandbox: SandboxServer, shop: Any, hooked: Listener
) -> None:
    hooked.answers = [500, 302]
    create(shop)
    hooked.wait(1)
    settled_tries(sandbox, 1)
    sandbox.advance(10)
    hooked.wait(2)
    settled_tries(sandbox, 2)
    sandbox.advance(60)
    heard = hooked.wait(3)

    assert len({one.body for one in heard}) == 1
    assert len({one.headers["stripe-signature"] for one in heard}) == 3
    assert is_good(heard[2], clock(sandbox))
    [logged] = settled(sandbox, 1)
    assert logged["state"] == "delivered"
    assert [one["status"] for one in logged["attempts"]] == [500, 302, 200]


def settled(sandbox: SandboxServer, count: int) -> list[Any]:
    """The log, once nothing is pending."""
    log: list[Any] = []

    def is_settled() -> bool:
        log[:] = sandbox.control("GET", "webhooks")["log"]
        return len(log) == count and all(one["state"] != "pending" for one in log)

    sandbox.wait_for(is_settled)
    return log


def test_an_endpoint_of_razorpay_is_disabled_after_a_day_of_failures(
    sandbox: SandboxServer, dukan: Any, hooked: Listener
) -> None:
    hooked.answers = [500] * 100
    pay(sandbox, order(dukan))
    for tries in range(1, 11):
        hooked.wait(tries)
        settled_tries(sandbox, tries)
        sandbox.advance("8h")
    [endpoint] = [one for one in sandbox.control("GET", "webhooks")["endpoints"]
                  if one["dialect"] == "razorpay"]  # fmt: skip
    assert endpoint["status"] == "disabled"


def test_secrets_are_rolled(
    sandbox: SandboxServer, shop: Any, dukan: Any, hooked: Listener
) -> None:
    hooked.answers = [500, 500]
    pay(sandbox, order(dukan))
    create(shop)
    hooked.wait(2)
    settled_tries(sandbox, 1)
    for endpoint in sandbox.control("GET", "webhooks")["endpoints"]:
        sandbox.control("POST", "webhooks/roll", id=endpoint["id"], secret="whsec_new")
    sandbox.advance(10)
    for one in hooked.wait(4)[2:]:
        if "stripe-signature" in one.headers:
            assert is_good(one, clock(sandbox), "whsec_new")
        else:  # Razorpay goes on with the old one
            sign = one.headers["x-razorpay-signature"]
            assert dukan.utility.verify_webhook_signature(one.body.decode(), sign, SECRET)


def settled_tries(sandbox: SandboxServer, tries: int) -> None:
    sandbox.wait_for(
        lambda: all(one["tries"] == tries for one in sandbox.control("GET", "webhooks")["log"])
    )


def test_7001_thrice(shop: Any, hooked: Listener) -> None:
    create(shop, 7001)
    assert len({one.body for one in hooked.wait(3)}) == 1


def test_7002_reversed(sandbox: SandboxServer, shop: Any, hooked: Listener) -> None:
    captured(shop, 7002)
    sandbox.advance(5)
    assert [one.kind for one in hooked.wait(5)] == [
        "payment_intent.succeeded",
        "charge.captured",
        "payment_intent.amount_capturable_updated",
        "charge.succeeded",
        "payment_intent.created",
    ]


def test_7003_before_the_answer(sandbox: SandboxServer, shop: Any, hooked: Listener) -> None:
    create(shop, 7003)
    assert hooked.kinds() == ["payment_intent.created"]
    with sandbox.razorpay() as dukan:
        pay(sandbox, order(dukan, 7003))
        dukan.payment.capture(dukan.payment.all()["items"][0]["id"], 7003, {"currency": "INR"})
    assert list(hooked.kinds())[-2:] == ["payment.captured", "order.paid"]


def test_7004_ten_minutes_late(sandbox: SandboxServer, shop: Any, hooked: Listener) -> None:
    create(shop, 7004)
    sandbox.advance(590)
    create(shop)
    assert hooked.wait(1)[0].event["data"]["object"]["amount"] == 1000
    sandbox.advance(20)
    assert hooked.wait(2)[1].event["data"]["object"]["amount"] == 7004


def test_7005_never(sandbox: SandboxServer, shop: Any, hooked: Listener) -> None:
    create(shop, 7005)
    create(shop)
    hooked.wait(1)
    states = [one["state"] for one in settled(sandbox, 2)]
    assert states == ["delivered", "dropped"]
    assert len(shop.events.list().data) == 2
    undelivered = shop.events.list({"delivery_success": False}).data
    assert [event.data.object.amount for event in undelivered] == [7005]
    sandbox.control("POST", "webhooks/redeliver")
    assert is_good(hooked.wait(2)[1], clock(sandbox))


@pytest.mark.parametrize("amount", [7006, 7007])
def test_signatures_that_are_not_right(
    sandbox: SandboxServer, shop: Any, dukan: Any, hooked: Listener, amount: int
) -> None:
    create(shop, amount)
    pay(sandbox, order(dukan, amount))
    for one in hooked.wait(2):
        if "stripe-signature" in one.headers:
            assert not is_good(one, clock(sandbox))
        else:
            with pytest.raises(razorpay.errors.SignatureVerificationError):
                dukan.utility.verify_webhook_signature(
                    one.body.decode(), one.headers["x-razorpay-signature"], SECRET
                )


def test_7007_is_signed_with_the_old_secret(
    sandbox: SandboxServer, shop: Any, hooked: Listener
) -> None:
    sandbox.control("POST", "webhooks", dialect="stripe", url=hooked.url, secret="whsec_newer")
    create(shop, 7007)
    assert is_good(hooked.wait(1)[0], clock(sandbox), SECRET)


def test_7008_two_events_for_one_change(
    sandbox: SandboxServer, shop: Any, dukan: Any, hooked: Listener
) -> None:
    create(shop, 7008)
    first, second = hooked.wait(2)
    assert first.event["id"] != second.event["id"]
    assert first.event["data"] == second.event["data"]
    pay(sandbox, order(dukan, 7008))
    first, second = hooked.wait(4)[2:]
    assert first.body == second.body
    assert first.headers["x-razorpay-event-id"] != second.headers["x-razorpay-event-id"]


def test_deliveries_are_held_and_let_go_in_another_order(
    sandbox: SandboxServer, shop: Any, hooked: Listener
) -> None:
    sandbox.control("POST", "webhooks/hold")
    held(shop)
    assert hooked.heard == []
    sandbox.control("POST", "webhooks/release", order="reversed")
    assert hooked.wait(3)[0].kind == "payment_intent.amount_capturable_updated"
    sandbox.control("POST", "webhooks/hold")
    create(shop)
    assert sandbox.control("POST", "webhooks/drop")["dropped"] == 1
    assert sandbox.control("POST", "webhooks/shuffle")["released"] == 0


def test_one_delivery_is_repeated(sandbox: SandboxServer, shop: Any, hooked: Listener) -> None:
    create(shop)
    hooked.wait(1)
    [logged] = settled(sandbox, 1)
    sandbox.control("POST", "webhooks/redeliver", event=logged["event_id"])
    first, again = hooked.wait(2)
    assert first.body == again.body
