"""Fault rules: where they strike, how often, and that the seed decides."""

from typing import Any

import pytest
import stripe

from tests.adapters.sandbox_server.razorpay_shop import order
from tests.adapters.sandbox_server.stripe_shop import URL, create
from tests.sandbox_server import SandboxServer

POST = {"method": "POST", "dialect": "stripe"}


def outcomes(shop: Any, count: int) -> list[str]:
    """What became of so many creations."""
    found: list[str] = []
    for number in range(count):
        try:
            create(shop, order=f"o{number}")
            found.append("ok")
        except stripe.StripeError as error:
            found.append(type(error).__name__)
    return found


def test_the_nth_and_every_so_many(sandbox: SandboxServer, shop: Any) -> None:
    sandbox.fault("status:500", match={**POST, "nth": 2})
    sandbox.fault("status:429", match={**POST, "every": 3})
    assert outcomes(shop, 6) == ["ok", "APIError", "RateLimitError", "ok", "ok", "RateLimitError"]


def test_a_limit_ends_a_rule(sandbox: SandboxServer, shop: Any) -> None:
    rule = sandbox.fault("close", limit=2)
    assert outcomes(shop, 3) == ["APIConnectionError", "APIConnectionError", "ok"]
    [listed] = sandbox.control("GET", "faults")["faults"]
    assert (listed["id"], listed["hits"], listed["fired"]) == (rule, 3, 2)
    sandbox.control("DELETE", f"faults/{rule}")
    assert sandbox.control("GET", "faults")["faults"] == []


def test_a_rule_may_be_about_one_payment_or_dialect(
    sandbox: SandboxServer, shop: Any, dukan: Any
) -> None:
    sandbox.fault("status:500", match={"payment": "ord_2"})
    sandbox.fault("status:429", match={"dialect": "razorpay", "path": "^/v1/payments"})
    create(shop)
    order(dukan)
    with pytest.raises(stripe.APIError):
        create(shop, order="ord_2")
    with pytest.raises(Exception, match="Too many"):
        dukan.payment.all()


def test_the_seed_decides_and_the_journal_tells(sandbox: SandboxServer, shop: Any) -> None:
    runs: list[list[str]] = []
    decisions: list[Any] = []
    for seed in (1, 1, 2):
        sandbox.control("POST", "reset")
        sandbox.fault("status:500", match={**POST, "p": 0.5}, seed=seed)
        runs.append(outcomes(shop, 24))
        journal = sandbox.journal()
        decisions.append([bool(entry["decisions"]) for entry in journal])
        assert [entry["status"] for entry in journal if entry["decisions"]] == [500] * runs[
            -1
        ].count("APIError")

    assert runs[0] == runs[1] != runs[2]
    assert decisions[0] == [outcome == "APIError" for outcome in runs[0]]


def test_the_sandboxs_own_seed_is_in_the_journal(sandbox: SandboxServer) -> None:
    runs: list[list[str]] = []
    for seed in (7, 7, 8):
        sandbox.control("POST", "reset")
        sandbox.control("POST", "profile", name="hostile", seed=seed)
        with sandbox.stripe(timeout_s=1) as hasty:
            runs.append(outcomes(hasty.v1, 25))
        assert sandbox.control("GET", "requests")["seed"] == seed
    assert runs[0] == runs[1] != runs[2]
    assert 0 < sum(outcome != "ok" for outcome in runs[0]) < 20


def test_a_late_effect_comes_after_the_answer(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    params = {"payment_method": "pm_card_visa", "return_url": URL}
    sandbox.fault("close", "late", match={"path": "confirm"}, late_s=100, limit=1)
    with pytest.raises(stripe.APIConnectionError):
        shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert shop.payment_intents.retrieve(pi.id).status == "requires_payment_method"
    with pytest.raises(stripe.APIError) as busy:
        shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert busy.value.http_status == 409

    sandbox.advance(100)

    assert shop.payment_intents.retrieve(pi.id).status == "requires_capture"
    again = shop.payment_intents.confirm(pi.id, params, {"idempotency_key": "c"})
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert [entry["done"] for entry in sandbox.journal() if "confirm" in entry["path"]] == [
        "late",
        "no",
        "yes",
        "yes",
    ]


def test_a_late_confirmation_meets_a_cancelled_payment(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop)
    sandbox.fault("close", "late", match={"path": "confirm"}, late_s=100)
    with pytest.raises(stripe.APIConnectionError):
        shop.payment_intents.confirm(pi.id, {"payment_method": "pm_card_visa", "return_url": URL})
    shop.payment_intents.cancel(pi.id)
    sandbox.advance(100)
    assert shop.payment_intents.retrieve(pi.id).status == "canceled"
    assert sandbox.books()["orders"]["ord_1"]["authorized"] == 0


@pytest.mark.parametrize("do", ["delay:0.05", "delay:0.01-0.05", "delay:p99=0.05", "drip:0.05"])
def test_slow_answers_are_whole(sandbox: SandboxServer, shop: Any, do: str) -> None:
    sandbox.fault(do, "after", match=POST)
    assert create(shop).amount == 1000


@pytest.mark.parametrize("profile", ["calm", "flaky", "brownout", "outage", "hostile"])
def test_profiles(sandbox: SandboxServer, profile: str) -> None:
    sandbox.control("POST", "profile", name=profile, seed=3)
    if profile == "brownout":  # its delays are real: only what it says is looked at
        rules = sandbox.control("GET", "faults")["faults"]
        assert [rule["do"] for rule in rules] == ["status:503", "delay:p99=8"]
        return
    with sandbox.stripe(timeout_s=1) as hasty:
        lost = sum(outcome != "ok" for outcome in outcomes(hasty.v1, 30))
    assert {"calm": lost == 0, "flaky": lost < 5, "outage": lost == 30, "hostile": lost > 2}[
        profile
    ]


@pytest.mark.parametrize(
    "rule",
    [
        {"do": "explode"},
        {"do": "close:3"},
        {"do": "status"},
        {"do": "close", "place": "never"},
        {"do": "close", "match": {"colour": "red"}},
        {"do": "close", "match": {"path": "("}},
        {"do": "close", "nonsense": 1},
        {"do": "delay:3", "place": "late"},
    ],
)
def test_rules_that_make_no_sense(sandbox: SandboxServer, rule: dict[str, Any]) -> None:
    assert sandbox.ask("POST", "faults", **rule).status_code == 400
