"""Files of the vendors' dashboards: read as they are documented, or refused with their line."""

from datetime import UTC, datetime

import pytest

from adapters.processors.razorpay import RazorpayProcessor
from adapters.processors.razorpay_reports import RazorpayReports
from adapters.processors.stripe import StripeProcessor
from adapters.processors.stripe_reports import StripeReports
from commands.settlement_reports import ReportError
from domain.events import Line
from domain.money import Money
from domain.settlement import Report

STRIPE = StripeReports(StripeProcessor())
RAZORPAY = RazorpayReports(RazorpayProcessor())

STRIPE_HEAD = (
    "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created_utc,"
    "available_on_utc,currency,gross,fee,net,reporting_category,source_id,description,"
    "customer_facing_amount,customer_facing_currency,payment_metadata[order_id]"
)
STRIPE_ROWS = (
    (
        "po_1,2026-03-04 00:00:00,txn_1,2026-03-01 10:00:00,2026-03-03,usd,108.00,3.43,104.57,"
        'charge,ch_1,"Tea, two pots",100.00,eur,ord_1'
    ),
    (
        "po_1,2026-03-04 00:00:00,txn_2,2026-03-02 10:00:00,2026-03-03,usd,-43.24,0.00,-43.24,"
        "refund,re_1,,40.00,eur,ord_1"
    ),
    (
        "po_1,2026-03-04 00:00:00,txn_3,2026-03-02 11:00:00,2026-03-03,usd,-20.00,15.00,-35.00,"
        "dispute,du_1,,-20.00,usd,"
    ),
    (
        "po_1,2026-03-04 00:00:00,txn_4,2026-03-02 12:00:00,2026-03-03,usd,-2.00,0.00,-2.00,"
        "fee,,Radar,,,"
    ),
    (
        "po_1,2026-03-04 00:00:00,txn_5,2026-03-02 13:00:00,2026-03-03,usd,7.00,0.00,7.00,"
        "topup,tu_1,,,,"
    ),
    (
        "po_1,2026-03-04 00:00:00,txn_6,2026-03-02 14:00:00,2026-03-02,usd,31.00,0.00,31.00,"
        "payout_reversal,po_00,,,,"
    ),
    (
        "po_0,2026-03-02 00:00:00,txn_0,2026-02-28 10:00:00,2026-03-01,jpy,500,18,482,"
        "charge,ch_0,,500,jpy,"
    ),
)
RAZORPAY_HEAD = (
    "entity_id,type,debit,credit,amount,currency,fee,tax,on_hold,settled,created_at,settled_at,"
    "settlement_id,description,notes,payment_id,arn,settlement_utr,order_id,order_receipt,method,"
    "upi_flow,card_network,card_issuer,card_type,dispute_id,additional_utr"
)
END = ",,card,,Visa,HDFC,credit,"
RAZORPAY_ROWS = (
    (
        "pay_1,payment,0.00,488.20,500.00,INR,11.80,1.8,0,1,01/03/2026 10:00:00,04/03/2026,setl_1,,"
        f'"{{""order_id"":""ord_1""}}",,,utr1,order_1{END},'
    ),
    (
        "rfnd_1,refund,200.00,0.00,200.00,INR,0.00,0.00,0,1,02/03/2026 00:30:00,04/03/2026,setl_1,,"
        f"[],pay_1,,utr1,order_1{END},"
    ),
    (
        "adj_1,adjustment,90.00,0.00,90.00,INR,0.00,0.00,0,1,02/03/2026 10:00:00,04/03/2026,setl_1,"
        f"Dispute,,pay_1,,utr1,order_1{END}disp_1,"
    ),
    (
        "adj_2,adjustment,0.00,9.12,9.12,INR,0.00,0.00,0,1,02/03/2026 10:00:00,04/03/2026,setl_1,"
        f"by hand,,,,utr1,{END},"
    ),
    (
        "adj_3,adjustment,0.00,50.00,50.00,INR,0.00,0.00,0,1,02/03/2026 11:00:00,04/03/2026,setl_1,"
        f"Refund reversed,,pay_1,,utr1,order_1{END},"
    ),
    f"pay_2,payment,0.00,97.64,100.00,INR,2.36,0.36,0,0,03/03/2026 10:00:00,,,,[],,,,order_2{END},",
)


def stripe(*rows: str) -> str:
    return "\n".join((STRIPE_HEAD, *rows)) + "\n"


def razorpay(*rows: str) -> str:
    return "\n".join((RAZORPAY_HEAD, *rows)) + "\n"


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def lines(report: Report) -> list[Line]:
    return [entry.line for entry in report.entries]


def test_stripes_report_is_read_by_payout_the_earliest_first() -> None:
    yen, dollars = STRIPE.parse("\ufeff" + stripe(*STRIPE_ROWS))
    assert (yen.payout_id, yen.amount) == ("po_0", Money(482, "JPY"))
    assert dollars.arrived_at == datetime(2026, 3, 4, tzinfo=UTC)
    assert dollars.amount == usd(10_457 - 4_324 - 3_500 - 200 + 700 + 3_100)
    charge, refund, dispute, fee, topup, returned = lines(dollars)
    assert charge == Line(
        id="txn_1",
        kind="capture",
        reference="ch_1",
        gross=Money(10_000, "EUR"),
        settled=usd(10_800),
        fee=usd(343),
        at=datetime(2026, 3, 1, 10, tzinfo=UTC),
    )
    assert (refund.kind, refund.gross, refund.net) == ("refund", Money(-4_000, "EUR"), usd(-4_324))
    assert (dispute.kind, dispute.gross, dispute.fee) == ("dispute", usd(-2_000), usd(1_500))
    assert (fee.kind, fee.net) == ("fee", usd(-200))
    assert (topup.kind, topup.reference) == ("other", "tu_1")
    assert (returned.kind, returned.reference) == ("payout_reversal", "po_00")
    assert [entry.order_id for entry in dollars.entries][:3] == ["ord_1", "ord_1", None]


