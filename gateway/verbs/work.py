"""`loop work`: relay, projections and saga in the foreground."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.settings import Settings
    from adapters.wiring import Application

EXAMPLE = "Example: loop work --only relay,projections"


@click.command(epilog=EXAMPLE, short_help="Move payments and read models on, in the foreground.")
@common.data_option
@click.option("--only", metavar="ROLES", help="Some of its roles, comma separated.  [all]")
def work(data: Path | None, only: str | None) -> None:
    """Publish events, fill read models and carry payments forward until SIGTERM.

    Roles: relay, projections, saga, checkpoints, housekeeping.
    Start as many as you like, on as many machines; logs are JSON lines on stderr.
    """
    roles = tuple(role.strip() for role in (only or "").split(",") if role.strip())
    _check(roles)
    common.run(_work(common.load(data), roles))


def _check(roles: tuple[str, ...]) -> None:
    from adapters.worker import ROLES  # noqa: PLC0415 - heavy

    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise click.UsageError(f"no role {', '.join(unknown)}: there are {', '.join(ROLES)}")


async def _work(settings: "Settings", roles: tuple[str, ...]) -> None:
    from adapters.worker import work as run_roles  # noqa: PLC0415 - heavy

    async def act(app: "Application", stop: asyncio.Event) -> None:
        common.settle()
        await run_roles(app, stop, roles)

    await common.served(settings, "worker", act)
