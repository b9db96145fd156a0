"""Razorpay on our hosted page: a form that opens Razorpay's own checkout, without any script.

Source: razorpay.com/docs, Hosted Checkout: a POST to `/v1/checkout/embedded`, and the signed triple
comes back as a POST to `callback_url`.
"""

from urllib.parse import urljoin

from adapters.processors.razorpay import API_URL
from commands.customer_page import Choice, Collecting, TestCard, VendorForm

_OUTCOMES = (
    ("success", "Approved"),
    ("card_declined", "Declined"),
    ("insufficient_funds", "Declined: not enough money"),
)


class RazorpayPage:
    """Orders paid on Razorpay's checkout.

    Args:
        base_url: of the API, or of a sandbox.
    """

    cards: tuple[TestCard, ...] = ()

    def __init__(self, *, base_url: str = API_URL) -> None:
        self._base_url = base_url
        self._is_sandbox = base_url != API_URL

    def collect(self, asked: Collecting) -> VendorForm | None:
        """Return the form; None without the key's public id."""
        if not asked.key_id:
            return None
        if self._is_sandbox:
            return VendorForm(
                action=urljoin(self._base_url, f"/checkout/{asked.reference}/pay"),
                fields=(("callback_url", asked.back_url),),
                choice=Choice(name="outcome", label="Outcome of the test", options=_OUTCOMES),
            )
        fields = {
            "key_id": asked.key_id,
            "order_id": asked.reference,
            "name": asked.shop,
            "description": asked.description or "",
            "callback_url": asked.back_url,
            "cancel_url": asked.cancel_url,
        }
        given = tuple((name, value) for name, value in fields.items() if value)
        return VendorForm(action=f"{self._base_url}/v1/checkout/embedded", fields=given)
