"""The books: what they add up, and every violation, made by hand."""

from typing import Any

from adapters.sandbox_server.books import read
from adapters.sandbox_server.box import Box, Call
from adapters.sandbox_server.store import Store
from tests.adapters.sandbox_server.razorpay_shop import captured as paid_for
from tests.adapters.sandbox_server.razorpay_shop import paid
from tests.adapters.sandbox_server.stripe_shop import captured, create, held
from tests.sandbox_server import SandboxServer


def test_one_order_over_both_vendors(sandbox: SandboxServer, shop: Any, dukan: Any) -> None:
    captured(shop, order="ord_1")
    paid(sandbox, dukan)

    books = sandbox.books()

    order = books["orders"]["ord_1"]
    assert [payment["dialect"] for payment in order["payments"]] == ["stripe", "razorpay"]
    assert (order["authorized"], order["captured"], order["held"]) == (51_000, 1000, 50_000)
    assert books["totals"]["USD"] == {"captured": 1000, "refunded": 0, "held": 0}
    assert books["totals"]["INR"] == {"captured": 0, "refunded": 0, "held": 50_000}
    assert books["violations"] == []
    assert sandbox.control("GET", "books/ord_1")["orders"] == books["orders"]
    assert sandbox.control("GET", "books/ord_2")["orders"] == {}


def test_razorpays_receipt_names_the_order_if_no_note_does(
    sandbox: SandboxServer, dukan: Any
) -> None:
    paid(sandbox, dukan, notes={})
    assert list(sandbox.books()["orders"]) == ["att_ord_1"]


def test_captured_twice_over_two_vendors(sandbox: SandboxServer, shop: Any, dukan: Any) -> None:
    captured(shop)
    paid_for(sandbox, dukan, 1000)
    assert sandbox.violations() == ["captured_twice", "captured_above_amount"]


def test_captured_twice_at_one_vendor_though_refunded(sandbox: SandboxServer, shop: Any) -> None:
    shop.refunds.create({"payment_intent": captured(shop).id})
    captured(shop)
    assert sandbox.violations() == ["captured_twice", "captured_above_amount"]


def test_captured_twice_in_parts(sandbox: SandboxServer, shop: Any) -> None:
    for _ in range(2):
        shop.payment_intents.capture(held(shop).id, {"amount_to_capture": 400})
    [violation] = sandbox.books()["violations"]
    assert (violation["kind"], violation["order_ref"]) == ("captured_twice", "ord_1")
    assert len(violation["payments"]) == 2


def test_captured_after_a_fence(sandbox: SandboxServer, shop: Any, dukan: Any) -> None:
    pi = held(shop)
    sandbox.trigger("fence", payment=pi.id)
    payment = paid(sandbox, dukan, ref="ord_2")
    sandbox.trigger("fence", payment=payment["id"])
    assert sandbox.violations() == []

    shop.payment_intents.capture(pi.id)
    dukan.payment.capture(payment["id"], 50_000, {"currency": "INR"})

    assert sandbox.violations() == ["captured_after_closing"] * 2


def test_a_payment_that_nobody_can_place(sandbox: SandboxServer, shop: Any) -> None:
    pi = create(shop, order=None)
    [violation] = sandbox.books()["violations"]
    assert (violation["kind"], violation["payments"]) == ("no_order_reference", [pi.id])


def wrote(*rows: tuple[str, int], ref: str | None = "o") -> list[str]:
    """The violations of a payment of 1000 with these movements."""
    store = Store(None)
    call = Call(box=Box(store), account="a")
    for op, amount in (("opened", 1000), *rows):
        call.money("stripe", op, "pi_1", ref, amount, "usd")
    found = [violation.kind for violation in read(store)["violations"]]
    store.close()
    return found


def test_what_the_vendors_rules_never_let_happen() -> None:
    assert wrote(("captured", 1000), ("refunded", 1000)) == []
    assert wrote(("captured", 600), ("captured", 600)) == ["captured_above_amount"]
    assert wrote(("captured", 1001), ref=None) == ["captured_above_amount", "no_order_reference"]
    assert wrote(("captured", 500), ("refunded", 501)) == ["refunded_above_captured"]
    assert wrote(("captured", 500), ("refunded", 500), ("refund_failed", 500),
                 ("refunded", 500)) == []  # fmt: skip
    assert wrote(("voided", 0), ("captured", 1)) == ["captured_after_closing"]
    assert wrote(("captured", 1), ("voided", 0)) == []
