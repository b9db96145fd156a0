"""The `eventsourcing` library's recorders on our log, for synchronous code.

They write the rows that `append_events` would write: under the same lock, numbered densely, with
`recorded_at` and NOTIFY. They leave the side tables alone: commands append through the event store.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    StoredEvent,
    Tracking,
)
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresFactory,
    PostgresProcessRecorder,
)
from eventsourcing.utils import Environment, EnvType, get_topic
from psycopg import Cursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow
from psycopg.sql import SQL, Composed
from typing_extensions import override

from adapters.codec import LogMapper, NoTranscoder
from adapters.migrations import SCHEMA

TRIES_MAX: Final = 10
AGAIN_S: Final = 0.2
EVENTS_TABLE: Final = "events"
TRACKING_TABLE: Final = "notification_tracking"
CHANNEL: Final = "loop_events"
DATABASE_URL: Final = "LOOP_DATABASE_URL"

_LOCK: Final = SQL("SELECT pg_advisory_xact_lock(hashtextextended('loop.events', 0))")
_INSERT: Final = SQL(
    "WITH last AS MATERIALIZED ("
    " SELECT coalesce(max(notification_id), 0) AS position,"
    " greatest(clock_timestamp(), max(recorded_at)) AS at FROM ("
    "  SELECT notification_id, recorded_at FROM loop.events ORDER BY notification_id DESC LIMIT 1"
    " ) AS row) "
    "INSERT INTO loop.events"
    " (originator_id, originator_version, topic, state, notification_id, recorded_at) "
    "SELECT e.originator_id, e.originator_version, e.topic, e.state, last.position + e.n, last.at "
    "FROM unnest(%s::loop.stored_event_text[]) WITH ORDINALITY"
    " AS e (originator_id, originator_version, topic, state, n), last "
    "ORDER BY e.n RETURNING notification_id"
)
_COMMITTED: Final = SQL(
    "SELECT t.notification_id FROM unnest(%s::loop.stored_event_text[]) WITH ORDINALITY"
    " AS e (originator_id, originator_version, topic, state, n)"
    " JOIN loop.events t USING (originator_id, originator_version, topic, state) ORDER BY e.n"
)


class LogRecorder(PostgresApplicationRecorder):
    """Reads and appends rows of `loop.events`; the table is made by our migrations."""

    def __init__(
        self, datastore: PostgresDatastore, *, events_table_name: str = EVENTS_TABLE, **kwargs: Any
    ) -> None:
        assert (datastore.schema, datastore.originator_id_type) == (SCHEMA, "text"), "our table"
        assert events_table_name == EVENTS_TABLE, "there is one log"
        # The library's stored function takes no lock and drops tracking.
        assert not datastore.enable_db_functions, "events would be missed by those who follow"
        super().__init__(datastore, events_table_name=events_table_name, **kwargs)
        self.channel_name = CHANNEL
        self.insert_events_statement = Composed([_INSERT])
        self.lock_table_statements = [*self.lock_table_statements[:1], _LOCK]

    @override
    def create_table(self) -> None:
        """Do nothing: `adapters.migrations.migrate` makes the tables."""

    @override
    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Append events, all or nothing, and return their positions; None for no events.

        A try whose acknowledgement was lost is repeated. When the repetition finds a position
        taken, it is looked up by whom: the same bytes are the first try's own, because every
        event carries an id of its own in them.

        Raises:
            IntegrityError: a version or a tracked position is taken by others.
            OperationalError, InterfaceError: the database is gone for about 2 s; outcome unknown.
        """
        insert = self._insert
        for tries in range(1, TRIES_MAX + 1):
            try:
                return insert(stored_events, **kwargs)
            except (InterfaceError, OperationalError):
                if tries == TRIES_MAX:
                    raise
                insert = self._insert_again
                time.sleep(AGAIN_S)
        raise AssertionError("the last try returns or raises")

    def _insert_again(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        try:
            return self._insert(stored_events, **kwargs)
        except IntegrityError:
            if not stored_events:
                if self._tracked(kwargs.get("tracking")):
                    return None
                raise
            positions = self._committed(stored_events)
            if len(positions) != len(stored_events):
                raise
            return positions

    def _insert(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append in one database transaction; the lock is held until it ends."""
        with (
            self.datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            self._insert_events(cursor, stored_events, **kwargs)
            if not stored_events:
                return None
            self._insert_stored_events(cursor, stored_events, **kwargs)
            return self._fetch_ids_after_insert_events(cursor, stored_events, **kwargs)

    def _committed(self, stored_events: Sequence[StoredEvent]) -> list[int]:
        """Return the positions of those of the events that are in the log, byte for byte."""
        rows = [
            self.construct_pg_stored_event(e.originator_id, e.originator_version, e.topic, e.state)
            for e in stored_events
        ]
        with self.datastore.cursor() as cursor:
            cursor.execute(_COMMITTED, (rows,))
            return [row["notification_id"] for row in cursor.fetchall()]

    def _tracked(self, tracking: Tracking | None) -> bool:
        """Tell whether the tracked position was recorded; a plain recorder tracks nothing."""
        return tracking is None


class LogProcessRecorder(LogRecorder, PostgresProcessRecorder):
    """Also keeps up to where each process application has followed, in the same commit."""

    def __init__(
        self,
        datastore: PostgresDatastore,
        *,
        events_table_name: str = EVENTS_TABLE,
        tracking_table_name: str = TRACKING_TABLE,
    ) -> None:
        super().__init__(
            datastore,
            events_table_name=events_table_name,
            tracking_table_name=tracking_table_name,
        )

    @override
    def _insert_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> None:
        PostgresProcessRecorder._insert_events(self, curs, stored_events, **kwargs)  # noqa: SLF001

    @override
    def _tracked(self, tracking: Tracking | None) -> bool:
        if tracking is None:
            return True
        return self.max_tracking_id(tracking.application_name) == tracking.notification_id


class LogFactory(PostgresFactory):
    """Makes the library's applications write to our log; see `environment`."""

    application_recorder_class = LogRecorder
    process_recorder_class = LogProcessRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(DATABASE_URL)
        if url is not None and isinstance(self.datastore.pool.kwargs, dict):
            # What the library has no variables for, sslmode for example.
            self.datastore.pool.kwargs.update(conninfo_to_dict(url))

    @override
    def application_recorder(self) -> LogRecorder:
        """Return the recorder of the one log, however the application is called."""
        return LogRecorder(self.datastore)

    @override
    def process_recorder(self) -> LogProcessRecorder:
        """Return the recorder of the one log with tracking."""
        return LogProcessRecorder(self.datastore)


def environment(database_url: str) -> dict[str, str]:
    """Return the `env` with which a library application works on our log."""
    parts = {key: str(value) for key, value in conninfo_to_dict(database_url).items()}
    return {
        "PERSISTENCE_MODULE": get_topic(LogFactory),
        "MAPPER_TOPIC": get_topic(LogMapper),
        "TRANSCODER_TOPIC": get_topic(NoTranscoder),
        "POSTGRES_SCHEMA": SCHEMA,
        "ORIGINATOR_ID_TYPE": "text",
        "POSTGRES_DBNAME": parts.get("dbname", ""),
        "POSTGRES_HOST": parts.get("host", ""),
        "POSTGRES_PORT": parts.get("port", "5432"),
        "POSTGRES_USER": parts.get("user", ""),
        "POSTGRES_PASSWORD": parts.get("password", ""),
        DATABASE_URL: database_url,
    }
