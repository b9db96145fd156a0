"""The rows of the error taxonomy, made with fault rules and met with the real SDK."""

from typing import Any

import httpx
import pytest
import stripe

from tests.adapters.sandbox_server.stripe_shop import URL, confirm, create, held, said
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content")
CONFIRM = {"path": "confirm"}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("do", ["close", "hang:1", "truncate", "garbage", "drip:100"])
def test_answers_that_get_lost(sandbox: SandboxServer, shop: Any, place: str, do: str) -> None:
    pi = create(shop)
    sandbox.fault(do, place, match=CONFIRM)

    with sandbox.stripe(timeout_s=0.5) as hasty, pytest.raises(stripe.StripeError) as lost:
        confirm(hasty.v1, pi)

    expected = stripe.APIError if do == "garbage" else stripe.APIConnectionError
    assert isinstance(lost.value, expected)
    effect = place == "after"
    found = shop.payment_intents.retrieve(pi.id).status
    assert found == ("requires_capture" if effect else "requires_payment_method")


def test_garbage_that_is_no_text_escapes_the_sdk(sandbox: SandboxServer, shop: Any) -> None:
    """So whoever calls the SDK has to expect any exception, and take it for an unknown outcome."""
    pi = create(shop)
    sandbox.fault("garbage:bytes", "after", match=CONFIRM)
    with pytest.raises(UnicodeDecodeError):
        confirm(shop, pi)
    assert shop.payment_intents.retrieve(pi.id).status == "requires_capture"


@pytest.mark.parametrize("do", ["close", "hang:1", "truncate", "drip:100"])
async def test_answers_that_get_lost_on_httpx(sandbox: SandboxServer, do: str) -> None:
    client = stripe.StripeClient(
        "sk_test_sandbox",
        base_addresses={"api": sandbox.ready.stripe_url},
        http_client=stripe.HTTPXClient(timeout=httpx.Timeout(0.3)),
    )
    sandbox.fault(do, "after", match={"method": "POST"})
    with pytest.raises(stripe.APIConnectionError) as lost:
        await client.v1.payment_intents.create_async({"amount": 1000, "currency": "usd"})
    assert isinstance(lost.value.__cause__, httpx.RemoteProtocolError | httpx.ReadTimeout)


@pytest.mark.parametrize(
    ("do", "error", "code"),
    [
        ("status:500", stripe.APIError, None),
        ("status:502:html", stripe.APIError, None),
        ("status:503", stripe.APIError, None),
        ("status:504:html", stripe.APIError, None),
        ("status:409", stripe.APIError, "idempotency_key_in_use"),
        ("status:429", stripe.RateLimitError, "rate_limit"),
        ("status:401", stripe.AuthenticationError, None),
        ("status:403", stripe.PermissionError, None),
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_statuses(
    sandbox: SandboxServer,
    shop: Any,
    place: str,
    do: str,
    error: type[stripe.StripeError],
    code: str | None,
) -> None:
    pi = create(shop)
    sandbox.fault(do, place, match=CONFIRM)

    with pytest.raises(error) as failed:
        confirm(shop, pi)

    assert failed.value.http_status == int(do.split(":")[1])
    if code:
        assert said(failed).code == code
    found = shop.payment_intents.retrieve(pi.id).status
    assert found == ("requires_capture" if place == "after" else "requires_payment_method")


def test_a_fault_before_the_answer_is_not_remembered_with_the_key(
    sandbox: SandboxServer, shop: Any
) -> None:
    pi = create(shop)
    params = {"payment_method": "pm_card_visa", "return_url": URL}
    sandbox.fault("status:500", "after", match=CONFIRM, limit=1)
    with pytest.raises(stripe.APIError):
        shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    again = shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert again.status == "requires_capture"


@pytest.mark.parametrize(
    ("key", "error", "status"),
    [
        ("sk_test_", stripe.AuthenticationError, 401),
        ("nonsense", stripe.AuthenticationError, 401),
        ("sk_live_abc", stripe.AuthenticationError, 401),
        ("rk_test_abc", stripe.PermissionError, 403),
    ],
)
def test_keys(
    sandbox: SandboxServer, key: str, error: type[stripe.StripeError], status: int
) -> None:
    with sandbox.stripe(key) as client, pytest.raises(error) as refused:
        client.v1.payment_intents.list()
    assert refused.value.http_status == status
    assert key not in str(refused.value) or key == "sk_test_"


def test_every_answer_has_request_id_and_version(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    assert pi.last_response.request_id.startswith("req_")
    assert pi.last_response.headers["Stripe-Version"] == stripe.api_version
    with pytest.raises(stripe.InvalidRequestError) as missing:
        shop.payment_intents.retrieve("pi_nobody")
    assert str(missing.value.request_id).startswith("req_")
    found = said(missing).to_dict()
    assert (missing.value.http_status, found["code"]) == (404, "resource_missing")
    assert found["type"] == "invalid_request_error"
    assert sandbox.page("GET", "/stripe/v1/nothing").status_code == 401


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"currency": "usd"}, "amount", "parameter_missing"),
        ({"amount": 1000}, "currency", "parameter_missing"),
        ({"amount": "x", "currency": "usd"}, "amount", "parameter_invalid_integer"),
        ({"amount": 1000, "currency": "usd", "foo": "1"}, "foo", "parameter_unknown"),
        ({"amount": 1000, "currency": "usd", "capture_method": "x"}, "capture_method", None),
        ({"amount": 1000, "currency": "usd", "return_url": URL}, "return_url", None),
        ({"amount": 1000, "currency": "usd", "customer": "cus_x"}, "customer", "resource_missing"),
        ({"amount": 1000, "currency": "usd", "payment_method": "pm_x"}, "payment_method",
         "resource_missing"),
        ({"amount": 1000, "currency": "usd", "metadata": {"k" * 41: "v"}}, "metadata", None),
        ({"amount": 1000, "currency": "usd", "metadata": {"k": "v" * 501}}, "metadata", None),
    ],
)  # fmt: skip
def test_parameters_that_are_wrong(
    shop: Any, params: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as wrong:
        shop.payment_intents.create(params)
    assert (wrong.value.http_status, wrong.value.param, wrong.value.code) == (400, param, code)


def test_confirming_without_a_payment_method(shop: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as wrong:
        shop.payment_intents.confirm(create(shop).id, {"return_url": URL})
    assert wrong.value.code == "payment_intent_unexpected_state"


def test_confirming_what_is_held(shop: Any) -> None:
    pi = held(shop)
    with pytest.raises(stripe.InvalidRequestError) as wrong:
        confirm(shop, pi)
    assert said(wrong).payment_intent.status == "requires_capture"


def test_too_many_declines_end_it(shop: Any) -> None:
    pi = create(shop)
    for _ in range(25):
        with pytest.raises(stripe.CardError):
            confirm(shop, pi, "pm_card_visa_chargeDeclined")
    assert shop.payment_intents.retrieve(pi.id).status == "canceled"
