from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.sandbox.bank import Bank


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bank.sqlite3"


@pytest.fixture
def bank(path: Path) -> Iterator[Bank]:
    opened = Bank(path)
    yield opened
    opened.close()
