"""The tree that the projector keeps is the one of the stored bytes, at every size."""

from collections.abc import AsyncIterator

import pytest

from adapters.log import Connection, connect, pages
from adapters.projector import Projector
from adapters.read_models import install, projections_status
from domain import merkle
from domain.leaf import leaf_hash
from projections import PROJECTIONS, audit_tree
from replay.compare import compare
from tests.history import History, life
from tests.waiting import running, until

TREE = PROJECTIONS["audit_tree"]


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, "test") as db:
        yield db


async def grown(database_url: str, head: int) -> None:
    """Run the projector until the tree has all leaves."""

    async def level() -> bool:
        return {s.name: s.position for s in await projections_status(database_url)} == {
            TREE.name: head
        }

    async with running(Projector(database_url, None, TREE)):
        await until(level)


async def leaves(db: Connection) -> list[bytes]:
    return [
        leaf_hash(
            position=row.position,
            recorded_at=row.recorded_at,
            stream_id=row.stream_id,
            version=row.version,
            tag=row.tag,
            state=row.state,
        )
        async for page in pages(db)
        for row in page
    ]


async def test_the_heads_of_all_sizes_are_those_of_the_stored_bytes(
    database_url: str, history: History, db: Connection
) -> None:
    for lives in (1, 3, 1, 5):
        history.append([fact for _ in range(lives) for fact in life()])
        await grown(database_url, history.head)

    edge = merkle.Edge()
    assert await audit_tree.size(db) == history.head == 70
    for number, leaf in enumerate(await leaves(db), 1):
        edge.append(leaf)
        root = await audit_tree.computed(db, lambda nodes, n=number: merkle.root(nodes, n))
        assert root == edge.root()
    assert (await compare(database_url, TREE)).differences == ()


async def test_every_event_is_proven_from_the_stored_nodes(
    database_url: str, history: History, db: Connection
) -> None:
    history.append([fact for _ in range(3) for fact in life()])
    await grown(database_url, history.head)
    size = history.head
    root = await audit_tree.computed(db, lambda nodes: merkle.root(nodes, size))

    for index, leaf in enumerate(await leaves(db)):
        proof = await audit_tree.computed(
            db, lambda nodes, i=index: merkle.inclusion_proof(nodes, i, size)
        )
        assert merkle.verify_inclusion(leaf, index=index, size=size, proof=proof, root=root)


async def test_a_node_that_is_not_there_is_not_made_up(database_url: str, db: Connection) -> None:
    await install(database_url, [TREE])
    with pytest.raises(LookupError, match="no node"):
        await audit_tree.computed(db, lambda nodes: merkle.root(nodes, 3))


async def test_the_tree_stops_in_front_of_an_event_that_cannot_be_read(
    database_url: str, history: History
) -> None:
    history.append(life())
    history.append_raw([("ord_x", "order.from_the_future.v9", b"{}")])
    async with running(Projector(database_url, None, TREE)):

        async def stands() -> bool:
            (found,) = await projections_status(database_url) or [None]
            return found is not None and found.error is not None

        await until(stands)
    (status,) = await projections_status(database_url)
    assert (status.position, status.head) == (7, 8)
    assert "order.from_the_future.v9" in (status.error or "")
