"""`loop up`: everything in one terminal, supervised."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

if TYPE_CHECKING:
    from gateway.verbs.running import Running

PORT_DEFAULT: Final = "3000"
ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - which address we call ourselves by


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `loop up` was asked for; `port` is free when it was chosen."""

    data: Path
    host: str
    port: int
    workers: int
    demo: bool
    sandbox: bool
    as_json: bool


@click.command(
    epilog="Example: loop up --data ./.loop --port 3000", short_help="Start everything, supervised."
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Data folder, made if need be.  [LOOP_HOME, else ./.loop]",
)
@click.option("--host", help="Address of HTTP.  [LOOP_HOST, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="0: a free one.  [LOOP_PORT, or 3000]")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--demo", is_flag=True, help="Play the orders of `loop demo`, then keep running.")
@click.option(
    "--sandbox/--no-sandbox",
    default=True,
    show_default=True,
    help="Play Stripe and Razorpay, wired to the test merchant.",
)
@click.option("--json", "as_json", is_flag=True, help="The ready line as one JSON object.")
def up(data: Path | None, host: str | None, port: int | None, **rest: Any) -> None:
    """Start PostgreSQL, NATS, HTTP, workers and the sandbox, and keep them running until Ctrl-C.

    Prints one line that begins with `ready` once HTTP answers. With LOOP_DATABASE_URL and
    LOOP_NATS_URL the servers are those; with LOOP_STRIPE_BASE_URL and LOOP_RAZORPAY_BASE_URL the
    vendors are there. No sandbox runs beside a live key. Logs are in DIR/logs. What dies is started
    again, at most 10 times a minute. Exit codes: 0 ended by Ctrl-C or SIGTERM, 1 it cannot start
    or go on, 2 another `loop up` runs over the folder.
    """
    from gateway.verbs.running import Running  # noqa: PLC0415 - `loop --help` does without

    home = data or Path(os.environ.get("LOOP_HOME") or "./.loop")
    address = host or os.environ.get("LOOP_HOST") or "127.0.0.1"
    with Running.alone_in(home) as running:
        chosen = _port(address, port)
        sys.exit(_run(running, Options(data=home, host=address, port=chosen, **rest)))


def _port(host: str, wanted: int | None) -> int:
    """Return the port, which nobody has yet."""
    text = os.environ.get("LOOP_PORT") or PORT_DEFAULT
    if wanted is None and not text.isdecimal():
        raise click.ClickException("LOOP_PORT is not usable: a number is expected")
    port = int(text) if wanted is None else wanted
    if port == 0:
        return _free_port()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        hint = "stop what has it, or choose another with --port (0 takes a free one)"
        raise click.ClickException(f"cannot listen on {host}:{port}: {reason}; {hint}") from None


def _free_port() -> int:
    """Return a port outside of those that the system gives to connections: one stays free."""
    from adapters.embedded.process import EmbeddedError, free_port  # noqa: PLC0415 - see `up`

    try:
        return free_port()
    except EmbeddedError as error:
        raise click.ClickException(str(error)) from None


def _run(running: "Running", options: Options) -> int:
    from adapters.embedded.process import EmbeddedError  # noqa: PLC0415 - see `up`
    from gateway.supervisor import GaveUp, until_told  # noqa: PLC0415 - as above

    code = 0
    with until_told():
        try:
            running.start(options)
            _announce(running, options)
            running.watch(demo_output=sys.stderr if options.as_json else sys.stdout)
        except (EmbeddedError, GaveUp) as error:
            click.secho(f"Error: {error}", fg="red", err=True)
            code = 1
        except click.ClickException as error:
            error.show()
            code = 1
    say("stopping")
    running.stop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    return code


def _announce(running: "Running", options: Options) -> None:
    line = running.ready_line()
    if options.as_json:
        click.echo(msgspec.json.encode(line))
    else:
        bold = click.style("ready", fg="green", bold=True)
        click.echo(f"{bold}  {line['url']}  data {line['data']}  key {line['apiKey']}")
        if line["sandboxUrl"]:
            click.echo(f"       sandbox {line['sandboxUrl']} plays Stripe and Razorpay")
        click.echo(f"       {line['url']}/schema explains the API; Ctrl-C ends everything")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the person at the terminal one line."""
    click.secho(text, dim=True, err=True)


def own_url(host: str, port: int) -> str:
    """Return the address by which this machine reaches what listens on `host`."""
    name = ANY.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
