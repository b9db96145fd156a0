"""What a merchant's server is sent: signed, in order, filtered, and once where it answers."""

from standardwebhooks import Webhook

from tests.receiver import Receiver
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
