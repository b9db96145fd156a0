"""What a merchant's server is sent: signed, in order, filtered, and once where it answers."""

import base64
import hashlib
import hmac

import pytest
from standardwebhooks import Webhook

from adapters.dispatcher import ROOM
from commands.create_order import NewOrder, create_order
from commands.erase_customer import erase_customer
from domain.public_events import ATTEMPTS_MAX
from projections import PROJECTIONS
from replay.compare import compare
from tests.receiver import Received, Receiver, Reply, receiving
from tests.waiting import until
from tests.webhooks.conftest import Told

LIFE = [
    "order.created", "order.processing", "payment.authorized", "payment.captured",
    "refund.pending", "refund.succeeded",
]  # fmt: skip


async def test_an_order_is_told_in_order_and_verified_by_the_public_library(
    told: Told, receiver: Receiver
) -> None:
    made = await told.endpoint(receiver.url)
    order_id = told.order()
    await told.over(6)
    assert receiver.types() == LIFE
    assert isinstance(made.secret, str)
    for number, one in enumerate(receiver.received, 1):
        body = Webhook(made.secret).verify(one.content, one.headers)
        assert (body["orderId"], body["sequence"]) == (order_id, number)
        assert body["id"] == one.headers["webhook-id"] == one.headers["x-loop-event-id"]
        assert body["data"]["object"] == body["payload"]
        assert body["payload"]["status"] == body["status"]
    assert receiver.received[-1].body["status"] == "partially_refunded"


async def test_only_what_an_endpoint_asks_for_is_sent_to_it(told: Told, receiver: Receiver) -> None:
    await told.endpoint(receiver.url, "payment.captured", "refund.succeeded")
    told.order()
    await told.over(2)
    assert receiver.types() == ["payment.captured", "refund.succeeded"]
    assert [one.body["sequence"] for one in receiver.received] == [4, 6]


async def test_headers_carry_the_older_scheme_and_the_correlation(
    told: Told, receiver: Receiver
) -> None:
    made = await told.endpoint(receiver.url)
    told.order(upto=1)
    await told.over(1)
    (one,) = receiver.received
    stamp = one.headers["x-loop-timestamp"]
    assert isinstance(made.secret, str)
    signed = hmac.new(made.secret.encode(), f"{stamp}.".encode() + one.content, hashlib.sha256)
    assert one.headers["x-loop-signature"] == f"t={stamp},v1={signed.hexdigest()}"
    assert int(stamp) // 1000 == int(one.headers["webhook-timestamp"])
    assert one.headers["x-correlation-id"] == "corr"
    assert one.headers["content-type"] == "application/json"


async def test_a_failing_delivery_holds_back_its_order_and_no_other(
    told: Told, receiver: Receiver
) -> None:
    await told.endpoint(receiver.url)
    bad = told.order(upto=2)

    def answer(one: Received) -> Reply:
        return (500 if one.body["orderId"] == bad else 200), {}, b"what?"

    receiver.answer = answer
    await told.made(2)
    good = told.order(upto=2)
    await told.over(2)
    await told.over(1, "failed")
    sent = [(one.body["orderId"], one.body["sequence"]) for one in receiver.received]
    assert [n for order, n in sent if order == good] == [1, 2]
    assert {n for order, n in sent if order == bad} == {1}
    receiver.reply(200)
    told.due_now()
    await told.over(4)
    sent = [one.body["sequence"] for one in receiver.received if one.body["orderId"] == bad]
    assert sent[-2:] == [1, 2]


async def test_a_receiver_that_was_down_for_hours_gets_everything_in_order(
    told: Told, receiver: Receiver
) -> None:
    await told.endpoint(receiver.url)
    receiver.reply(503)
    orders = [told.order() for _ in range(5)]
    for tries in range(1, 5):
        await until(lambda n=tries: told.tries() == [n] * 5)
        told.due_now()
    await until(lambda: told.tries() == [5] * 5)
    receiver.reply(200)
    already = len(receiver.received)
    told.due_now()
    await told.over(30)
    arrived = [(one.body["orderId"], one.body["type"]) for one in receiver.received[already:]]
    for order in orders:
        assert [kind for of, kind in arrived if of == order] == LIFE


async def test_the_last_attempt_that_fails_is_the_end_and_the_order_goes_on(
    told: Told, receiver: Receiver
) -> None:
    await told.endpoint(receiver.url)
    receiver.answer = lambda one: (500 if one.body["sequence"] == 1 else 200, {}, b"\xff\0no")
    told.order(upto=2)
    for tries in range(1, ATTEMPTS_MAX):
        await until(lambda n=tries: told.tries() == [n])
        told.due_now()
    await until(lambda: told.statuses() == ["dead", "delivered"])
    kept = told.column("SELECT attempts FROM webhook_deliveries ORDER BY position")[0]
    assert len(kept) == ATTEMPTS_MAX
    assert kept[0]["responsePrefix"] == "\ufffdno"
    ids = {one.headers["webhook-id"] for one in receiver.received if one.body["sequence"] == 1}
    assert len(ids) == 1


async def test_retry_after_makes_the_next_attempt_later(told: Told, receiver: Receiver) -> None:
    await told.endpoint(receiver.url)
    receiver.reply(429, Retry_After="7200")
    told.order(upto=1)
    await told.over(1, "failed")
    (wait_s,) = told.column(
        "SELECT extract(epoch FROM due_at - last_at)::float8 FROM webhook_deliveries"
    )
    assert wait_s == pytest.approx(7200, abs=5)


