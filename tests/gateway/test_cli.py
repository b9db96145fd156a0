import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import VERBS, cli


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every verb, and every verb of a verb, as it is typed."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", [(), *commands()], ids=" ".join)
def test_help_of_every_verb_has_an_example(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*path, "--help"], prog_name="loop")

    assert shown.exit_code == 0
    assert f"Example: {' '.join(['loop', *path])}" in " ".join(shown.output.split()) or (
        "Example: LOOP_" in shown.output or not path
    )
    assert "Example: " in shown.output


def test_every_verb_that_answers_has_json() -> None:
    silent = {
        ("serve",),
        ("work",),
        ("keys",),
        ("projections",),
        ("replay",),
        ("audit",),
        ("processors",),
        ("vault",),
        ("settlements",),
        ("sagas",),
        ("sandbox", "faults"),
    }
    for path in commands():
        shown = CliRunner().invoke(cli, [*path, "--help"])
        assert ("--json" in shown.output) == (path not in silent), path


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, gateway.cli as c\n"
        "c.cli(['--help'], standalone_mode=False)\n"
        "heavy = {'litestar', 'psycopg', 'nats', 'rich', 'httpx', 'opentelemetry', 'structlog'}\n"
        "sys.exit(f'loaded {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command"),
        (["work", "--only", "relay,cooking"], "no role cooking"),
        (["keys", "create", "--merchant", "mer_1", "--new-merchant", "x"], "either --merchant"),
        (["keys", "create", "--merchant", "mer_1", "--mode", "dead"], "'dead' is not one of"),
        (["up", "--workers", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_ends_with_two(arguments: list[str], said: str) -> None:
    shown = CliRunner().invoke(cli, arguments)

    assert shown.exit_code == 2
    assert said in shown.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "order", "ord_1"],
        ["projections", "status"],
        ["migrate"],
        ["serve"],
        ["work"],
        ["keys", "create", "--new-merchant", "x"],
    ],
    ids=lambda a: a[0],
)
def test_without_a_running_loop_the_message_says_what_to_do(
    arguments: list[str], tmp_path: Path
) -> None:
    shown = CliRunner().invoke(cli, [*arguments, "--data", str(tmp_path)])

    assert shown.exit_code == 1
    assert f"no `loop up` runs over {tmp_path}" in shown.output
