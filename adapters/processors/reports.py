"""The processors that report their payouts: one line each."""

from collections.abc import Mapping
from typing import Final

from adapters.processors.razorpay import RazorpayProcessor
from adapters.processors.razorpay_reports import RazorpayReports
from adapters.processors.stripe import StripeProcessor
from adapters.processors.stripe_reports import StripeReports
from commands.processor import Processor
from commands.settlement_reports import Reporter

REPORTERS: Final = ("stripe", "razorpay")


def reporters(processors: Mapping[str, Processor]) -> dict[str, Reporter]:
    """Return what reads the reports of each processor."""
    stripe, razorpay = processors["stripe"], processors["razorpay"]
    assert isinstance(stripe, StripeProcessor)
    assert isinstance(razorpay, RazorpayProcessor)
    return {"stripe": StripeReports(stripe), "razorpay": RazorpayReports(razorpay)}
