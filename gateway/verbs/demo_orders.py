"""The orders that `loop demo` plays: a table of names, steps over HTTP, and how each must end."""

from typing import Final, Literal

from gateway.verbs.demo_steps import (
    VISA,
    AnyStep,
    Ask,
    Captured,
    Customer,
    PayTwiceAtOnce,
    SameExternalIdAgain,
    SameOrderAgain,
    Scenario,
)


def _pay(token: str | None, becomes: str | None = None) -> Ask:
    """Return the step that pays with a test token; without one the customer gives a card."""
    method = {"type": "card"} | ({"token": token} if token else {})
    return Ask(verb="pay", body={"paymentMethod": method}, becomes=becomes)


def _capture(amount: int, *, final: bool = True) -> Ask:
    return Ask(verb="capture", body={"amount": amount, "final": final})


def _refund(amount: int, becomes: str) -> Ask:
    return Ask(verb="refund", body={"amount": amount}, answers=201, becomes=becomes)


def _refused(verb: Literal["capture", "refund"], amount: int, code: str) -> Ask:
    return Ask(verb=verb, body={"amount": amount}, answers=422, code=code)


def _declined(why: str, token: str, code: str, amount: int) -> Scenario:
    steps = (_pay(token),)
    return Scenario(
        name=f"Declined: {why}", steps=steps, amount=amount, ends="failed", failure=code
    )


def _rupees(name: str, *steps: AnyStep, amount: int, ends: str = "captured") -> Scenario:
    """Return an order that the customer pays on Razorpay's checkout."""
    asked = (_pay(None, "requires_action"), *steps)
    return Scenario(name=name, steps=asked, amount=amount, currency="INR", ends=ends)


_PAID: Final = _pay(VISA, "captured")
_HELD: Final = _pay(VISA, "authorized")
_CHALLENGED: Final = _pay("pm_card_threeDSecure2Required", "requires_action")
_CARD: Final = {"paymentMethod": {"type": "card", "token": "4242424242424242"}}

