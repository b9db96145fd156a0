"""`loop audit verify`: compute everything anew and say whether anything was altered."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.notes import Verifier
    from adapters.settings import Settings
    from replay.audit import Report
    from replay.claims import Claim

EXIT: Final = {"verified": 0, "tampered": 1, "unwitnessed": 3}

witness_option = click.option(
    "--witness", metavar="FILE|URL", help="Checkpoints that somebody else kept (LOOP_WITNESS)."
)


class NotCheckedError(click.ClickException):
    """Nothing can be said about the log; the message says why."""

    exit_code = 4


@click.command(
    epilog="Example: loop audit verify --witness /mnt/auditor/checkpoints.txt",
    short_help="Name what was altered, and where.",
)
@common.data_option
@witness_option
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Trust these, not our own.")
@common.json_option
def verify(data: Path | None, witness: str | None, keys: tuple[str, ...], *, as_json: bool) -> None:
    """Compute every leaf and every head anew from the rows of the log, and compare.

    Names what was altered, missing, inserted, reordered, truncated or rewritten, and where.
    Without a witness whoever has the signing key could have rewritten everything.

    Exit codes: 0 verified, 1 tampered with, 3 consistent but unwitnessed, 4 not checked (the
    message says why).
    """
    try:
        report = _report(data, witness, keys)
    except click.ClickException as error:
        raise NotCheckedError(error.message) from None
    if as_json:
        common.print_json(report)
    else:
        _show(report)
    raise SystemExit(EXIT[report.verdict])


def _report(data: Path | None, witness: str | None, keys: tuple[str, ...]) -> "Report":
    from adapters.notes import NoteError, Verifier  # noqa: PLC0415 - heavy
    from adapters.vault import MasterKeyError  # noqa: PLC0415 - heavy
    from adapters.witness import WitnessError  # noqa: PLC0415 - heavy

    settings = common.load(data)
    try:
        given = [Verifier.parse(key) for key in keys]
        with _progress() as progress:
            return common.run(_verify(settings, given, witness, progress))
    except (NoteError, WitnessError, MasterKeyError) as error:
        raise click.ClickException(str(error)) from None


async def _verify(
    settings: "Settings",
    given: "list[Verifier]",
    witness: str | None,
    progress: Callable[[int, int], None],
) -> "Report":
    from replay import audit  # noqa: PLC0415 - heavy

    keys = given or await own_keys(settings)
    claims = await asyncio.to_thread(claims_of, witness, keys) if witness else None
    return await audit.verify(settings.database_url, keys, witness=claims, progress=progress)


async def own_keys(settings: "Settings") -> "list[Verifier]":
    """Return the public keys that are sealed in the database."""
    from adapters.checkpoint_keys import verifiers  # noqa: PLC0415 - heavy
    from adapters.log import connect  # noqa: PLC0415 - heavy
    from adapters.vault import MasterKeys  # noqa: PLC0415 - heavy

    async with await connect(settings.database_url, "loop-audit") as db:
        return await verifiers(db, MasterKeys(settings.master_keys))


def claims_of(witness: str, keys: "list[Verifier]") -> "list[Claim]":
    """Return the checkpoints of a witness.

    Raises:
        adapters.witness.WitnessError: it cannot be read, or has what no key of ours signed so.
    """
    from adapters.witness import WitnessError, read_notes  # noqa: PLC0415 - heavy
    from replay.claims import claim_of  # noqa: PLC0415 - heavy

    found: list[Claim] = []
    for number, note in enumerate(read_notes(witness), 1):
        try:
            claim = claim_of(note, keys)
        except ValueError as error:
            raise WitnessError(f"note {number} of the witness: {error}") from None
        if claim.trouble and not claim.foreign:
            raise WitnessError(f"note {number} of the witness: {claim.trouble}")
        found.append(claim)
    return found


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar with rate and remaining time where somebody looks."""
    from rich import progress as bars  # noqa: PLC0415 - heavy

    columns = (
        bars.TextColumn("verifying"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
    )
    console = common.console(stderr=True)
    with bars.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task, began = bar.add_task("", total=None, rate=""), time.monotonic()

        def show(done: int, total: int) -> None:
            rate = f"{done / max(time.monotonic() - began, 0.001):,.0f}/s"
            bar.update(task, completed=done, total=total, rate=rate)

        yield show


def _show(report: "Report") -> None:
    console = common.console()
    words = {
        "verified": f"[green]verified[/]: witnessed up to event {report.witnessed}",
        "unwitnessed": "[yellow]consistent, unwitnessed[/]",
        "tampered": "[red]tampered with[/]",
    }
    console.print(words[report.verdict])
    for finding in report.findings:
        last = f"-{finding.upto}" if finding.upto != finding.position else ""
        place = f"{finding.position}{last}"
        console.print(f"  [bold]{finding.kind:<11}[/]{place:>9}  {finding.detail}", soft_wrap=True)
    console.print(
        f"{report.events} events, head {report.root}, signed up to event {report.signed}"
        f" by {report.checkpoints} checkpoints",
        style="dim",
        soft_wrap=True,
    )
    if report.verdict == "unwitnessed":
        console.print("whoever has the signing key could have rewritten it: give --witness")
