"""The list of nasty sequences, and that each of them is a test with its id in the name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
IDS = [*(f"s{n}" for n in range(1, 23)), *(f"r{n}" for n in range(1, 20))]
COMMANDS = HERE / "commands"
"""Where Loop's own verbs and saga meet a processor; names elsewhere are of other lists, too."""


def functions_in(folder: Path) -> Iterator[ast.AsyncFunctionDef | ast.FunctionDef]:
    """Yield the test functions of a folder's files."""
    for path in sorted(folder.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                yield node


def ids_of(name: str) -> list[str]:
    """Return the ids that a test's name begins with: `test_r9_r19_a_hold_…` has two."""
    found = re.match(r"test_((?:[sr]\d+_)+)", name)
    return found[1].split("_")[:-1] if found else []


def test_each_nasty_sequence_is_played_against_a_processor() -> None:
    played = {one: test for test in functions_in(COMMANDS) for one in ids_of(test.name)}
    assert [one for one in IDS if one not in played] == []
    assert sorted(played) == sorted(IDS), "an id that is on no list"
    for one, test in played.items():
        claims = [node for node in ast.walk(test) if isinstance(node, ast.Assert)]
        assert claims, f"{one} claims nothing"
