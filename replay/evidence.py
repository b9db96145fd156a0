"""What else the database shows of the log, besides its rows: read for the audit."""

from collections.abc import Sequence
from typing import Final

from adapters.log import Connection
from replay.tampering import Finding

_VERSIONS: Final = """
SELECT notification_id, originator_id, originator_version, originator_version <> place FROM (
    SELECT notification_id, originator_id, originator_version,
           row_number() OVER stream AS place,
           lag(notification_id) OVER stream AS before
    FROM events WINDOW stream AS (PARTITION BY originator_id ORDER BY originator_version)
) AS numbered
WHERE originator_version <> place OR before > notification_id
ORDER BY notification_id LIMIT 10
"""


async def count(db: Connection, statement: str) -> int:
    """Return the one number that a statement gives."""
    row = await (await db.execute(statement.encode())).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0])


async def tree_rows(db: Connection, positions: Sequence[int]) -> dict[int, bytes]:
    """Return what the audit tree has of these positions, as far as it has them."""
    if isinstance(positions, range):
        where, values = b"BETWEEN %s AND %s", (positions[0], positions[-1])
    else:
        where, values = b"= ANY(%s)", (list(positions),)
    statement = b"SELECT position, hashes FROM audit_tree WHERE position " + where
    return dict(await (await db.execute(statement, values, binary=True)).fetchall())


async def versions(db: Connection) -> list[Finding]:
    """Find streams whose versions have gaps or are not in the order of the positions."""
    return [
        Finding(
            kind="missing" if gap else "reordered",
            position=position,
            upto=position,
            detail=f"version {version} of {stream_id} does not follow on its stream",
        )
        for position, stream_id, version, gap in await (await db.execute(_VERSIONS)).fetchall()
    ]
