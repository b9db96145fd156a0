"""Idempotency keys of what appends nothing: one request at a time, one answer, one body."""

from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.once import keep, once
from commands.caller import Idempotency
from domain.errors import Conflict, Rejected

ASKED = Idempotency(key="k", scope="mer_1:test:POST /x", fingerprint=b"f" * 32)
OTHER = Idempotency(key="k", scope="mer_1:test:POST /x", fingerprint=b"g" * 32)


async def test_the_first_is_done_and_an_equal_one_is_answered(pool: AsyncConnectionPool) -> None:
    async with pool.connection() as db:
        async with once(db, ASKED) as answered:
            assert answered is None
            await keep(db, ASKED, "mer_1", "what was done")
        async with once(db, ASKED) as answered:
            assert answered == "what was done"
        with pytest.raises(Rejected, match="another body"):
            async with once(db, OTHER):
                pytest.fail("another body is not another request")
        async with once(db, None) as answered:
            assert answered is None


async def test_what_failed_is_not_kept_and_may_be_tried_again(pool: AsyncConnectionPool) -> None:
    async def fails(db: AsyncConnection[Any]) -> None:
        async with once(db, ASKED), db.transaction():
            await keep(db, ASKED, "mer_1", "what was not done")
            raise ZeroDivisionError

    async with pool.connection() as db:
        with pytest.raises(ZeroDivisionError):
            await fails(db)
        async with once(db, ASKED) as answered:
            assert answered is None


async def test_an_equal_request_beside_it_is_told_to_wait(pool: AsyncConnectionPool) -> None:
    async with pool.connection() as db, pool.connection() as beside:
        async with once(db, ASKED):
            with pytest.raises(Conflict) as refused:
                async with once(beside, ASKED):
                    pytest.fail("both would be done")
            assert refused.value.code == "idempotency_in_progress"
        async with once(beside, ASKED) as answered:
            assert answered is None
