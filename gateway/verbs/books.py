"""`loop audit books` and `loop replay books`: the trial balance, from the log alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common
from gateway.verbs.as_of import Moment, as_of_option
from gateway.verbs.progress import bar

if TYPE_CHECKING:
    from rich.table import Table

    from replay.books import Books, TrialBalance

HELP = """Compute the books from the log alone: one trial balance per mode and currency.

Debits and credits are compared, holds are looked at after every event, and what the ledger shows
is compared account by account at that position, or where it is if it is behind.

Exit code 1: debits and credits differ, a hold is below zero, or the ledger shows something else.
"""


def _command(epilog: str) -> click.Command:
    @click.command("books", epilog=epilog, help=HELP, short_help="The trial balance, from the log.")
    @as_of_option
    @common.data_option
    @common.json_option
    def books(as_of: Moment | None, data: Path | None, *, as_json: bool) -> None:
        from replay.books import audit_books  # noqa: PLC0415 - heavy

        url = common.load(data).database_url
        with bar("adding up") as progress:
            found = common.run(audit_books(url, as_of=as_of, progress=progress))
        if as_json:
            common.print_json(found)
        else:
            _show(found)
        raise SystemExit(0 if found.ok else 1)

    return books


audit_books = _command("Example: loop audit books --as-of 2026-11-30T23:59:59Z --json")
replay_books = _command("Example: loop replay books --as-of 1042")


def _show(found: "Books") -> None:
    console = common.console()
    for trial in found.trial_balances:
        console.print(_table(trial))
        console.print()
    for line in _findings(found):
        console.print(line, style="red", soft_wrap=True)
    when = f", {found.recorded_at:%Y-%m-%d %H:%M:%S} UTC" if found.recorded_at else ""
    console.print(
        f"{found.transfers} transfers of {found.events} events, {found.accounts} accounts, "
        f"as of event {found.position}{when}",
        style="dim",
        soft_wrap=True,
    )
    console.print(_verdict(found), soft_wrap=True)


def _table(trial: "TrialBalance") -> "Table":
    from rich.table import Table  # noqa: PLC0415 - heavy

    from domain.money import Money  # noqa: PLC0415 - heavy

    def shown(minor: int) -> str:
        return str(Money(minor, trial.currency)).removesuffix(f" {trial.currency}")

    table = Table(box=None, header_style="bold", pad_edge=False, show_footer=True)
    even = "green" if trial.difference == 0 else "red"
    table.add_column(f"{trial.currency} {trial.mode}", footer="together")
    table.add_column("DEBITS", shown(trial.debits), justify="right", footer_style=even)
    table.add_column("CREDITS", shown(trial.credits), justify="right", footer_style=even)
    table.add_column("BALANCE", justify="right")
    for line in trial.lines:
        table.add_row(line.account, shown(line.debits), shown(line.credits), shown(line.balance))
    return table


def _findings(found: "Books") -> Iterator[str]:
    from domain.money import Money  # noqa: PLC0415 - heavy

    for one in found.overdrawn:
        below = Money(one.balance, one.currency)
        yield f"after event {one.position} {one.account} ({one.mode}) is {below}"
    for one in found.differences:
        log = "nothing" if one.log is None else Money(one.log, one.currency)
        shown = "nothing" if one.shown is None else Money(one.shown, one.currency)
        yield f"{one.account} ({one.mode}) shows {shown}, the log says {log}"


def _verdict(found: "Books") -> str:
    compared = (
        "there is no ledger to compare with yet"
        if found.compared_at is None
        else f"the ledger shows the same at event {found.compared_at}"
    )
    if found.ok:
        return f"[green]the books balance[/], {compared}"
    uneven = sum(1 for trial in found.trial_balances if trial.difference)
    counts = f"{uneven} uneven, {found.overdrawn_count} holds below zero"
    return f"[red]the books are wrong[/]: {counts}, {found.difference_count} accounts differ"
