"""`python -m adapters.sandbox_server '{"data": "…", "port": 0}'`: prints one JSON line when ready.

Tests and supervisors start it so; people use `loop sandbox`.
"""

import asyncio
import signal
import sys

import msgspec
import uvloop

from adapters.sandbox_server.server import CannotStartError, Options, Ready, serve
from adapters.sandbox_server.store import TakenError


def say(ready: Ready) -> None:
    """Print the ready line."""
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()


async def run(options: Options) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(options, stop, say)


def main() -> None:
    """Read the options and serve."""
    text = sys.argv[1] if len(sys.argv) > 1 else "{}"
    try:
        options = msgspec.json.decode(text, type=Options)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(options))
    except (CannotStartError, TakenError, OSError, msgspec.ValidationError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
