"""What somebody says of an order, sealed with the key that the order's personal part has."""

from commands.append import DataKeyRow
from commands.ports import Ports
from domain.metadata import Sealed
from domain.order.state import Order


async def sealed_words(
    ports: Ports, order: Order, words: str | None
) -> tuple[Sealed | None, DataKeyRow | None]:
    """Return the sealed words, None for None, and the fresh key's row if one was made."""
    if words is None:
        return None, None
    return await ports.vault.seal(
        words,
        merchant_id=order.merchant_id,
        mode=order.mode,
        owner=order.id,
        beside=order.personal,
    )
