"""How the log and its side tables are reached: limits, keep-alive, plans by index, one error."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.migrations import OPTIONS
from domain.errors import Unavailable

STATEMENT_TIMEOUT_MS: Final = 15_000
_SETTINGS: Final = (
    f"{OPTIONS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
    # Plans are kept as long as the connection: one that was made while a table was small, and
    # reads all of it, would be kept while the table grows.
    " -c enable_seqscan=off -c idle_in_transaction_session_timeout=5s"
    # Planning anew for each call's arrays costs more than a small call itself.
    " -c plan_cache_mode=force_generic_plan"
)


async def connect(database_url: str, *, name: str) -> AsyncConnection[Any]:
    """Open a connection of our own, autocommitting, that notices within 25 s when the peer is gone.

    Args:
        database_url: of libpq.
        name: what `pg_stat_activity` shows.

    Raises:
        psycopg.OperationalError: the database cannot be reached within 5 s.
    """
    return await AsyncConnection.connect(
        database_url,
        autocommit=True,
        prepare_threshold=0,
        connect_timeout=5,
        application_name=name,
        options=_SETTINGS,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )


@asynccontextmanager
async def borrowed(pool: AsyncConnectionPool) -> AsyncIterator[AsyncConnection[Any]]:
    """Borrow a connection for one statement.

    Raises:
        Unavailable: `database_unavailable`; whether the statement ran is not known.
    """
    try:
        async with pool.connection() as connection:
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable("database_unavailable", "The database cannot be reached.") from error
