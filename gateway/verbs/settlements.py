"""`loop settlements`: reports of payouts, what explains their lines, and what does not."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.verbs import common
from gateway.verbs.settlements_statement import statement
from gateway.verbs.settlements_work import (
    Fetched,
    fetch_reports,
    find_exceptions,
    import_reports,
    line_verb,
    list_settlements,
    show_settlement,
)

if TYPE_CHECKING:
    from domain.metadata import Mode
    from domain.settlement import Settlement

LIMIT: Final = 100
merchant_option = click.option(
    "--merchant", metavar="ID", help="Whose.  [the demo shop of `loop up`]"
)
any_merchant_option = click.option("--merchant", metavar="ID", help="Whose.  [everybody's]")
mode_option = click.option(
    "--mode", type=click.Choice(["test", "live"]), default="test", show_default=True
)
processor_option = click.option(
    "--processor", type=click.Choice(["stripe", "razorpay"]), required=True
)
limit_option = click.option("--limit", type=click.IntRange(1, 100_000), default=LIMIT)


@click.group(
    epilog="Example: loop settlements import payouts.csv --processor stripe",
    short_help="Reports of payouts, and what explains them.",
)
def settlements() -> None:
    """Compare what the processors paid out with the orders that it was for, to the cent."""


@settlements.command(
    "import",
    epilog="Example: loop settlements import payouts.csv --processor stripe --merchant mer_01…",
)
@common.data_option
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@processor_option
@merchant_option
@mode_option
@click.option("--account", metavar="FINGERPRINT", help="Whose account.  [the configured one]")
@common.json_option
def import_(
    data: Path | None,
    file: Any,
    processor: str,
    merchant: str | None,
    mode: "Mode",
    account: str | None,
    *,
    as_json: bool,
) -> None:
    """Take in a report FILE: Stripe's itemized payout reconciliation, Razorpay's settlement recon.

    The file is read whole before anything is written; a second time changes nothing. Exit code 1:
    a line is not as the processor documents it (the message says which), the payout was reported
    otherwise before, or no worker keeps the read model up.
    """
    settings = common.load(data)
    whose = common_merchant(merchant, settings.home)
    text = file.read()
    found = common.run(
        common.with_application(
            settings,
            "loop-settlements",
            lambda app: import_reports(
                app, whose, mode, processor=processor, account=account, text=text
            ),
        )
    )
    _print_fetched(found, as_json=as_json)


@settlements.command(epilog="Example: loop settlements fetch --processor razorpay --days 3")
@common.data_option
@processor_option
@merchant_option
@mode_option
@click.option("--days", type=click.IntRange(1, 3650), default=7, show_default=True)
@common.json_option
def fetch(
    data: Path | None,
    processor: str,
    merchant: str | None,
    mode: "Mode",
    days: int,
    *,
    as_json: bool,
) -> None:
    """Read the payouts of the last days from the processor's API, and take them in.

    Exit code 1: no such account, or the processor cannot be read; what was taken in stays.
    """
    settings = common.load(data)
    whose = common_merchant(merchant, settings.home)
    found = common.run(
        common.with_application(
            settings,
            "loop-settlements",
            lambda app: fetch_reports(app, whose, mode, processor=processor, days=days),
        )
    )
    _print_fetched(found, as_json=as_json)


def common_merchant(merchant: str | None, home: Path) -> str:
    """Return whose settlements are meant: the demo shop's where none is named.

    Raises:
        click.UsageError: there is no demo shop.
    """
    from gateway.verbs.running import read_shop  # noqa: PLC0415 - heavy

    shop = read_shop(home) if merchant is None else None
    if merchant is None and shop is None:
        raise click.UsageError("there is no demo shop here: give --merchant")
    return merchant or (shop.merchant_id if shop else "")


def _print_fetched(found: list[Fetched], *, as_json: bool) -> None:
    if as_json:
        common.print_json(found)
        return
    for one in found:
        state = f"{one.matched} of {one.lines} lines explained"
        news = f"{one.added} new" if one.added else "nothing new"
        click.echo(f"{one.settlement_id}  {one.payout_id}  {one.amount}  {state}, {news}")
    if not found:
        click.echo("no payouts")


@settlements.command("list", epilog="Example: loop settlements list --json")
@common.data_option
@any_merchant_option
@mode_option
@limit_option
@common.json_option
def list_(
    data: Path | None, merchant: str | None, mode: "Mode", limit: int, *, as_json: bool
) -> None:
    """List payouts, the latest first, with how many of their lines are explained."""
    from domain.money import Money  # noqa: PLC0415 - heavy

    rows = common.run(list_settlements(common.load(data).database_url, merchant, mode, limit))
    if as_json:
        common.print_json(rows)
        return
    for row in rows:
        amount = Money(row.amount_minor, row.currency)
        cut = f", {row.missing} not imported yet" if row.missing else ""
        click.echo(
            f"{row.settlement_id}  {row.arrived_at:%Y-%m-%d}  {row.processor}  {row.payout_id}  "
            f"{amount}  {row.matched} of {row.lines} lines explained{cut}"
        )


@settlements.command(epilog="Example: loop settlements show set_01…")
@common.data_option
@click.argument("settlement")
@common.json_option
def show(data: Path | None, settlement: str, *, as_json: bool) -> None:
    """Show a payout and every line of its report.

    Exit code 1: there is no such settlement.
    """
    settings = common.load(data)
    found = common.run(
        common.with_application(
            settings, "loop-settlements", lambda app: show_settlement(app, settlement)
        )
    )
    _print_settlement(found, as_json=as_json)


def _print_settlement(found: "Settlement", *, as_json: bool) -> None:
    if as_json:
        common.print_json(found)
        return
    click.echo(
        f"{found.id}  {found.processor} {found.payout_id}  {found.amount}  "
        f"{found.arrived_at:%Y-%m-%d}  {found.merchant_id} {found.mode}"
    )
    for state in found.lines:
        line = state.line
        about = state.match.order_id if state.match else state.order_id
        outside = state.match is not None and state.match.outside
        said = "from outside" if outside else "explained" if state.match else state.reason
        click.echo(
            f"  {line.id}  {line.kind}  {line.settled} less {line.fee}  {said}"
            f"{f'  {about}' if about else ''}"
        )


@settlements.command("match", epilog="Example: loop settlements match set_01… txn_1… --accept")
@common.data_option
@click.argument("settlement")
@click.argument("line", required=False)
@click.option("--accept", is_flag=True, help="Believe the report; the difference is posted.")
@click.option("--outside", is_flag=True, help="The money never went through Loop.")
@common.json_option
def match_(
    data: Path | None,
    settlement: str,
    line: str | None,
    *,
    accept: bool,
    outside: bool,
    as_json: bool,
) -> None:
    """Explain lines: without a LINE all that the orders explain by now.

    With a LINE and --accept or --outside an operator's word explains it. Exit code 1: there is no
    such line, it is explained already, or its currency is another.
    """
    if (line is None) == (accept or outside) or (accept and outside):
        raise click.UsageError("give a LINE with --accept or --outside, or none of them")
    verb = "accept" if accept else "outside" if outside else "again"
    _change(data, settlement, line, verb, as_json=as_json)


@settlements.command(epilog="Example: loop settlements unmatch set_01… txn_1…")
@common.data_option
@click.argument("settlement")
@click.argument("line")
@common.json_option
def unmatch(data: Path | None, settlement: str, line: str, *, as_json: bool) -> None:
    """Take back what explains a LINE.

    Exit code 1: there is no such line, or nothing explains it.
    """
    _change(data, settlement, line, "unmatch", as_json=as_json)


def _change(
    data: Path | None, settlement: str, line: str | None, verb: str, *, as_json: bool
) -> None:
    settings = common.load(data)
    found = common.run(
        common.with_application(
            settings, "loop-settlements", lambda app: line_verb(app, settlement, line, verb)
        )
    )
    _print_settlement(found, as_json=as_json)


@settlements.command(epilog="Example: loop settlements exceptions --days 5 --json")
@common.data_option
@any_merchant_option
@mode_option
@click.option("--days", type=click.IntRange(0, 3650), default=10, show_default=True,
              help="After so many days a movement should be in a report.")  # fmt: skip
@limit_option
@common.json_option
def exceptions(
    data: Path | None,
    merchant: str | None,
    mode: "Mode",
    days: int,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """List the lines that no order explains, and the movements that no report has brought.

    Exit code 1: there are any.
    """
    from domain.money import Money  # noqa: PLC0415 - heavy

    url = common.load(data).database_url
    lines, missing = common.run(find_exceptions(url, merchant, mode, days=days, limit=limit))
    if as_json:
        common.print_json({"lines": lines, "missing": missing})
        raise SystemExit(1 if lines or missing else 0)
    for row in lines:
        about = row.order_id or row.reference or ""
        click.echo(
            f"{row.reason}  {row.processor} {row.payout_id}  {row.line_id}  "
            f"{Money(row.net_minor, row.currency)}  {about}"
        )
    for gone in missing:
        amount = Money(gone.amount_minor, gone.currency)
        click.echo(
            f"missing  {gone.processor}  {gone.kind} of {gone.occurred_at:%Y-%m-%d}  {amount}  "
            f"{gone.order_id}"
        )
    if not lines and not missing:
        click.echo("everything is explained")
    raise SystemExit(1 if lines or missing else 0)


settlements.add_command(statement)
