"""`loop serve`: the HTTP edge in the foreground."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.settings import Settings
    from adapters.wiring import Application

EXAMPLE = "Example: LOOP_PORT=3001 loop serve --data ./.loop"


@click.command(epilog=EXAMPLE, short_help="Answer HTTP in the foreground.")
@common.data_option
@click.option("--host", help="Address to listen on.  [LOOP_HOST, else 127.0.0.1]")
@click.option("--port", help="Port to listen on.  [LOOP_PORT, else 3000]")
@click.option("--share-port", is_flag=True, help="Let several `loop serve` listen on one port.")
def serve(data: Path | None, host: str | None, port: str | None, *, share_port: bool) -> None:
    """Answer HTTP in the foreground until SIGTERM, then finish what was begun and exit 0.

    Logs are JSON lines on stderr.
    """
    settings = common.load(data, host=host, port=port)
    common.run(_serve(settings, share_port=share_port))


async def _serve(settings: "Settings", *, share_port: bool) -> None:
    from adapters.read_models import install  # noqa: PLC0415 - heavy
    from gateway import server  # noqa: PLC0415 - heavy
    from gateway.app import create_app  # noqa: PLC0415 - heavy
    from gateway.parts import deps_of_application  # noqa: PLC0415 - heavy

    async def answer(app: "Application", stop: asyncio.Event) -> None:
        # Lists answer, though empty, before the first worker has ever run.
        await install(settings.database_url)
        edge = create_app(deps_of_application(app))
        common.settle()
        await server.serve(edge, settings.host, settings.port, stop, share_port=share_port)

    await common.served(settings, "gateway", answer)
