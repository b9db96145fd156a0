"""What failover does with tokens, and what routing reads of a card before it decides."""

from commands.pay_order import PayOrder, pay_order
from commands.set_routing import set_routing
from domain.order.state import Order
from domain.routing import Conditions, Failover, RoutingPolicy, Rule
from gateway.views import render_payment
from tests.adapters.processors.wire import unused_url
from tests.commands.market import Market

BASE = 10_000
DECLINED = "pm_card_visa_chargeDeclined"
BACK = "https://shop.example/thanks"


async def paid(market: Market, request: PayOrder, **order: object) -> Order:
    """Create an order, pay it, and act on all that is due at once."""
    shop = market.shop
    fields = {"amount_minor": BASE, "currency": "USD"} | order
    made = await shop.created(**fields)
    done = await pay_order(market.app.ports, shop.caller, made.id, request, None, wait_s=0)
    found = [done.order]
    for _ in range(4):
        found = await market.round(found)
    return found[0]


def processors(order: Order) -> list[str]:
    return [attempt.processor for attempt in order.attempts]


async def test_failover_without_a_token_asks_the_customer_who_can_come_back(
    market: Market,
) -> None:
    order = await paid(market, PayOrder(token=DECLINED, return_url=BACK))
    assert processors(order) == ["stripe", "razorpay"]
    assert order.attempts[1].token is None
    view = await render_payment(market.app.ports, order)
    assert view.status == "requires_action"
    assert view.next_action
    assert (view.next_action.type, view.next_action.amount) == ("razorpay_checkout", BASE)
    assert view.redirect_url == f"{market.app.ports.public_url}/checkout/{order.id}"
    market.pay(order)
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["captured"]) == ("captured", BASE)


async def test_the_orders_own_return_url_reaches_the_customer_as_well(market: Market) -> None:
    order = await paid(market, PayOrder(token=DECLINED), return_url=BACK)
    assert (order.status, processors(order)) == ("requires_action", ["stripe", "razorpay"])


async def test_failover_without_a_token_and_without_a_way_back_fails(market: Market) -> None:
    order = await paid(market, PayOrder(token=DECLINED))
    assert (order.status, processors(order)) == ("failed", ["stripe"])
    assert order.failure is not None
    assert order.failure.code == "generic_decline"


async def test_a_named_processor_is_not_followed_by_another(market: Market) -> None:
    order = await paid(market, PayOrder(token=DECLINED, processor="stripe", return_url=BACK))
    assert (order.status, processors(order)) == ("failed", ["stripe"])


async def test_a_merchant_may_tighten_what_fails_over(market: Market) -> None:
    strict = RoutingPolicy(failover=Failover(classes=()))
    await set_routing(market.app.ports, market.shop.caller, strict)
    order = await paid(market, PayOrder(token=DECLINED, return_url=BACK))
    assert (order.status, processors(order)) == ("failed", ["stripe"])


async def test_a_token_each_fails_over_without_the_customer(market: Market) -> None:
    tokens = {"stripe": DECLINED, "razorpay": "token_1"}
    order = await paid(market, PayOrder(tokens=tokens))
    assert processors(order) == ["stripe", "razorpay"]
    assert [attempt.token for attempt in order.attempts] == [DECLINED, "token_1"]


async def test_a_card_is_read_before_routing_where_a_rule_asks_and_is_unknown_where_it_cannot_be(
    market: Market,
) -> None:
    rules = (
        Rule(id="india", conditions=Conditions(country="IN"), processor="stripe"),
        Rule(id="amex", conditions=Conditions(card_brand="amex"), processor="stripe"),
    )
    policy = RoutingPolicy(rules=rules, fallback="stripe")
    await set_routing(market.app.ports, market.shop.caller, policy)
    for token, rule in (
        ("pm_card_in", "india"),
        ("pm_card_amex", "amex"),
        ("pm_card_visa", "fallback"),
        ("pm_of_nobody", "fallback"),
    ):
        decision = (await market.order(token, BASE)).attempts[0].decision
        assert decision.rule == rule
    inputs = (await market.order("pm_card_in", BASE)).attempts[0].decision.inputs
    assert (inputs.card_brand, inputs.country) == ("visa", "IN")

    stripe = market.app.ports.processors["stripe"]
    await stripe.aclose()
    stripe._line._base_url = unused_url()  # type: ignore[attr-defined]
    blind = (await market.order("pm_card_in", BASE)).attempts[0].decision
    assert (blind.rule, blind.inputs.card_brand, blind.inputs.country) == ("fallback", None, None)
