"""`loop work`: relay, projections and saga in the foreground."""

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.settings import Settings
    from adapters.wiring import Application

EXAMPLE = "Example: loop work --only relay,projections"


@click.command(epilog=EXAMPLE, short_help="Move payments and read models on, in the foreground.")
@common.data_option
@click.option("--only", metavar="ROLES", help="Some of its roles, comma separated.  [all]")
def work(data: Path | None, only: str | None) -> None:
    """Publish events, fill read models and carry payments forward until SIGTERM.

    Roles: relay, projections, saga, dispatcher, inbox, reconciler, checkpoints, housekeeping.
    Start as many as you like, on as many machines; logs are JSON lines on stderr.
    """
    roles = tuple(role.strip() for role in (only or "").split(",") if role.strip())
    _check(roles)
    common.run(_work(common.load(data), roles))


def _listen(address: str, serve: "Callable[[str], None]") -> None:
    try:
        serve(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f"LOOP_METRICS_LISTEN: {address}: {reason}") from None


def _check(roles: tuple[str, ...]) -> None:
    from adapters.worker import ROLES  # noqa: PLC0415 - heavy

    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise click.UsageError(f"no role {', '.join(unknown)}: there are {', '.join(ROLES)}")


async def _tell_outdated(url: str) -> None:
    """Log which read models stand still until an operator swaps them."""
    import psycopg  # noqa: PLC0415 - heavy
    import structlog  # noqa: PLC0415 - heavy

    from adapters.read_models import advice, outdated, projections_status  # noqa: PLC0415 - heavy

    log = structlog.get_logger(__name__)
    with contextlib.suppress(psycopg.Error, OSError):
        for one in outdated(await projections_status(url)):
            log.warning("read_model_outdated", projection=one.name, advice=advice(one))


async def _work(settings: "Settings", roles: tuple[str, ...]) -> None:
    from adapters.metrics import serve_metrics  # noqa: PLC0415 - heavy
    from adapters.worker import work as run_roles  # noqa: PLC0415 - heavy

    if settings.metrics_listen:
        _listen(settings.metrics_listen, serve_metrics)

    async def act(app: "Application", stop: asyncio.Event) -> None:
        common.settle()
        await _tell_outdated(settings.database_url)
        await run_roles(app, stop, roles)

    await common.served(settings, "worker", act)
