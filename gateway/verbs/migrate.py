"""`loop migrate`: bring the database to the newest schema, or check what stands beside the log."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.rebuild_side_tables import Report

EXAMPLE = "Example: loop migrate --check --json"


@click.command(epilog=EXAMPLE, short_help="Bring the database to the newest schema; check it.")
@common.data_option
@click.option("--check", is_flag=True, help="Change nothing: compare due rows and claims.")
@click.option("--repair", is_flag=True, help="With --check: add the rows that are missing.")
@click.option("--restored", is_flag=True, help="The database comes out of a backup: see below.")
@common.json_option
def migrate(data: Path | None, *, check: bool, repair: bool, restored: bool, as_json: bool) -> None:
    """Run the migrations that the database does not have yet, each in its own transaction.

    Then the tables of read models that have none yet are made. `loop up` does this by itself.
    It may run while others do. With --json: {"ran": [names]}, and {"outdated": [names]} of read
    models that stand still until `loop projections swap NAME --accept`, because other code made
    the tables that they show.

    --restored, once after every restore and before anything else runs on it, gives the log a new
    name: messages of the lost part are dropped, and no merchant starts a payment before the
    reconciler has listed what the processors did since. With --json: {"ran", "logId"}.
    """
    if repair and not check:
        raise click.UsageError("--repair goes with --check")
    if restored and check:
        raise click.UsageError("--restored does not go with --check")
    url = common.load(data).database_url
    if check:
        _check(url, repair=repair, as_json=as_json)
    else:
        _migrate(url, restored=restored, as_json=as_json)


def _migrate(url: str, *, restored: bool, as_json: bool) -> None:
    from adapters import migrations  # noqa: PLC0415 - heavy
    from adapters.read_models import (  # noqa: PLC0415 - heavy
        advice,
        install,
        outdated,
        projections_status,
    )

    with common.readable():
        ran = migrations.migrate(url)
        log_id = migrations.name_anew(url) if restored else None
    common.run(install(url))
    old = outdated(common.run(projections_status(url)))
    if as_json:
        named = {"logId": log_id} if log_id else {}
        told = {"outdated": [one.name for one in old]} if old else {}
        common.print_json({"ran": ran} | named | told, indent=0)
        return
    if log_id:
        click.echo(f"the restored log is named {log_id}")
    for name in ran:
        click.echo(f"ran {name}")
    click.echo(f"{len(ran)} run, the schema is up to date" if ran else "the schema is up to date")
    for one in old:
        click.secho(advice(one), fg="yellow")


def _check(url: str, *, repair: bool, as_json: bool) -> None:
    report, repaired = common.run(_report(url, repair=repair))
    if as_json:
        differences, examples = report.differences, report.examples
        found = {"orders": report.orders, "differences": differences, "examples": examples}
        common.print_json(found | {"repaired": repaired})
    else:
        _show(report, repaired)
    if report.differences:
        raise SystemExit(1)


async def _report(url: str, *, repair: bool) -> "tuple[Report, int]":
    """Return what differs, after the repair if one is asked for, and how much it added."""
    from adapters.rebuild_side_tables import check_side_tables  # noqa: PLC0415 - heavy

    if not repair:
        return await check_side_tables(url), 0
    repaired = (await check_side_tables(url, repair=True)).repaired
    return await check_side_tables(url), repaired


def _show(report: "Report", repaired: int) -> None:
    if repaired:
        click.echo(f"added {repaired} rows")
    for one in report.examples:
        row = f"{one.order_id} {one.key}: expected {one.expected}, found {one.found}"
        click.secho(f"{one.table} {one.problem}  {row}", fg="red")
    count = sum(report.differences.values())
    click.echo(f"{report.orders} orders, {count or 'no'} differences from the log")
