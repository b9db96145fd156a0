"""The card processors: one vendor, one file, no inheritance between them. All are listed here."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from adapters.processors.razorpay import RazorpayProcessor
from adapters.processors.sandbox import SandboxProcessor
from adapters.processors.stripe import StripeProcessor
from commands.processor import Processor

if TYPE_CHECKING:
    from adapters.settings import Settings


def _sandbox(settings: "Settings") -> SandboxProcessor:
    return SandboxProcessor(
        settings.sandbox_books,
        public_url=settings.public_url,
        latency_s=settings.sandbox_latency_s,
    )


PROCESSORS: Final[Mapping[str, Callable[["Settings"], Processor]]] = {
    "sandbox": _sandbox,
    "stripe": lambda settings: StripeProcessor(base_url=settings.stripe_base_url),
    "razorpay": lambda settings: RazorpayProcessor(base_url=settings.razorpay_base_url),
}
"""Every processor that Loop knows, in the order in which routing names them."""
