"""Master keys come and go: what each one wraps, and wrapping all of it under the newest."""

from collections.abc import Callable
from typing import Any, Final, LiteralString

import msgspec
from psycopg import AsyncConnection

from adapters.vault import MasterKeys

PAGE: Final = 500


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of boxes; a box begins with the id of its master key and a colon.

    Attributes:
        first: a place before all others.
        page: boxes of other keys than the one given, behind a place, in the order of places.
        replace: puts a box where the old one still is.
        bound_to: the place that a row's box is sealed for.
    """

    name: str
    counts: LiteralString
    first: tuple[str, ...]
    page: LiteralString
    replace: LiteralString
    bound_to: Callable[[tuple[Any, ...]], str]


_DATA_KEYS: Final = Table(
    name="data_keys",
    counts="""
        SELECT convert_from(substring(wrapped FOR position('\\x3a'::bytea IN wrapped) - 1), 'UTF8'),
               count(*) FROM data_keys GROUP BY 1
    """,
    first=("",),
    page="""
        SELECT wrapped, key_id, merchant_id FROM data_keys
        WHERE substring(wrapped FOR length(%s::bytea)) <> %s::bytea AND key_id > %s
        ORDER BY key_id LIMIT %s
    """,
    replace="UPDATE data_keys SET wrapped = %s WHERE wrapped = %s AND key_id = %s",
    bound_to=lambda row: f"data_key:{row[2]}:{row[1]}",
)
_SECRETS: Final = Table(
    name="secrets",
    counts="""
        SELECT convert_from(substring(box FOR position('\\x3a'::bytea IN box) - 1), 'UTF8'),
               count(*) FROM secrets GROUP BY 1
    """,
    first=("", "", ""),
    page="""
        SELECT box, merchant_id, owner, field FROM secrets
        WHERE substring(box FOR length(%s::bytea)) <> %s::bytea
          AND (merchant_id, owner, field) > (%s, %s, %s)
        ORDER BY merchant_id, owner, field LIMIT %s
    """,
    replace=(
        "UPDATE secrets SET box = %s "
        "WHERE box = %s AND merchant_id = %s AND owner = %s AND field = %s"
    ),
    bound_to=lambda row: "secret:" + ":".join(row[1:]),
)
TABLES: Final = (_DATA_KEYS, _SECRETS)
"""Everything that is wrapped by a master key."""


async def wrapped_by(db: AsyncConnection[Any]) -> dict[str, dict[str, int]]:
    """Return how many boxes each master key wraps: by its id, then by table.

    Raises:
        psycopg.Error: the database cannot be read.
    """
    found: dict[str, dict[str, int]] = {}
    for table in TABLES:
        for key_id, count in await (await db.execute(table.counts)).fetchall():
            found.setdefault(key_id, {})[table.name] = count
    return found


async def rewrap(
    db: AsyncConnection[Any], master_keys: MasterKeys, progress: Callable[[int, int], None]
) -> int:
    """Wrap everything under the newest key; return how many boxes it was.

    Each box is replaced by itself and only where it is still the old one, so it may be stopped at
    any time, run again, and run while others read and write. `progress` gets done and total.

    Raises:
        MasterKeyError: a key that wraps something is not configured; what was done stays.
        psycopg.Error: as above.
    """
    counts = await wrapped_by(db)
    total = sum(
        n for key, tables in counts.items() if key != master_keys.newest for n in tables.values()
    )
    done = 0
    progress(done, total)
    for table in TABLES:
        after = table.first
        while rows := await _page(db, table, master_keys, after):
            for row in rows:
                done += await _rewrapped(db, table, master_keys, row)
            after = rows[-1][1 : 1 + len(table.first)]
            progress(done, max(done, total))
    return done


async def _page(
    db: AsyncConnection[Any], table: Table, master_keys: MasterKeys, after: tuple[str, ...]
) -> list[tuple[Any, ...]]:
    newest = f"{master_keys.newest}:".encode()
    return await (await db.execute(table.page, (newest, newest, *after, PAGE))).fetchall()


async def _rewrapped(
    db: AsyncConnection[Any], table: Table, master_keys: MasterKeys, row: tuple[Any, ...]
) -> int:
    place, old = table.bound_to(row), bytes(row[0])
    new = master_keys.wrap(master_keys.unwrap(old, place), place)
    at = row[1 : 1 + len(table.first)]
    return (await db.execute(table.replace, (new, old, *at))).rowcount
