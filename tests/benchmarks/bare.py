"""What our HTTP edge is compared with: uvicorn (uvloop, httptools), one psycopg INSERT a request.

`python -m tests.benchmarks.bare DATABASE_URL PORT`
"""

import asyncio
import sys
from typing import Any

import uvicorn
import uvloop
from psycopg_pool import AsyncConnectionPool

POOL = 16
TABLE = (
    "CREATE TABLE IF NOT EXISTS bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " body bytea NOT NULL)"
)
_START: Any = {
    "type": "http.response.start",
    "status": 201,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"11")],
}
_BODY: Any = {"type": "http.response.body", "body": b'{"ok":true}'}


async def serve(url: str, port: int) -> None:
    async with AsyncConnectionPool(
        url,
        min_size=POOL,
        max_size=POOL,
        open=False,
        kwargs={"autocommit": True, "prepare_threshold": 0},
    ) as pool:
        async with pool.connection() as connection:
            await connection.execute(TABLE)

        async def app(_: Any, receive: Any, send: Any) -> None:
            body = (await receive())["body"]
            async with pool.connection() as connection:
                await connection.execute("INSERT INTO bare (body) VALUES (%b)", (body,))
            await send(_START)
            await send(_BODY)

        config = uvicorn.Config(
            app, port=port, http="httptools", lifespan="off", log_level="error", access_log=False
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], int(sys.argv[2])))
