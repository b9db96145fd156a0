"""Stripe on our hosted page: Elements at Stripe itself, plain forms and test tokens at a sandbox.

Source: docs.stripe.com/payments/payment-element, /security/guide#content-security-policy.
"""

from typing import Final
from urllib.parse import urljoin

from adapters.processors.stripe import API_URL
from commands.customer_page import Choice, Collecting, TestCard, VendorForm, VendorScript

SCRIPT: Final = "https://js.stripe.com/v3/"
FRAMES: Final = ("https://js.stripe.com", "https://*.js.stripe.com", "https://hooks.stripe.com")
CONNECTS: Final = ("https://api.stripe.com",)

CARDS: Final = (
    TestCard(token="pm_card_visa", says="Approved"),  # noqa: S106 - Stripe's public test tokens
    TestCard(
        token="pm_card_threeDSecure2Required",  # noqa: S106
        says="3-D Secure: the bank asks first",
    ),
    TestCard(token="pm_card_visa_chargeDeclined", says="Declined"),  # noqa: S106
    TestCard(
        token="pm_card_visa_chargeDeclinedInsufficientFunds",  # noqa: S106
        says="Declined: not enough money",
    ),
    TestCard(token="pm_card_chargeDeclinedExpiredCard", says="Declined: expired"),  # noqa: S106
    TestCard(
        token="pm_card_visa_chargeDeclinedLostCard",  # noqa: S106
        says="Declined: reported lost, no further try",
    ),
)


class StripePage:
    """PaymentIntents paid by the customer.

    Args:
        base_url: of the API, or of a sandbox: then nothing comes from Stripe.
    """

    def __init__(self, *, base_url: str = API_URL) -> None:
        # The sandbox's pages are at its root, beside both dialects.
        self._sandbox = None if base_url == API_URL else urljoin(base_url, "/").rstrip("/")
        self.cards: tuple[TestCard, ...] = CARDS if self._sandbox else ()

    def collect(self, asked: Collecting) -> VendorForm | VendorScript | None:
        """Return the sandbox's form, or Elements where the account has a publishable key."""
        if asked.client_secret is None:
            return None
        if self._sandbox:
            options = tuple((card.token, card.says) for card in CARDS)
            return VendorForm(
                action=f"{self._sandbox}/pay/{asked.reference}",
                fields=(("client_secret", asked.client_secret), ("return_url", asked.back_url)),
                choice=Choice(name="payment_method", label="Test card", options=options),
            )
        if not asked.publishable_key:
            return None
        return VendorScript(
            script=SCRIPT,
            ours="stripe.js",
            data=(
                ("publishable-key", asked.publishable_key),
                ("client-secret", asked.client_secret),
                ("back-url", asked.back_url),
            ),
            frames=FRAMES,
            connects=CONNECTS,
        )
