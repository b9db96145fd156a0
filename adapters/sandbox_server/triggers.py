"""What happens without the API: what banks and customers do, and the vendor's dashboard."""

from collections.abc import Callable
from typing import Final

from adapters.sandbox_server.box import Box, Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.razorpay_dialect import disputes as rzp_disputes
from adapters.sandbox_server.razorpay_dialect import lifecycle, settlements
from adapters.sandbox_server.razorpay_dialect import refunds as rzp_refunds
from adapters.sandbox_server.razorpay_dialect.entities import DISPUTE, PAYMENT, REFUND
from adapters.sandbox_server.razorpay_dialect.settlements import SETTLEMENT
from adapters.sandbox_server.stripe_dialect import disputes, intents, payouts, refunds
from adapters.sandbox_server.stripe_dialect.objects import MOVEMENT, public
from adapters.sandbox_server.wire import Json


def _found(box: Box, asked: Json, name: str, kinds: tuple[str, str]) -> tuple[Call, Json, bool]:
    """Give what is asked for, and whether it is Razorpay's.

    Raises:
        ValueError: there is no such object.
    """
    object_id = asked[name]
    for kind in kinds:
        found = box.store.get(kind, object_id)
        if found:
            account = box.store.account_of(kind, object_id)
            return Call(box=box, account=account, id=object_id), found, kind == kinds[1]
    raise ValueError(f"no such {name}: {object_id}")


def _payment(box: Box, asked: Json) -> tuple[Call, Json, bool]:
    return _found(box, asked, "payment", (intents.KIND, PAYMENT))


def _shown(thing: Json) -> Json:
    shown: Json = public(thing)
    return shown


def dispute(box: Box, asked: Json) -> Json:
    """Open a dispute: `{payment, kind?: open|inquiry|not_received|won|lost, amount?}`."""
    call, payment, razorpay = _payment(box, asked)
    how, amount = asked.get("kind", "open"), asked.get("amount")
    if razorpay:
        return _shown(rzp_disputes.begin(call, payment, how, amount=amount))
    charge = intents.charge_of(call, payment)
    return _shown(disputes.begin(call, charge, how, amount=amount))


def dispute_ends(box: Box, asked: Json) -> Json:
    """Decide a dispute: `{dispute, status: won|lost}`."""
    call, found, razorpay = _found(box, asked, "dispute", (disputes.KIND, DISPUTE))
    (rzp_disputes if razorpay else disputes).decide(call, found, asked["status"])
    return _shown(found)


def refund_failed(box: Box, asked: Json) -> Json:
    """Let a refund come back: `{refund}`."""
    call, refund, razorpay = _found(box, asked, "refund", (refunds.KIND, REFUND))
    (rzp_refunds if razorpay else refunds).fails(call, refund)
    return _shown(refund)


def late_auth(box: Box, asked: Json) -> Json:
    """Authorize a Razorpay payment that failed or is still open: `{payment}`."""
    call, payment, razorpay = _payment(box, asked)
    if not razorpay or payment["status"] not in ("failed", "created"):
        raise ValueError("only a failed or open payment of Razorpay is authorized late")
    lifecycle.authorize(call, payment, late=True)
    return _shown(payment)


def early_fraud_warning(box: Box, asked: Json) -> Json:
    """Warn of fraud, at Stripe: `{payment}`."""
    call, pi, razorpay = _payment(box, asked)
    if razorpay:
        raise ValueError("Razorpay has no early fraud warnings")
    warning: Json = {
        "id": stripe_id("issfr_"),
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": pi["latest_charge"],
        "created": call.now,
        "fraud_type": "misc",
        "livemode": False,
        "payment_intent": pi["id"],
    }
    intents.tell(call, pi, "radar.early_fraud_warning.created", warning)
    return warning


