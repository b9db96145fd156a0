"""The card processors: one vendor, one file, no inheritance between them. All are listed here."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from adapters.processors.razorpay import RazorpayProcessor
from adapters.processors.razorpay_page import RazorpayPage
from adapters.processors.sandbox import SandboxProcessor
from adapters.processors.sandbox_page import SandboxPage
from adapters.processors.stripe import StripeProcessor
from adapters.processors.stripe_page import StripePage
from commands.customer_page import CustomerPage
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

CUSTOMER_PAGES: Final[Mapping[str, Callable[["Settings"], CustomerPage]]] = {
    "sandbox": lambda _: SandboxPage(),
    "stripe": lambda settings: StripePage(base_url=settings.stripe_base_url),
    "razorpay": lambda settings: RazorpayPage(base_url=settings.razorpay_base_url),
}
"""What each of them shows on our hosted page."""
