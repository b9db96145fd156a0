"""`loop settlements statement`: a day's balance, explained to the cent."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from gateway.verbs import common

if TYPE_CHECKING:
    from domain.metadata import Mode
    from replay.statement import Day, Statement


class DayOption(click.ParamType[date]):
    """`2026-11-20`."""

    name = "DATE"

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date like 2026-11-20.")


@click.command(epilog="Example: loop settlements statement --date 2026-11-20 --merchant mer_01…")
@common.data_option
@click.option("--date", "day", type=DayOption(), metavar="DATE", help="A day, UTC.  [today]")
@click.option("--merchant", metavar="ID", help="Whose.  [everybody's together]")
@click.option("--mode", type=click.Choice(["test", "live"]), default="test", show_default=True)
@common.json_option
def statement(
    data: Path | None, day: date | None, merchant: str | None, mode: "Mode", *, as_json: bool
) -> None:
    """Explain a day's balance: opening, what moved, closing, and that the ledger says the same.

    The balance is what is available: captured, less what went back, was kept, is disputed or was
    paid out. Exit code 1: the ledger says something else, or does not reach the day's end yet.
    """
    from replay.statement import statement as computed  # noqa: PLC0415 - heavy

    now = datetime.now(UTC)
    url = common.load(data).database_url
    found = common.run(computed(url, day or now.date(), merchant_id=merchant, mode=mode, now=now))
    if as_json:
        common.print_json(found)
    else:
        _show(found)
    raise SystemExit(0 if found.ok else 1)


def _show(found: "Day") -> None:
    from rich.table import Table  # noqa: PLC0415 - heavy

    console = common.console()
    for one in found.statements:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column()
        table.add_column(justify="right")
        for name, minor, style in _lines(one):
            table.add_row(name, _shown(minor, one.currency), style=style)
        console.print(table)
        console.print()
    when = "" if found.ended else ", which has not ended"
    console.print(
        f"{found.date}{when}, {found.mode}, events {found.after + 1} to {found.upto}", style="dim"
    )
    if not found.statements:
        console.print("no books yet")
    elif found.ok:
        console.print("[green]explained to the cent[/], the ledger says the same")
    else:
        console.print("[red]the ledger says something else[/]")


def _lines(one: "Statement") -> list[tuple[str, int, str]]:
    moved = ("captures", "refunds", "fees", "disputes", "fx", "payouts", "corrections")
    rows = [(f"{one.currency} opening", one.opening, "bold")]
    rows += [(name, getattr(one, name), "") for name in moved if getattr(one, name)]
    rows.append(("closing", one.closing, "bold"))
    if not one.ok:
        rows.append(("the ledger says", one.ledger, "red"))
    rows.append(("at the processors", one.at_processors, "dim"))
    if one.unexplained:
        rows.append(("paid out, not explained yet", one.unexplained, "yellow"))
    return rows


def _shown(minor: int, currency: str) -> str:
    from domain.money import Money  # noqa: PLC0415 - heavy

    return str(Money(minor, currency)).removesuffix(f" {currency}")
