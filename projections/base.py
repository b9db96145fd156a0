"""What a read model is: tables, and a fold of the log into them that knows no engine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, LiteralString, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from domain.events import Recorded

Connection: TypeAlias = AsyncConnection[TupleRow]


class Projection(Protocol):
    """One read model; one that sums over streams is no more than this, and leaves no event out.

    Attributes:
        name: of its position, and with `_v{n}` appended of its first table.
        version: of this code; rows made by another version are rebuilt, never mixed.
        tables: live names; each is a view on the table `{table}_v{n}`.
        streams: prefixes of the streams that it reads, for example `("ord_",)`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - in the class docstring
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def tables(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def streams(self) -> tuple[str, ...]: ...  # noqa: D102

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of the tables and indexes of generation `n`."""
        ...

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        """Write what the rows, in position order, make of the tables.

        Called inside the database transaction that also moves the position. It may be called
        again with the same rows after a rollback, also one row at a time.

        Raises:
            Exception: the batch cannot be applied; the engine finds out which stream is to blame.
        """
        ...


@runtime_checkable
class PerStream(Projection, Protocol):
    """A read model whose every row belongs to one stream: one stream can be parked alone."""

    async def mark_stale(self, db: Connection, n: int, stream_id: str, position: int) -> None:
        """Note in the stream's rows that events from `position` on are missing."""
        ...

    async def forget(self, db: Connection, n: int, stream_id: str) -> None:
        """Remove the stream's rows, so that it can be folded again from its first event."""
        ...


S = TypeVar("S")


def fold_streams(
    before: Mapping[str, S], batch: Sequence[Recorded], fold: Callable[[S | None, Recorded], S]
) -> dict[str, tuple[S, int]]:
    """Return state and last position of every stream of the batch."""
    after: dict[str, tuple[S, int]] = {}
    for row in batch:
        held = after.get(row.stream_id)
        state = held[0] if held else before.get(row.stream_id)
        after[row.stream_id] = (fold(state, row), row.position)
    return after


def stream_ids(batch: Sequence[Recorded]) -> list[str]:
    """Return the streams of a batch, each once, in order of appearance."""
    return list(dict.fromkeys(row.stream_id for row in batch))


def named(statement: LiteralString, n: int, **names: str) -> sql.Composed:
    """Fill the names of generation `n` into a statement: `{orders}` becomes `orders_v{n}`."""
    tables = {key: sql.Identifier(f"{name}_v{n}") for key, name in names.items()}
    return sql.SQL(statement).format(**tables)


def columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return rows, at least one, as the arrays that `unnest` takes: one per column."""
    return [list(column) for column in zip(*rows, strict=True)]


class Page(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """One page of a list.

    Attributes:
        rows: newest first.
        has_more: whether there are further rows in the direction that was asked for.
        as_of_position: the log's position that the rows show.
    """

    rows: tuple[S, ...]
    has_more: bool
    as_of_position: int
