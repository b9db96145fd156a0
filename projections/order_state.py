"""The folded order as projections keep it beside their rows, so that no stream is read again."""

from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import sql

from domain.events import Recorded
from domain.order.evolve import evolve
from domain.order.state import Order
from projections.base import Connection, stream_ids

decode_state: Final = msgspec.json.Decoder(Order).decode
encode_state: Final = msgspec.json.Encoder().encode


def fold_row(order: Order | None, row: Recorded) -> Order:
    """Return the order after one row of its stream; a row out of its turn is refused."""
    assert row.version == (order.version if order else 0) + 1, "versions have no gaps"
    return evolve(order, row.data, row.metadata, stream_id=row.stream_id)


async def load_states(
    db: Connection, statement: sql.Composed, batch: Sequence[Recorded]
) -> dict[str, Order]:
    """Return the stored states of the batch's orders; one that begins in the batch has none."""
    begun = {row.stream_id for row in batch if row.version == 1}
    known = [stream_id for stream_id in stream_ids(batch) if stream_id not in begun]
    if not known:
        return {}
    cursor = await db.execute(statement, (known,), binary=True)
    return {order_id: decode_state(state) for order_id, state in await cursor.fetchall()}
