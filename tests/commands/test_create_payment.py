"""Create and pay in one call: what its repetition is told while the first is under way."""

import pytest

from commands.caller import Idempotency
from commands.create_order import NewOrder
from commands.create_payment import create_payment
from commands.pay_order import PayOrder
from domain.errors import Conflict
from tests.shop import Shop


async def test_a_repetition_of_a_payment_that_is_still_under_way_is_told_so(shop: Shop) -> None:
    ports, caller = shop.app.ports, shop.caller
    key = Idempotency(key="k", scope="tests", fingerprint=b"same")
    new = NewOrder(amount_minor=1000, currency="USD")
    request = PayOrder(token="sbx_hang_after")
    first = await create_payment(ports, caller, new, request, key, wait_s=0)
    assert (first.order.status, first.status) == ("processing", 201)
    with pytest.raises(Conflict) as told:
        await create_payment(ports, caller, new, request, key, wait_s=0)
    assert told.value.code == "idempotency_in_progress"
    again = await create_payment(ports, caller, new, request, key, wait_s=20)
    assert (again.order.id, again.replayed) == (first.order.id, True)
    assert again.order.status == "captured"
    assert shop.book(first.order.id).captured == 1000
