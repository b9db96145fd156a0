"""One complete example of every event; `python -m tests.domain.catalogue` writes missing files.

A golden file is never written again: it stands for rows that are in somebody's log.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from adapters.codec import encode
from domain import events as e
from domain.metadata import Actor, Metadata, Sealed
from domain.money import Money
from domain.routing import (
    Account,
    Candidate,
    Conditions,
    Decision,
    Failover,
    Inputs,
    Range,
    RoutingPolicy,
    Rule,
    Share,
)

GOLDEN: Final = Path(__file__).parent.parent / "golden" / "events"

AT: Final = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ATT, CAP = "att_01h455vb4pex5vsknk084sn02q", "cap_01h455vb4pex5vsknk084sn02r"
REF, DSP = "ref_01h455vb4pex5vsknk084sn02s", "dsp_01h455vb4pex5vsknk084sn02t"
KEY, WHE = "key_01h455vb4pex5vsknk084sn02v", "whe_01h455vb4pex5vsknk084sn02w"
BOX = Sealed("dk_1", bytes(range(12)) + b"\xffciphertext" + bytes(16))
TEN, SIX, FOUR, FEE = Money(1000, "EUR"), Money(600, "EUR"), Money(400, "EUR"), Money(59, "EUR")

METADATA: Final = Metadata(
    event_id="evt_01h455vb4pex5vsknk084sn02x",
    merchant_id="mer_01h455vb4pex5vsknk084sn02y",
    mode="live",
    occurred_at=AT,
    actor=Actor("api_key", KEY),
    correlation_id="corr-1",
    causation_id="evt_01h455vb4pex5vsknk084sn02z",
    idempotency_key="order-17",
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)

DECISION: Final = Decision(
    policy_version=3,
    rule="rule_eur",
    inputs=Inputs(
        order_id="ord_01h455vb4pex5vsknk084sn030",
        amount_minor=1000,
        currency="EUR",
        token="pm_card_visa",
        card_brand="visa",
        country="DE",
        explicit="stripe",
        excluded=("sandbox",),
        unfit=(("razorpay", "circuit open"),),
        accounts=(
            Account(
                processor="stripe",
                fingerprint="acct_1",
                credential_version=2,
                enabled=True,
                priority=1,
            ),
        ),
    ),
    candidates=(
        Candidate("stripe", True, "eligible"),  # noqa: FBT003 - read as it is stored
        Candidate("razorpay", False, "not configured"),  # noqa: FBT003 - as above
    ),
    chosen="stripe",
)

POLICY: Final = RoutingPolicy(
    version=3,
    rules=(
        Rule(
            id="rule_eur",
            conditions=Conditions(
                currency="EUR", amount=Range(min=100, max=5000), card_brand="visa", country="DE"
            ),
            processor="stripe",
            priority=2,
        ),
        Rule(id="rule_split", split=(Share("stripe", 70), Share("razorpay", 30)), priority=3),
    ),
    fallback="stripe",
    failover=Failover(enabled=False, hops_max=2, classes=("failover", "later")),
)

LINE: Final = e.Line(
    id="txn_1",
    kind="capture",
    reference="ch_1",
    gross=SIX,
    settled=Money(648, "USD"),
    fee=Money(78, "USD"),
    rate="1.08",
    at=AT,
)
MATCH: Final = e.Match(
    order_id="ord_01h455vb4pex5vsknk084sn030",
    subject=CAP,
    stray=True,
    gross_off=Money(-1, "EUR"),
    fee_off=Money(3, "USD"),
    outside=True,
)

EXAMPLES: Final[tuple[e.AnyEvent, ...]] = (
    e.OrderCreated(
        amount=TEN,
        capture_method="manual",
        external_id="order-17",
        checkout_session_id="cs_01h455vb4pex5vsknk084sn031",
        expires_at=AT,
        personal=BOX,
    ),
    e.OrderRouted(
        attempt_id=ATT,
        number=1,
        processor="stripe",
        account="acct_1",
        credential_version=2,
        idempotency_key=f"pay:{ATT}",
        amount=TEN,
        decision=DECISION,
        token="pm_card_visa",
        return_url="https://loop.example/checkout/1/return",
        return_to=BOX,
        challenge_timeout_s=600,
    ),
    e.ProcessorReferenced(attempt_id=ATT, processor="stripe", reference="pi_1"),
    e.OrderChallenged(attempt_id=ATT, kind="redirect", deadline=AT),
    e.OrderAuthorized(
        attempt_id=ATT, processor="stripe", payment_id="pi_1", amount=TEN, capture_before=AT
    ),
    e.OrderDeclined(
        attempt_id=ATT,
        processor="stripe",
        code="insufficient_funds",
        retry_class="later",
        next="customer",
        closed=True,
        processor_code="card_declined",
        message="Your card has insufficient funds.",
    ),
    e.OutcomeUnknown(subject=CAP, attempt_id=ATT, operation="capture", cause="read time-out"),
    e.AttemptFenced(attempt_id=ATT, proof="capture_withheld"),
    e.CaptureRequested(
        attempt_id=ATT,
        capture_id=CAP,
        processor="stripe",
        amount=SIX,
        remainder="kept",
        idempotency_key=f"capture:{CAP}",
    ),
    e.OrderCaptured(
        attempt_id=ATT,
        capture_id=CAP,
        processor="stripe",
        processor_id="ch_1",
        amount=SIX,
        released=Money(0, "EUR"),
        remaining=FOUR,
        remaining_expires_at=AT,
    ),
    e.CaptureFailed(
        attempt_id=ATT,
        capture_id=CAP,
        processor="stripe",
        code="charge_expired_for_capture",
        hold="expired",
        released=TEN,
        message="The hold has lapsed.",
    ),
    e.VoidRequested(attempt_id=ATT, processor="stripe", amount=TEN, idempotency_key=f"void:{ATT}"),
    e.OrderVoided(attempt_id=ATT, processor="stripe", amount=TEN, payment_id="pi_2"),
    e.VoidFailed(attempt_id=ATT, code="not_cancellable", message="It was captured."),
    e.AuthorizationExpiring(attempt_id=ATT, capture_before=AT),
    e.AuthorizationExpired(attempt_id=ATT, processor="stripe", amount=FOUR, payment_id="pi_2"),
    e.CancelRequested(reason=BOX),
    e.OrderFailed(
        code="card_declined",
        retry_class="stop",
        message="The card was declined.",
        processor_code="lost_card",
    ),
    e.OrderCancelled(reason=BOX),
    e.OrderExpired(cause="session"),
    e.RefundRequested(
        refund_id=REF,
        attempt_id=ATT,
        processor="stripe",
        payment_id="pi_1",
        amount=FOUR,
        kind="merchant",
        idempotency_key=f"refund:{REF}",
        reason=BOX,
    ),
    e.OrderRefunded(
        refund_id=REF,
        attempt_id=ATT,
        processor="stripe",
        processor_id="re_1",
        amount=FOUR,
        kind="stray",
        payment_id="pi_2",
    ),
    e.RefundFailed(refund_id=REF, code="expired_or_canceled_card", message="The card is gone."),
    e.RefundReversed(
        refund_id=REF, processor="stripe", amount=FOUR, kind="merchant", code="declined"
    ),
    e.DisputeOpened(
        dispute_id=DSP,
        attempt_id=ATT,
        processor="stripe",
        processor_id="dp_1",
        amount=SIX,
        reason="fraudulent",
    ),
    e.DisputeFundsWithdrawn(dispute_id=DSP, processor="stripe", amount=SIX),
    e.DisputeFundsReinstated(dispute_id=DSP, processor="stripe", amount=FOUR),
    e.DisputeClosed(dispute_id=DSP, processor="stripe", outcome="lost", lost_amount=SIX),
    e.FeeRecorded(processor="stripe", of="capture", subject=CAP, amount=FEE),
    e.StrayPaymentFound(
        attempt_id=ATT, processor="stripe", payment_id="pi_2", state="captured", amount=TEN
    ),
    e.DiscrepancyFound(
        attempt_id=ATT,
        operation="capture",
        subject=CAP,
        ours=SIX,
        theirs_minor=500,
        theirs_currency="XTS",
    ),
    e.DiscrepancyResolved(subject=CAP, how="accepted_ours", evidence=BOX),
    e.SettlementReported(
        processor="stripe",
        account="acct_1",
        payout_id="po_1",
        amount=Money(570, "USD"),
        arrived_at=AT,
        lines=1,
        converted=(e.Conversion(SIX, Money(648, "USD")),),
    ),
    e.SettlementMatched(processor="stripe", line=LINE, match=MATCH),
    e.SettlementUnmatched(
        processor="stripe",
        line=LINE,
        reason="amount_differs",
        order_id=MATCH.order_id,
        subject=CAP,
        undone=MATCH,
    ),
    e.MerchantRegistered(profile=BOX),
    e.ProfileChanged(profile=BOX),
    e.KeyIssued(
        key_id=KEY,
        name="Server",
        prefix="sk_live_abcd",
        scopes=("payments:write", "payments:read"),
        mode="live",
        expires_at=AT,
    ),
    e.KeyRevoked(key_id=KEY),
    e.ProcessorConfigured(
        processor="stripe",
        mode="live",
        account="acct_1",
        credential_version=2,
        enabled=False,
        priority=7,
    ),
    e.ProcessorRemoved(processor="stripe", mode="live"),
    e.RoutingSet(mode="live", policy=POLICY),
    e.EndpointAdded(
        endpoint_id=WHE,
        mode="live",
        url=BOX,
        events=("payment.captured",),
        api_version="2026-01-01",
        description=BOX,
    ),
    e.EndpointChanged(
        endpoint_id=WHE,
        url=BOX,
        events=("*",),
        description=BOX,
        status="disabled",
        disabled_reason="410 Gone",
    ),
    e.EndpointRemoved(endpoint_id=WHE),
    e.EndpointSecretRotated(endpoint_id=WHE, secret_id="5f1d0c"),
    e.EndpointTested(endpoint_id=WHE),
    e.CustomerErased(subject="5f1d0c", mode="live"),
)


def write_missing() -> None:
    """Write the files of events that have none."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        file = GOLDEN / f"{e.tag_of(example)}.json"
        if not file.exists():
            file.write_bytes(encode(METADATA, example) + b"\n")


if __name__ == "__main__":
    write_missing()
