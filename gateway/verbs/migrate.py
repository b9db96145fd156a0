"""`loop migrate`: bring the database to the newest schema."""

from pathlib import Path

import click

from gateway.verbs import common

EXAMPLE = "Example: LOOP_DATABASE_URL=postgresql://… LOOP_NATS_URL=nats://… loop migrate --json"


@click.command(epilog=EXAMPLE, short_help="Bring the database to the newest schema.")
@common.data_option
@common.json_option
def migrate(data: Path | None, *, as_json: bool) -> None:
    """Run the migrations that the database does not have yet, each in its own transaction.

    Then the tables of read models that have none yet are made. `loop up` does this by itself. It may run while others do. With --json: {"ran": [names]}.
    """
    from adapters import migrations  # noqa: PLC0415 - heavy
    from adapters.read_models import install  # noqa: PLC0415 - heavy

    settings = common.load(data)
    with common.readable():
        ran = migrations.migrate(settings.database_url)
    common.run(install(settings.database_url))
    if as_json:
        common.print_json({"ran": ran}, indent=0)
        return
    for name in ran:
        click.echo(f"ran {name}")
    click.echo(f"{len(ran)} run, the schema is up to date" if ran else "the schema is up to date")
