"""Looking for a text in everything that is kept: rows of a database and bytes of files."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import psycopg

from adapters.migrations import OPTIONS


def forms(text: str) -> Iterator[bytes]:
    """Give the ways in which a text may stand somewhere: plain, JSON, hex, base64."""
    raw = text.encode()
    yield raw
    yield json.dumps(text)[1:-1].encode()
    yield raw.hex().encode()
    for skip in range(3):
        yield base64.b64encode(raw[skip:])[4:-4]


def tables(url: str) -> Iterator[bytes]:
    """Give every row of every table, as text, and what its bytes and boxes hold."""
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as db:
        found = db.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(found) > 10
        for (name,) in found:
            for form in (b"text", b"binary"):
                statement = b"COPY " + name.encode() + b" TO STDOUT (FORMAT " + form + b")"
                with db.cursor().copy(statement) as rows:
                    yield from (bytes(block) for block in rows)


def stored(*folders: Path) -> Iterator[bytes]:
    """Give the bytes of every file."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path.read_bytes()
