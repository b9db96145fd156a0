"""The in-process sandbox on our hosted page: its test tokens are the cards."""

from commands.customer_page import Collecting, TestCard


class SandboxPage:
    """Every card pays by its token; the bank asks for nothing on a page of ours."""

    cards: tuple[TestCard, ...] = (
        TestCard(token="sbx_approve", says="Approved"),  # noqa: S106 - a test token
        TestCard(token="sbx_challenge", says="3-D Secure: the bank asks first"),  # noqa: S106
        TestCard(token="sbx_decline", says="Declined"),  # noqa: S106
        TestCard(
            token="sbx_decline_insufficient_funds",  # noqa: S106
            says="Declined: not enough money",
        ),
        TestCard(token="sbx_decline_expired_card", says="Declined: expired"),  # noqa: S106
        TestCard(
            token="sbx_decline_lost_card",  # noqa: S106
            says="Declined: reported lost, no further try",
        ),
        TestCard(token="sbx_pending", says="Approved after a while"),  # noqa: S106
    )

    def collect(self, asked: Collecting) -> None:
        """Return None: the sandbox never asks for a card elsewhere."""
        del asked
