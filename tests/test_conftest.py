import psycopg
import pytest


@pytest.mark.parametrize("_time", ["first", "second"])
def test_every_test_has_a_migrated_database_of_its_own(database_url: str, _time: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT to_regclass('loop.schema_migrations') IS NOT NULL")
        assert found.fetchone() == (True,)
        connection.execute("CREATE TABLE only_mine ()")
