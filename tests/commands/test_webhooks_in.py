"""Webhooks of processors at our HTTP door: signed and sent by the sandbox, applied as hints."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from adapters.inbox_worker import InboxWorker
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.processor import Credentials
from commands.register_merchant import register_merchant
from commands.sagas.payment import PaymentSaga
from domain.order.state import Order
from tests.commands.door import SECRET, Door, razorpay_headers, stripe_event, stripe_headers
from tests.commands.market import Market
from tests.shop import Shop
from tests.waiting import running

BASE = 10_000
DELIVERIES = (7001, 7002, 7003, 7004, 7005, 7006, 7007, 7008)


async def challenged(door: Door) -> Order:
    """Return an order of Stripe whose customer is asked for 3-D Secure."""
    market = door.market
    (order,) = await market.round([await market.order("pm_card_threeDSecure2Required", BASE)])
    assert order.status == "requires_action"
    return order


async def captured(door: Door, *, token: str | None = "pm_card_visa") -> Order:  # noqa: S107 - a test token
    (order,) = await door.market.settle([await door.market.order(token, BASE)])
    await door.apply()
    assert order.status == "captured"
    return order


async def test_a_webhook_wakes_an_order_that_waits_for_its_customer(door: Door) -> None:
    order = await challenged(door)
    door.market.authenticate(order)
    await door.apply()
    order = await door.market.shop.read(order.id)
    assert order.amount_authorized == BASE
    (order,) = await door.market.settle([order])
    assert (order.status, door.market.book(order)["captured"]) == ("captured", BASE)


async def test_a_webhook_of_razorpay_wakes_the_order_of_its_checkout(door: Door) -> None:
    (order,) = await door.market.round([await door.market.order(None, BASE, "INR")])
    await asyncio.to_thread(door.market.pay, order)
    await door.apply()
    (order,) = await door.market.settle([await door.market.shop.read(order.id)])
    assert (order.status, door.market.book(order)["captured"]) == ("captured", BASE)
    await door.apply()
    assert await door.states() <= {"applied", "known"}


async def test_what_the_order_knows_already_costs_no_event_and_no_call(door: Door) -> None:
    order = await captured(door)
    version = order.version
    calls = len(door.market.server.journal())
    body = stripe_event(
        "payment_intent.succeeded", str(order.attempts[0].reference), event_id="evt_again"
    )
    event = msgspec.json.decode(body)
    event["data"]["object"]["latest_charge"] = order.attempts[0].payment_id
    body = msgspec.json.encode(event)
    assert (await door.post("stripe", body, stripe_headers(body, SECRET))).status_code == 200
    await door.apply()
    assert (await door.rows())[-1][1] == "known"
    assert (await door.market.shop.read(order.id)).version == version
    assert len(door.market.server.journal()) == calls


async def test_however_deliveries_go_wrong_the_state_is_right_and_there_is_no_5xx(
    door: Door,
) -> None:
    market = door.market
    orders = [await market.order("pm_card_visa", BASE + n) for n in DELIVERIES]
    orders = await market.settle(orders)
    await door.apply()
    await door.control("clock", advance="11m")
    market.now_s += 660
    await door.control("webhooks/redeliver")
    await door.apply()
    orders = [await market.shop.read(order.id) for order in orders]
    assert [order.status for order in orders] == ["captured"] * len(DELIVERIES)
    for order in orders:
        book = market.book(order)
        assert (book["captured"], book["held"]) == (order.amount.minor, 0)
    assert await door.states() <= {"applied", "known"}
    statuses = [status for status, _ in await door.answers()]
    assert statuses.count(400) >= 2  # wrongly signed, and signed with a secret we never had
    assert statuses.count(200) > len(DELIVERIES)


@pytest.mark.parametrize("how", ["reversed", "shuffled", "twice"])
async def test_deliveries_in_any_order_and_number_lead_to_the_same_state(
    door: Door, how: str
) -> None:
    await door.control("webhooks/hold")
    market = door.market
    order = await challenged(door)
    market.authenticate(order)
    (paid,) = await market.round([await market.order(None, BASE, "INR")])
    await asyncio.to_thread(market.pay, paid)
    await door.control("webhooks/release", order=how if how != "twice" else "as_made")
    await door.apply()
    if how == "twice":
        for row in await door.log():
            await door.control("webhooks/redeliver", delivery=row["n"])
        await door.apply()
    orders = [await market.shop.read(one.id) for one in (order, paid)]
    orders = await market.settle(orders)
    await door.apply()
    for one in orders:
        assert one.status == "captured"
        assert (await market.shop.events(one.id)).count("captured") == 1
        assert market.book(one)["captured"] == BASE


async def test_s12_a_refund_and_a_cancel_in_the_dashboard_arrive_as_facts(door: Door) -> None:
    market = door.market
    order = await captured(door)
    payment = order.attempts[0].reference
    market.server.trigger("dashboard_refund", payment=payment, amount=4_000)
    held = await market.shop.order(
        "pm_card_visa", wait_s=0, amount_minor=BASE, capture_method="manual"
    )
    (held,) = await market.round([held])
    market.server.trigger("dashboard_cancel", payment=held.attempts[0].reference)
    await door.apply()
    order, held = await market.shop.read(order.id), await market.shop.read(held.id)
    assert (order.status, order.amount_refunded) == ("partially_refunded", 4_000)
    assert held.status == "cancelled"
    assert (order.quarantine, held.quarantine) == ((), ())


async def test_s16_a_succeeded_that_the_merchant_forged_credits_nothing(door: Door) -> None:
    order = await challenged(door)
    live = order.live
    assert live is not None
    body = stripe_event(
        "payment_intent.succeeded",
        str(live.reference),
        order_id=order.id,
        attempt_id=live.id,
    )
    answer = await door.post("stripe", body, stripe_headers(body, SECRET), door.merchant_id)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    await door.apply()
    assert ("payment_intent.succeeded", "known", None) in await door.rows()
    now = await door.market.shop.read(order.id)
    assert (now.status, now.amount_captured, now.version) == ("requires_action", 0, order.version)


async def second_merchant(door: Door, secret: str) -> Shop:
    caller = await register_merchant(door.app.ports, door.market.shop.caller, name="Other shop")
    shop = Shop(door.app, replace(door.market.shop.caller, merchant_id=caller.id))
    credentials = Credentials(
        {"secret_key": f"sk_test_{secrets.token_hex(6)}", "webhook_secret": secret}
    )
    account = ProcessorAccount(processor="stripe", credentials=credentials)
    await configure_processor(door.app.ports, shop.caller, account)
    return shop


async def test_s17_another_merchants_valid_webhook_never_touches_the_order(door: Door) -> None:
    order = await challenged(door)
    live = order.live
    assert live is not None
    other = await second_merchant(door, "whsec_of_the_other")
    mine = other.caller.merchant_id
    for number, reference in enumerate((str(live.reference), "pi_of_the_other")):
        body = stripe_event(
            "payment_intent.canceled",
            reference,
            event_id=f"evt_{number}",
            order_id=order.id,
            attempt_id=live.id,
            merchant_id=mine,
        )
        answer = await door.post("stripe", body, stripe_headers(body, "whsec_of_the_other"), mine)
        assert answer.status_code == 200
    await door.apply()
    found = [row for row in await door.rows() if row[0] == "payment_intent.canceled"]
    reason = "another merchant's order"
    assert found == [("payment_intent.canceled", "quarantined", reason)] * 2
    assert (await door.market.shop.read(order.id)).version == order.version
    body = stripe_event("payment_intent.canceled", str(live.reference))
    # On the path without a merchant the body's payment says whose secrets are tried: not mine.
    answer = await door.post("stripe", body, stripe_headers(body, "whsec_of_the_other"))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature")


async def test_r4_who_pays_elsewhere_meanwhile_is_not_charged_by_the_late_payment(
    door: Door,
) -> None:
    market = door.market
    order = await market.shop.order(
        None, wait_s=0, amount_minor=BASE + 9002, currency="INR", session=True,
        expires_at=datetime.now(UTC) + timedelta(days=30),
    )  # fmt: skip
    (order,) = await market.round([order])
    await asyncio.to_thread(market.pay, order)
    market.later(timedelta(minutes=16))
    (order,) = await market.settle([order], rounds=3)
    assert (order.status, order.attempts[0].proof) == ("requires_action", "capture_withheld")
    order = await market.shop.pay(order, "pm_card_visa")
    (order,) = await market.settle([order])
    assert (order.status, order.attempts[1].processor) == ("captured", "stripe")
    market.later(timedelta(days=2))
    await door.apply()
    order = await market.shop.read(order.id)
    assert [(s.state, s.processor) for s in order.strays] == [("held", "razorpay")]
    market.later(timedelta(days=6))
    await door.apply()
    (order,) = await market.settle([order], rounds=2)
    book = market.book(order)
    assert (order.status, [s.open for s in order.strays]) == ("captured", [False])
    assert (book["captured"], book["held"], book["refunded"]) == (BASE + 9002, 0, 0)


async def test_r11_an_old_body_under_a_new_event_id_takes_no_real_events_place(
    door: Door,
) -> None:
    market = door.market
    (order,) = await market.round([await market.order(None, BASE, "INR")])
    await asyncio.to_thread(market.pay, order, "card_declined")
    await door.apply()
    (old,) = await door.log()
    body = msgspec.json.encode(old["body"])
    for event_id in ("evt_next", "evt_other"):
        headers = razorpay_headers(body, SECRET, event_id)
        answer = await door.post("razorpay", body, headers, door.merchant_id)
        assert answer.status_code == 200
    await asyncio.to_thread(market.pay, order)
    await door.answers()
    real = next(row for row in await door.log() if row["event"] == "payment.authorized")
    body = msgspec.json.encode(real["body"])
    answer = await door.post("razorpay", body, razorpay_headers(body, SECRET, "evt_next"))
    assert answer.status_code == 200
    await door.apply()
    assert (await market.shop.read(order.id)).amount_authorized == BASE
    assert [row[0] for row in await door.rows()].count("payment.authorized") == 1
    assert [row[0] for row in await door.rows()].count("payment.failed") == 1


async def test_r12_a_replaced_secret_is_good_for_72_hours(door: Door) -> None:
    market = door.market
    (order,) = await market.round([await market.order(None, BASE, "INR")])
    await asyncio.to_thread(market.pay, order, "card_declined")
    await door.answers()
    await market.configure(market.key, webhook_secret="whsec_new")
    await asyncio.to_thread(market.pay, order)
    await door.apply()
    # The vendor still signs with the old one.
    assert (await market.shop.read(order.id)).amount_authorized == BASE
    bodies = [msgspec.json.encode({"event": f"payment.{n}", "payload": {}}) for n in ("new", "old")]
    market.now_s += timedelta(hours=73).total_seconds()
    for body, secret, status in ((bodies[0], "whsec_new", 200), (bodies[1], SECRET, 400)):
        headers = razorpay_headers(body, secret)
        answer = await door.post("razorpay", body, headers, door.merchant_id)
        assert answer.status_code == status


async def test_a_hint_before_our_own_answer_is_parked_and_tried_again(door: Door) -> None:
    market = door.market
    order = await market.order("pm_card_visa", BASE)
    live = order.live
    assert live is not None
    body = stripe_event(
        "payment_intent.created", "pi_not_known_yet", order_id=order.id, attempt_id=live.id
    )
    answer = await door.post("stripe", body, stripe_headers(body, SECRET))
    assert answer.status_code == 200
    await door.apply()
    kind = "payment_intent.created"
    assert await door.rows() == [(kind, "parked", "the attempt has no reference yet")]
    await market.settle([order])
    await door.later()
    assert (await door.rows())[0] == (kind, "unmatched", "the attempt has another reference")


async def test_what_never_finds_its_order_stays_visible_and_a_redelivery_tries_again(
    door: Door,
) -> None:
    body = stripe_event("charge.updated", "pi_of_another_system")
    headers = stripe_headers(body, SECRET)
    assert (await door.post("stripe", body, headers, door.merchant_id)).status_code == 200
    for _ in range(9):
        await door.later()
    left = [("charge.updated", "unmatched", "the log knows no such object")]
    assert await door.rows() == left
    await door.later()
    assert await door.rows() == left
    assert (await door.post("stripe", body, headers, door.merchant_id)).status_code == 200
    await door.apply()
    assert await door.rows() == [("charge.updated", "parked", "the log knows no such object")]


async def test_what_is_about_no_payment_is_kept_and_ignored(door: Door) -> None:
    event = {"id": "evt_1", "type": "payout.paid", "data": {"object": {"object": "payout"}}}
    body = msgspec.json.encode(event)
    answer = await door.post("stripe", body, stripe_headers(body, SECRET), door.merchant_id)
    assert answer.status_code == 200
    await door.apply()
    assert await door.states() == {"ignored"}


async def test_a_key_that_was_rolled_keeps_the_hints_of_older_attempts(
    market: Market, door: Door
) -> None:
    order = await challenged(door)
    values = {"secret_key": f"sk_test_{secrets.token_hex(6)}", "webhook_secret": SECRET}
    account = ProcessorAccount(processor="stripe", credentials=Credentials(values))
    await configure_processor(door.app.ports, market.shop.caller, account)
    market.authenticate(order)
    await door.apply()
    assert (await market.shop.read(order.id)).amount_authorized == BASE


async def test_the_worker_of_the_inbox_is_woken_by_what_arrives(door: Door) -> None:
    order = await challenged(door)
    await door.apply()
    saga = PaymentSaga(door.app.ports, worker=0, call_limit_s=20)
    worker = InboxWorker(
        door.app.ports, door.app.inbox, saga.look_at, door.app.settings.database_url
    )
    async with running(worker):
        door.market.authenticate(order)
        order = await door.market.shop.until(order.id, lambda o: o.amount_authorized == BASE)
    assert await door.states() <= {"applied", "known", "new"}