def dashboard_refund(box: Box, asked: Json) -> Json:
    """Refund without the merchant's ids: `{payment, amount?}`."""
    call, payment, razorpay = _payment(box, asked)
    amount = asked.get("amount")
    if razorpay:
        amount = amount or payment["amount"] - payment["amount_refunded"]
        return _shown(
            rzp_refunds.make(call, payment, amount, speed="normal", receipt=None, notes=[])
        )
    charge = intents.charge_of(call, payment)
    amount = amount or charge["amount_captured"] - charge["amount_refunded"]
    return _shown(refunds.make(call, payment, charge, amount, reason=None, metadata={}))


def dashboard_cancel(box: Box, asked: Json) -> Json:
    """Cancel without the merchant's ids, at Razorpay a refund of what is held: `{payment}`."""
    call, payment, razorpay = _payment(box, asked)
    open_ = payment["status"] == "authorized" if razorpay else payment["status"] in intents.OPEN
    if not open_:
        raise ValueError(f"the payment is {payment['status']}")
    if razorpay:
        lifecycle.give_back(call, payment)
    else:
        intents.close(call, payment, "requested_by_customer")
    return _shown(payment)


def dashboard_capture(box: Box, asked: Json) -> Json:
    """Capture without the merchant's ids: `{payment, amount?}`."""
    call, payment, razorpay = _payment(box, asked)
    if payment["status"] != ("authorized" if razorpay else "requires_capture"):
        raise ValueError(f"the payment is {payment['status']}")
    if razorpay:
        lifecycle.capture(call, payment)
    else:
        amount = asked.get("amount") or payment["amount_capturable"]
        intents.take(call, payment, amount, final=True)
    return _shown(payment)


def fence(box: Box, asked: Json) -> Json:
    """Write into the books that a payment must never capture from now on: `{payment}`."""
    row = box.store.db.execute(
        "SELECT dialect, order_ref, currency FROM money WHERE payment = ?", (asked["payment"],)
    ).fetchone()
    if row is None:
        raise ValueError("no such payment")
    call = Call(box=box, account="")
    call.money(row["dialect"], "fenced", asked["payment"], row["order_ref"], 0, row["currency"])
    return {"fenced": asked["payment"]}


def payout(box: Box, asked: Json) -> Json:
    """Pay out all that has moved at both vendors: `{account?}`, one of theirs."""
    made: list[Json] = []
    for kind, pay in ((MOVEMENT, payouts.pay_out), (PAYMENT, settlements.settle)):
        rows = box.store.db.execute("SELECT DISTINCT account FROM objects WHERE kind = ?", (kind,))
        for account in sorted(row["account"] for row in rows):
            if asked.get("account") in (None, account):
                made += pay(Call(box=box, account=account))
    return {"payouts": [_shown(one) for one in made]}


def payout_failed(box: Box, asked: Json) -> Json:
    """Let a payout fail: `{payout}`; the next one has it again, at Razorpay under the same id."""
    call, found, razorpay = _found(box, asked, "payout", (payouts.KIND, SETTLEMENT))
    (settlements if razorpay else payouts).fails(call, found)
    return _shown(found)


def report(box: Box, payout_id: str) -> Json:
    """Give the report of a payout, as a file of its vendor's dashboard.

    Raises:
        ValueError: there is no such payout.
    """
    kinds = (payouts.KIND, SETTLEMENT)
    call, found, razorpay = _found(box, {"payout": payout_id}, "payout", kinds)
    return {"csv": (settlements if razorpay else payouts).report(call, found)}


TRIGGERS: Final[dict[str, Callable[[Box, Json], Json]]] = {
    "dispute": dispute,
    "dispute_ends": dispute_ends,
    "refund_failed": refund_failed,
    "late_auth": late_auth,
    "early_fraud_warning": early_fraud_warning,
    "dashboard_refund": dashboard_refund,
    "dashboard_cancel": dashboard_cancel,
    "dashboard_capture": dashboard_capture,
    "fence": fence,
    "payout": payout,
    "payout_failed": payout_failed,
}
"""Every trigger by the name in `POST /_sandbox/trigger/:name`."""
