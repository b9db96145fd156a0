"""What the verbs share: options, settings with readable errors, the event loop, JSON output."""
# Nothing heavy is imported at the top: `loop --help` and the supervisor read this file too.

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console

    from adapters.settings import Settings
    from adapters.wiring import Application

    Served = Callable[[Application, asyncio.Event], Awaitable[None]]

WIDTH: Final = 120

_Result = TypeVar("_Result")

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Data folder of the running `loop up`.  [LOOP_HOME, else ./.loop]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value for machines.")


def load(data: Path | None, host: str | None = None, port: str | None = None) -> "Settings":
    """Return the settings; what is wrong with them ends the verb with one clear sentence."""
    from adapters.settings import SettingError, load_settings  # noqa: PLC0415 - heavy

    home = None if data is None else str(data)
    try:
        return load_settings(home=home, host=host, port=port)
    except SettingError as error:
        raise click.ClickException(str(error)) from None


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in a uvloop; errors that a person can act on become one sentence.

    Warnings go to stderr; a process that serves configures its own logs.

    Raises:
        click.ClickException: exit code 1.
    """
    import uvloop  # noqa: PLC0415 - heavy

    from adapters.telemetry import configure_logging  # noqa: PLC0415 - heavy

    configure_logging("warning", "loop", lasting=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, readable():
        return runner.run(work)


@contextlib.contextmanager
def readable() -> Any:
    """Turn errors that a person can act on into one sentence and exit code 1."""
    import psycopg  # noqa: PLC0415 - heavy

    from adapters.migrations import MigrationError  # noqa: PLC0415 - as above
    from adapters.vault import MasterKeyError  # noqa: PLC0415 - as above
    from adapters.wiring import DurabilityError  # noqa: PLC0415 - as above
    from domain.errors import LoopError  # noqa: PLC0415 - as above

    try:
        yield
    except Exception as error:
        # Not `except*`: before Python 3.11.4 what is raised inside it comes out in a group.
        cause = _first(error)
        match cause:
            case click.ClickException():
                raise cause from None
            case LoopError() | DurabilityError() | MigrationError() | MasterKeyError() | OSError():
                message = str(cause)
            case psycopg.errors.UndefinedTable():
                message = "the database has no tables of Loop yet: run `loop migrate`"
            case psycopg.OperationalError():
                detail = str(cause).partition("\n")[0]
                message = f"the database cannot be reached: {detail}"
            case _:
                raise
        raise click.ClickException(message) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def with_application(
    settings: "Settings", name: str, work: "Callable[[Application], Awaitable[_Result]]"
) -> _Result:
    """Connect everything, do the work, close everything."""
    from adapters.wiring import application  # noqa: PLC0415 - heavy

    async with application(settings, name=name) as app:
        return await work(app)


@contextlib.asynccontextmanager
async def until_told() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGTERM and Ctrl-C set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(stop.set))
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def served(settings: "Settings", service: str, work: "Served") -> None:
    """Run a process that serves: logs and traces configured, parts connected, until told to end.

    `work` gets the parts and the event. What ends it before is logged and exit code 1.
    """
    import structlog  # noqa: PLC0415 - heavy

    from adapters.telemetry import configure_logging, configure_tracing  # noqa: PLC0415 - heavy
    from adapters.wiring import application  # noqa: PLC0415 - heavy

    configure_logging(settings.log_level, service)
    flush = configure_tracing(settings, service)
    log = structlog.get_logger(__name__)
    try:
        async with until_told() as stop, application(settings, name=f"loop-{service}") as app:
            log.info("started", pid=os.getpid())
            await work(app, stop)
        log.info("ended")
    except Exception as error:
        log.critical("died", error=str(_first(error)), exc_info=True)
        raise SystemExit(1) from None
    finally:
        flush()


def settle() -> None:
    """Spare the garbage collector what is there now, for it stays; call it when all is built.

    Walking through all modules again and again cost a tenth of a busy gateway's time, in pauses
    of 50 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def print_json(value: Any, *, indent: int = 2) -> None:
    """Print a value as JSON on stdout; `indent` 0 prints one line."""
    text = msgspec.json.encode(value)
    click.echo(msgspec.json.format(text, indent=indent).decode() if indent else text.decode())


def console(*, stderr: bool = False) -> "Console":
    """Return where people read: colour on a terminal only, and never with NO_COLOR."""
    from rich.console import Console  # noqa: PLC0415 - heavy

    console = Console(stderr=stderr, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH  # a file has no width; 80 would fold what nobody needs folded
    return console
