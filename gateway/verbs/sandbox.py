"""`loop sandbox`: both vendors' dialects on loopback; what is asked of it stands beside this."""

import asyncio
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from typing_extensions import override

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.sandbox_server.server import Options, Ready

EXAMPLE: Final = "Example: loop sandbox --webhook stripe:http://127.0.0.1:3000/hooks=whsec_x"
VERBS: Final = ("books", "clock", "trigger", "faults", "connect")


class Verbs(click.Group):
    """What can be asked of the running sandbox; imported when it is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = "sandbox_connect" if cmd_name == "connect" else "sandbox_verbs"
        command: click.Command = getattr(import_module(f"gateway.verbs.{module}"), cmd_name)
        return command


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    epilog=EXAMPLE,
    short_help="Serve Stripe's and Razorpay's dialects on loopback.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="It keeps its file in DIR/sandbox-server.  [LOOP_HOME, else ./.loop]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65_535), default=18_440, show_default=True)
@click.option("--seed", type=int, help="Of the faults.  [the data folder's, else 0]")
@click.option("--profile", metavar="NAME", help="calm, flaky, brownout, outage or hostile.")
@click.option(
    "--webhook", "webhooks", multiple=True, metavar="[DIALECT:]URL=SECRET", help="Repeatable."
)
@click.option("--public-url", metavar="URL", help="How browsers reach its pages.  [host and port]")
@click.option("--exposed", is_flag=True, help="Let --host be any address: for containers.")
@common.json_option
@click.pass_context
def sandbox(  # noqa: PLR0913 - one per option
    context: click.Context,
    data: Path | None,
    host: str,
    port: int,
    seed: int | None,
    profile: str | None,
    webhooks: tuple[str, ...],
    public_url: str | None,
    *,
    exposed: bool,
    as_json: bool,
) -> None:
    """Play Stripe and Razorpay on loopback until Ctrl-C, with books of its own.

    Takes any key `sk_test_…` and `rzp_test_…`; two keys `sk_test_shop_…` are of one account. What
    happens is said by the vendors' own test cards and by amounts (4001 declines, 5002 answers 500
    after the effect, …): GET /_sandbox/scenarios lists them. `loop up` runs one: the verbs ask the
    one that runs. Exit code 1: the address is no loopback address or taken, another sandbox uses
    the folder, or the environment holds a live key.
    """
    home = data or Path(os.environ.get("LOOP_HOME") or "./.loop")
    if context.invoked_subcommand is not None:
        context.obj = data
        return
    from adapters.sandbox_server.server import Options  # noqa: PLC0415 - heavy

    options = Options(
        data=str(home / "sandbox-server"),
        host=host,
        port=port,
        seed=seed,
        profile=profile,
        webhooks=webhooks,
        public_url=public_url,
        exposed=exposed,
    )
    # Not `common.run`: a sandbox needs no database, and idle it should be small.
    import uvloop  # noqa: PLC0415 - heavy

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options, as_json=as_json))


async def _serve(options: "Options", *, as_json: bool) -> None:
    from adapters.sandbox_server.server import CannotStartError, serve  # noqa: PLC0415 - heavy
    from adapters.sandbox_server.store import TakenError  # noqa: PLC0415 - heavy

    def say(ready: "Ready") -> None:
        common.settle()
        if as_json:
            common.print_json(ready, indent=0)
        else:
            click.echo(_told(ready))

    try:
        async with common.until_told() as stop:
            await serve(options, stop, say)
    except (CannotStartError, TakenError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _told(ready: "Ready") -> str:
    razorpay_key = f"{ready.razorpay_key_id}:{ready.razorpay_key_secret}"
    return "\n".join(
        (
            f"ready  {ready.url} (seed {ready.seed})",
            f"stripe    LOOP_STRIPE_BASE_URL={ready.stripe_url}  key {ready.stripe_key}",
            f"razorpay  LOOP_RAZORPAY_BASE_URL={ready.razorpay_url}  key {razorpay_key}",
            f"control   {ready.control_url}  bearer token {ready.token}",
        )
    )