SCENARIOS: Final = (
    Scenario(name="Card approved", steps=(_PAID,), ends="captured"),
    Scenario(
        name="Yen: no minor units", steps=(_PAID,), amount=5000, currency="JPY", ends="captured"
    ),
    Scenario(
        name="Dinar: three decimals", steps=(_PAID,), amount=12_340, currency="KWD", ends="captured"
    ),
    _rupees("Rupees: paid on the checkout", Customer(presses="approve"), amount=149_900),
    _rupees(
        "Rupees: declined once, then paid",
        Customer(presses="fail", becomes="requires_action"),
        Customer(presses="approve"),
        amount=82_000,
    ),
    Scenario(
        name="The bank takes its time",
        steps=(_pay("sbx_pending"),),
        amount=89_000,
        currency="EUR",
        ends="captured",
    ),
    _declined(
        "insufficient funds",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "insufficient_funds",
        129_900,
    ),
    _declined("lost card", "pm_card_visa_chargeDeclinedLostCard", "lost_card", 1999),
    _declined("expired card", "pm_card_chargeDeclinedExpiredCard", "expired_card", 750),
    _declined("no such card", "pm_card_nonsense", "invalid_token", 2500),
    Scenario(
        name="Bank reached at the second try",
        steps=(_pay("sbx_unavailable_once"), Captured(minor=4150)),
        amount=4150,
        ends="captured",
    ),
    Scenario(
        name="Bank unreachable, nothing was sent",
        steps=(_pay("sbx_unavailable"),),
        amount=3150,
        ends="failed",
        failure="processor_unavailable",
    ),
    Scenario(
        name="3-D Secure completed",
        steps=(_CHALLENGED, Customer(presses="approve"), Ask(verb="confirm")),
        amount=24_900,
        currency="EUR",
        ends="captured",
    ),
    Scenario(
        name="3-D Secure, then the browser closed",
        steps=(_CHALLENGED, Customer(presses="approve")),
        amount=17_500,
        currency="EUR",
        ends="captured",
    ),
    Scenario(
        name="3-D Secure failed",
        steps=(_CHALLENGED, Customer(presses="fail"), Ask(verb="confirm")),
        amount=9900,
        currency="GBP",
        ends="failed",
        failure="authentication_failed",
    ),
    Scenario(
        name="Captured by hand",
        steps=(_HELD, Ask(verb="capture")),
        amount=64_000,
        manual=True,
        ends="captured",
    ),
    Scenario(
        name="Captured in part, the rest released",
        steps=(_HELD, _capture(6000)),
        amount=10_000,
        manual=True,
        ends="captured",
        captured=6000,
    ),
    Scenario(
        name="Captured in two parts",
        steps=(
            _pay("sbx_approve", "authorized"),
            _capture(4000, final=False),
            Captured(minor=4000),
            _capture(6000),
        ),
        amount=10_000,
        manual=True,
        ends="captured",
    ),
    Scenario(
        name="Capture above the hold refused",
        steps=(_HELD, _refused("capture", 5000, "capture_exceeds_authorization"), _capture(4999)),
        manual=True,
        ends="captured",
    ),
    Scenario(
        name="Cancelled before payment", steps=(Ask(verb="cancel"),), amount=1200, ends="cancelled"
    ),
    Scenario(
        name="Cancelled while held: voided",
        steps=(_HELD, Ask(verb="cancel", body={"reason": "out of stock"})),
        amount=7500,
        manual=True,
        ends="cancelled",
    ),
    Scenario(
        name="Cancelled during 3-D Secure",
        steps=(_CHALLENGED, Ask(verb="cancel")),
        amount=31_000,
        currency="EUR",
        ends="cancelled",
    ),
    Scenario(
        name="Refunded in full",
        steps=(_PAID, _refund(5995, "refunded")),
        amount=5995,
        ends="refunded",
        refunded=5995,
    ),
    Scenario(
        name="Refunded twice in part",
        steps=(_PAID, _refund(1500, "partially_refunded"), _refund(999, "partially_refunded")),
        ends="partially_refunded",
        refunded=2499,
    ),
    Scenario(
        name="Refund above the captured refused",
        steps=(_PAID, _refused("refund", 5000, "refund_exceeds_captured")),
        ends="captured",
    ),
    Scenario(
        name="Same Idempotency-Key twice: one order",
        steps=(SameOrderAgain(), _PAID),
        amount=2000,
        ends="captured",
    ),
    Scenario(
        name="Same externalId twice: refused",
        steps=(SameExternalIdAgain(), _PAID),
        amount=2000,
        ends="captured",
    ),
    Scenario(
        name="Customer clicks pay twice",
        steps=(PayTwiceAtOnce(token=VISA),),
        amount=8800,
        ends="captured",
    ),
    Scenario(
        name="Card number refused, then a token",
        steps=(Ask(verb="pay", body=_CARD, answers=400, code="card_data_refused"), _PAID),
        ends="captured",
    ),
    Scenario(
        name="Stripe holds, then says error 500",
        steps=(_pay(VISA),),
        amount=45_002,
        ends="captured",
    ),
    Scenario(
        name="Stripe holds, then never answers",
        steps=(_pay(VISA),),
        amount=25_006,
        ends="captured",
    ),
    Scenario(
        name="Bank captures, then never answers",
        steps=(_pay("sbx_capture_hang_after"),),
        amount=12_000,
        ends="captured",
    ),
    Scenario(
        name="Bank refunds, its answer is lost",
        steps=(_pay("sbx_refund_error_after", "captured"), _refund(3499, "refunded")),
        amount=3499,
        ends="refunded",
        refunded=3499,
    ),
    Scenario(
        name="Worker killed after the bank held",
        steps=(_pay("sbx_die_after"),),
        amount=99_999,
        ends="captured",
        crashes=True,
    ),
)
"""Every path of a payment; a new one is one entry."""

SHOWN: Final = {
    "Stripe holds, then never answers": (
        "Stripe held the money and never answered. Loop did not ask again: it looked the payment "
        "up, found the hold, and captured once."
    ),
    "Worker killed after the bank held": (
        "SIGKILL between the bank's effect and its answer. The intent was in the log, so the next "
        "worker found the hold and went on."
    ),
}
"""The orders whose histories are shown at the end, and what to see in them."""