async def test_gone_disables_the_endpoint_and_tells_the_others(
    told: Told, receiver: Receiver
) -> None:
    made = await told.endpoint(receiver.url, "order.created")
    async with receiving() as second:
        await told.endpoint(second.url, "endpoint.disabled")
        receiver.reply(410)
        told.order(upto=1)
        await until(lambda: second.received)
        (notice,) = second.received
    assert (notice.body["type"], notice.body["orderId"]) == ("endpoint.disabled", None)
    said = notice.body["payload"]
    assert (said["id"], said["status"], said["disabledReason"]) == (
        made.endpoint.id, "disabled", "it answered 410 Gone",
    )  # fmt: skip
    told.order(upto=1)
    told.order(upto=1)
    await told.level()
    assert [one.body["type"] for one in receiver.received] == ["order.created"]


async def test_a_redirect_is_a_failure_and_not_followed(told: Told, receiver: Receiver) -> None:
    async with receiving() as elsewhere:
        await told.endpoint(receiver.url)
        receiver.reply(307, Location=elsewhere.url)
        told.order(upto=1)
        await told.over(1, "failed")
        assert elsewhere.received == []


async def test_an_endpoint_with_nothing_but_failures_for_days_is_disabled(
    told: Told, receiver: Receiver
) -> None:
    made = await told.endpoint(receiver.url)
    receiver.reply(500)
    told.order(upto=1)
    for tries, hours in ((1, 0), (2, 0), (3, 2), (4, 24 * 5)):
        await until(lambda n=tries: told.tries() == [n])
        told.failing_for(hours)
        told.due_now()
    await until(lambda: "disabled" in told.endpoint_statuses(made.endpoint.id))
    assert told.endpoint_statuses(made.endpoint.id) == ["failing", "disabled"]


async def test_an_endpoint_that_works_again_is_no_longer_failing(
    told: Told, receiver: Receiver
) -> None:
    made = await told.endpoint(receiver.url)
    receiver.reply(500)
    told.order(upto=1)
    for tries in (1, 2, 3):
        await until(lambda n=tries: told.tries() >= [n])
        told.failing_for(3)
        told.due_now()
    await until(lambda: told.endpoint_statuses(made.endpoint.id) == ["failing"])
    receiver.reply(200)

    def works_again() -> bool:
        told.due_now()  # an attempt that was under way may have been answered as before
        return told.endpoint_statuses(made.endpoint.id) == ["failing", "enabled"]

    await until(works_again)
    assert told.column("SELECT count(*) FROM webhook_failing") == [0]


async def test_a_slow_endpoint_delays_no_other(told: Told, receiver: Receiver) -> None:
    async with receiving() as slow:
        await told.endpoint(slow.url, "order.created")
        await told.endpoint(receiver.url, "order.created")
        slow.answer = lambda _: None
        for _ in range(60):
            told.order(upto=1)
        await told.over(60)
        assert len(receiver.received) == 60
        assert len(slow.received) <= ROOM


async def test_what_is_folded_again_from_the_beginning_sends_nothing_again(
    told: Told, receiver: Receiver, database_url: str
) -> None:
    await told.endpoint(receiver.url)
    told.order()
    await told.over(6)
    view = PROJECTIONS["webhooks"]
    with told.history.db.transaction():
        told.history.db.execute(
            "UPDATE projection_positions SET position = 0 WHERE name = 'webhooks'"
        )
        told.history.db.execute("DELETE FROM webhook_events_v1")
        told.history.db.execute("DELETE FROM webhook_endpoints_v1")
    told.order(upto=1)
    await told.over(7)
    assert len(receiver.received) == 7
    assert (await compare(database_url, view)).differences == ()


async def test_a_customer_who_is_erased_is_null_in_what_is_sent_again(
    told: Told, receiver: Receiver
) -> None:
    await told.endpoint(receiver.url, "order.created")
    new = NewOrder(amount_minor=1000, currency="USD", customer_id="ada", description="for Ada")
    await create_order(told.app.ports, told.caller, new, None)
    await told.over(1)
    assert await erase_customer(told.app.ports, told.caller, customer_id="ada") == 1
    told.again()
    await until(lambda: len(receiver.received) == 2)
    first, second = (one.body["payload"] for one in receiver.received)
    assert (first["customerId"], first["description"]) == ("ada", "for Ada")
    assert second == {**first, "customerId": None, "description": None}
    assert "Ada" not in str(told.column("SELECT webhook_deliveries::text FROM webhook_deliveries"))


async def test_a_delivery_says_which_checkpoint_is_the_newest(
    told: Told, receiver: Receiver
) -> None:
    told.history.db.execute(
        "INSERT INTO checkpoints (origin, size, root, note)"
        " SELECT 'loop/' || log_id, 42, '\\x0102', 'note' FROM log_identity"
    )
    await told.endpoint(receiver.url)
    told.order(upto=1)
    await told.over(1)
    size, root = receiver.received[0].headers["x-loop-checkpoint"].split(" ")
    assert (size, base64.b64decode(root)) == ("42", b"\x01\x02")
