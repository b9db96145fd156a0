"""Routing rules: read, replace, and ask where an order would go."""

from typing import Any

from litestar import Request, Response, get, post, put
from msgspec.structs import replace

from commands.caller import Caller
from commands.change_merchant import load_merchant
from commands.route_order import Wish, route_order
from commands.set_routing import set_routing
from domain.ids import new_id
from domain.merchant import Merchant
from domain.metadata import Mode
from domain.money import Money
from gateway import routing_views as views
from gateway.auth import authenticated, deps_of, reaches
from gateway.decode import as_struct, json_body, no_query
from gateway.headers import idempotency
from gateway.operation import Operation, answer
from gateway.routes.orders import currency_of
from gateway.routes.payments import as_pay_order
from gateway.routing_bodies import RoutingRequest, RoutingTestRequest, as_policy

READ = Operation(
    id="getRoutingRules",
    tag="Routing",
    summary="Read the routing rules",
    description="Of both modes, test mode first.",
    scope="account:admin",
    answer=list[views.RuleSetView],
    example=views.RULE_SETS,
)
REPLACE = Operation(
    id="setRoutingRules",
    tag="Routing",
    summary="Replace the routing rules of a mode",
    description=(
        "New attempts go by them at once; the decisions that were made keep their version. The "
        "same rules again make no new version. With `version` nothing is replaced but that one."
    ),
    scope="account:admin",
    answer=views.RuleSetView,
    example=views.RULE_SET,
    body=RoutingRequest,
    body_required=True,
    body_example=views.NEW_RULES,
    codes=("concurrent_change",),
)
TEST = Operation(
    id="testRoutingRules",
    tag="Routing",
    summary="Ask which processor an order would get",
    description=(
        "Explains every candidate by the rules as they are, or by `ruleSet`. A token of Stripe's "
        "is read for its brand and country where a rule asks for them. Nothing is made."
    ),
    scope="account:admin",
    answer=views.RoutingTestView,
    example=views.TEST,
    body=RoutingTestRequest,
    body_required=True,
    body_example={"amount": 75000, "currency": "EUR", "cardBrand": "visa", "country": "DE"},
    headers=("Idempotency-Key",),
)


@get("/api/routing-rules", opt={"operation": READ})
async def read(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the rule sets of both modes."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    merchant = await load_merchant(deps_of(request).ports, caller.merchant_id)
    return answer([_view(merchant, mode) for mode in ("test", "live")])


@put("/api/routing-rules", opt={"operation": REPLACE})
async def replace_rules(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Set the next version."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    ports = deps_of(request).ports
    body = as_struct(await json_body(request, required=True), RoutingRequest)
    caller = _in_mode(caller, test_mode=body.test_mode)
    policy = as_policy(body, ports.processors)
    merchant = await set_routing(ports, caller, policy, version=body.version)
    return answer(_view(merchant, caller.mode))


@post("/api/routing-rules/test", opt={"operation": TEST}, status_code=200)
async def ask(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Route an order that does not exist."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    ports = deps_of(request).ports
    raw = await json_body(request, required=True)
    idempotency(request, caller, raw)  # nothing is made twice, a bad header is still one
    body = as_struct(raw, RoutingTestRequest)
    currency = currency_of(body.currency)
    mode: Mode = "test" if body.test_mode else "live"
    merchant = await load_merchant(ports, caller.merchant_id)
    policy = merchant.policy_of(mode)
    if body.rule_set is not None:
        draft = as_policy(body.rule_set, ports.processors, at="ruleSet.")
        policy = replace(draft, version=policy.version)
    decision = await route_order(
        ports,
        merchant,
        order_id=body.order_id or new_id("ord"),
        amount=Money(body.amount, currency),
        mode=mode,
        wish=_wish(body),
        policy=policy,
    )
    return answer(views.routing_test_view(decision, mode))


def _wish(body: RoutingTestRequest) -> Wish:
    paid = as_pay_order(body.processor, body.payment_method)
    brand = body.card_brand.lower() if body.card_brand else paid.brand
    country = body.country.upper() if body.country else paid.country
    return Wish(
        explicit=body.processor,
        token=paid.token,
        tokens=tuple(sorted(paid.tokens.items())),
        brand=brand,
        country=country,
    )


def _view(merchant: Merchant, mode: Mode) -> views.RuleSetView:
    set_at = dict(merchant.policies_since).get(mode)
    return views.rule_set_view(merchant.policy_of(mode), mode, set_at)


def _in_mode(caller: Caller, *, test_mode: bool) -> Caller:
    mode: Mode = "test" if test_mode else "live"
    reaches(caller, mode)
    return replace(caller, mode=mode)


ROUTES = (read, replace_rules, ask)