def test_razorpays_report_is_read_by_settlement_and_what_is_not_settled_is_passed_over() -> None:
    (report,) = RAZORPAY.parse(razorpay(*RAZORPAY_ROWS))
    assert report.arrived_at == datetime(2026, 3, 3, 18, 30, tzinfo=UTC), "midnight in India"
    assert report.amount == Money(48_820 - 20_000 - 9_000 + 912 + 5_000, "INR")
    paid, refund, dispute, other, returned = lines(report)
    assert (paid.kind, paid.reference, paid.gross) == ("capture", "pay_1", Money(50_000, "INR"))
    assert paid.fee == Money(1_180, "INR"), "with the tax on it"
    assert refund.at == datetime(2026, 3, 1, 19, tzinfo=UTC)
    assert (refund.kind, refund.gross) == ("refund", Money(-20_000, "INR"))
    assert (dispute.kind, dispute.reference) == ("dispute", "disp_1")
    assert (other.kind, other.reference) == ("other", None)
    assert (returned.kind, returned.reference) == ("refund_reversal", "pay_1")
    assert [entry.order_id for entry in report.entries] == ["ord_1", None, None, None, None]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "no column automatic_payout_id"),
        (stripe(), 1, "no payouts"),
        (stripe(*STRIPE_ROWS).replace("gross", "net", 1), 1, "a column is there twice"),
        (stripe(*STRIPE_ROWS).replace("source_id", "source"), 1, "no column source_id"),
        (stripe(STRIPE_ROWS[0], "po_1"), 3, "1 fields, and the header has 15"),
        (stripe(STRIPE_ROWS[0] + ",x"), 2, "16 fields"),
        (stripe(STRIPE_ROWS[0], ""), 3, "0 fields"),
        (stripe(STRIPE_ROWS[0], STRIPE_ROWS[0]), 3, "txn_1 is there twice"),
        (stripe(STRIPE_ROWS[0].replace("104.57", "104.58")), 2, "is not net 104.58 USD"),
        (stripe(STRIPE_ROWS[0].replace("108.00", "108.005")), 2, "gross is no amount of USD"),
        (stripe(STRIPE_ROWS[0].replace("108.00", "1e2")), 2, "gross is no amount"),
        (stripe(STRIPE_ROWS[0].replace("108.00", "")), 2, "gross is no amount"),
        (stripe(STRIPE_ROWS[-1].replace(",500,18,", ",500.5,18,")), 2, "gross is no amount of JPY"),
        (stripe(STRIPE_ROWS[0].replace("usd", "xyz")), 2, "no currency 'xyz'"),
        (stripe(STRIPE_ROWS[0].replace("2026-03-01 10", "2026-13-01 10")), 2, "created_utc is no"),
        (stripe(STRIPE_ROWS[0].replace("txn_1", "")), 2, "balance_transaction_id is empty"),
        (stripe(STRIPE_ROWS[0].replace("charge,", ",")), 2, "reporting_category is empty"),
        (stripe(STRIPE_ROWS[0], STRIPE_ROWS[1].replace("03-04", "03-05")), 3, "another time"),
        (stripe(STRIPE_ROWS[0].replace('pots"', "pots")), 2, "no CSV"),
    ],
)
def test_a_line_of_stripe_that_is_not_as_documented_is_named(
    text: str, line: int, why: str
) -> None:
    with pytest.raises(ReportError, match=why) as refused:
        STRIPE.parse(text)
    assert refused.value.line == line
    assert str(refused.value).startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (razorpay(), 1, "no settlements"),
        (razorpay(RAZORPAY_ROWS[-1]), 1, "no settlements"),
        (razorpay(RAZORPAY_ROWS[0].replace("488.20", "488.21")), 2, "do not fit together"),
        (razorpay(RAZORPAY_ROWS[1].replace(",200.00,0.00,200", ",200.00,0.00,201")), 2, "fit"),
        (razorpay(RAZORPAY_ROWS[0].replace(",0,1,", ",0,yes,")), 2, "neither 0 nor 1"),
        (razorpay(RAZORPAY_ROWS[0].replace("setl_1", "")), 2, "settlement_id is empty"),
        (razorpay(RAZORPAY_ROWS[0].replace("04/03", "2026-03")), 2, "settled_at is no time"),
        (razorpay(*RAZORPAY_ROWS[:1], RAZORPAY_ROWS[1].replace("04/", "05/")), 3, "another day"),
        (razorpay(*RAZORPAY_ROWS[:1], RAZORPAY_ROWS[1].replace("INR", "USD")), 3, "currency"),
    ],
)
def test_a_line_of_razorpay_that_is_not_as_documented_is_named(
    text: str, line: int, why: str
) -> None:
    with pytest.raises(ReportError, match=why) as refused:
        RAZORPAY.parse(text)
    assert refused.value.line == line
