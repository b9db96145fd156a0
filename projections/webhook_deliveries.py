"""The deliveries of what merchants are told, made where the projection `webhooks` is live.

They stand beside the read model: whatever is folded again finds them, and nothing is sent twice.
"""

from collections.abc import Sequence
from typing import Any, Final

from domain.endpoints import MISSED_DAYS
from domain.events import Recorded
from domain.ids import new_id
from projections.base import Connection, columns, named

_NAMES: Final = {"webhook_events": "webhook_events", "webhook_endpoints": "webhook_endpoints"}

_MARK: Final = """
SELECT m.position,
       ARRAY(SELECT k.stream_id FROM parked k WHERE k.projection = 'webhooks'
             AND k.version = %(n)s AND k.stream_id = ANY(%(streams)s)),
       EXISTS (SELECT FROM {webhook_endpoints})
FROM webhook_mark m, projection_positions p
WHERE p.name = 'webhooks' AND p.version = %(n)s AND p.live
FOR UPDATE OF m
"""

# The second branch is for a stream that was left alone for a while, and is taken up again.
_PAIRS: Final = """
WITH news AS (
    SELECT * FROM {webhook_events} WHERE position > %(mark)s
    UNION
    SELECT v.* FROM {webhook_events} v JOIN parked k
        ON k.projection = 'webhooks' AND k.version = %(n)s AND k.stream_id = ANY(%(parked)s)
       AND v.position >= k.position AND (v.stream_id = k.stream_id OR v.merchant_id = k.stream_id)
    WHERE EXISTS (SELECT FROM events l WHERE l.notification_id = v.position
                  AND l.recorded_at > clock_timestamp() - make_interval(days => %(missed_days)s))
)
SELECT p.endpoint_id, v.position, v.event_id, v.type, v.merchant_id, v.mode, v.stream_id,
       v.version, v.sequence
FROM news v JOIN {webhook_endpoints} p
    ON p.merchant_id = v.merchant_id AND p.mode = v.mode AND p.from_position <= v.position
   AND (p.to_position IS NULL OR v.position < p.to_position) AND p.status <> 'disabled'
WHERE CASE WHEN v.target IS NULL THEN '*' = ANY(p.events) OR v.type = ANY(p.events)
           ELSE v.target = p.endpoint_id END
ORDER BY p.endpoint_id, v.position
"""

# Whoever finishes a delivery locks its row first, and looks for the next one after that.
DELIVER: Final = """
WITH new AS (
    SELECT * FROM unnest(
        %b::text[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::bool[]
    ) AS n (endpoint_id, position, event_id, event_type, merchant_id, mode, stream_id, version,
            sequence, delivery_id, lane, first)
), held AS MATERIALIZED (
    SELECT l.endpoint_id, l.lane
    FROM (SELECT endpoint_id, lane FROM new WHERE first ORDER BY 1, 2) AS l
    CROSS JOIN LATERAL (
        SELECT FROM webhook_deliveries w
        WHERE w.endpoint_id = l.endpoint_id AND w.lane = l.lane
          AND w.status IN ('pending', 'failed')
        ORDER BY w.position DESC LIMIT 1 FOR UPDATE
    ) AS open
)
INSERT INTO webhook_deliveries (
    endpoint_id, position, event_id, event_type, merchant_id, mode, stream_id, version, sequence,
    delivery_id, lane, due_at
)
SELECT endpoint_id, position, event_id, event_type, merchant_id, mode, stream_id, version, sequence,
       delivery_id, lane,
       CASE WHEN first AND (endpoint_id, lane) NOT IN (SELECT endpoint_id, lane FROM held)
            THEN clock_timestamp() END
FROM new
ON CONFLICT (endpoint_id, position) DO NOTHING
"""


async def deliver(db: Connection, n: int, batch: Sequence[Recorded]) -> None:
    """Make the deliveries of a batch that the tables of generation `n` hold, if they are live."""
    streams = list({row.stream_id for row in batch})
    cursor = await db.execute(named(_MARK, n, **_NAMES), {"n": n, "streams": streams})
    row = await cursor.fetchone()
    if row is None:
        return
    mark, parked, anybody = row
    if anybody:
        values = {"mark": mark, "n": n, "parked": parked, "missed_days": MISSED_DAYS}
        cursor = await db.execute(named(_PAIRS, n, **_NAMES), values)
        pairs = await cursor.fetchall()
        if pairs:
            await db.execute(DELIVER, delivery_columns(pairs))
            await db.execute("NOTIFY loop_webhooks")
    if batch[-1].position > mark:
        await db.execute("UPDATE webhook_mark SET position = %s", (batch[-1].position,))


def delivery_columns(pairs: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the arrays of `DELIVER` for rows of endpoint and event, by endpoint and position.

    An order's deliveries go one after the other; what belongs to no order is on its own.
    """
    rows = []
    lanes: set[tuple[str, str]] = set()
    for pair in pairs:
        endpoint_id, event_id, stream_id = pair[0], pair[2], pair[6]
        lane = stream_id if stream_id.startswith("ord_") else event_id
        first = (endpoint_id, lane) not in lanes
        lanes.add((endpoint_id, lane))
        rows.append((*pair, new_id("whd"), lane, first))
    return columns(rows)
