"""`loop demo`: real orders through every path, on a Loop of its own."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click
import msgspec

from gateway.verbs import common

if TYPE_CHECKING:
    from gateway.verbs.demo_play import Played, Rush
    from gateway.verbs.demo_proof import Proof
    from gateway.verbs.demo_screen import Outcome

END_S: Final = 30.0
PORT: Final = 3000
REFRESH_PER_S: Final = 8


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The running Loop that the demo plays on.

    Attributes:
        ours: whether it was started for the demo.
        temporary: whether its data goes away with it.
        keep: whether it is to stay until Ctrl-C.
        news: what `loop up` has told since it is ready; grows.
    """

    url: str
    sandbox_url: str
    api_key: str
    data: Path
    ours: bool
    temporary: bool
    keep: bool
    news: list[str]

    @property
    def gone_soon(self) -> bool:
        """Whether nothing of it is left when the demo ends."""
        return self.ours and self.temporary and not self.keep

    @property
    def first(self) -> str:
        """What has to run for the next things to try, empty when it runs."""
        return f"after loop up --data {self.data}" if self.ours and not self.keep else ""


@click.command(
    epilog="Example: loop demo --keep", short_help="Play real orders through every path."
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Data folder; a `loop up` that runs over it is used.  [a temporary one]",
)
@click.option("--keep/--no-keep", help="Keep it running afterwards, until Ctrl-C.  [--no-keep]")
@common.json_option
def demo(data: Path | None, *, keep: bool, as_json: bool) -> None:
    """Start Loop, play orders through every path of a payment over HTTP, and prove the result.

    At Stripe and Razorpay, as the sandbox plays them: approvals, declines, 3-D Secure, checkouts,
    partial captures, cancellations, refunds, refusals, and answers that are lost after the money
    has moved. Exit code 0 only if every order ended as expected, the read model equals the fold of
    the log for every order, and the sandbox's own books agree.
    """
    _end_as_by_ctrl_c()
    try:
        with _stage(data, keep=keep) as stage:
            outcome = _play(stage, as_json=as_json)
            _report(outcome, stage, as_json=as_json)
            if stage.keep and stage.ours:
                _wait(stage)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    sys.exit(0 if outcome.ok else 1)


def _end_as_by_ctrl_c() -> None:
    """Treat SIGTERM as Ctrl-C, which asyncio knows how to end in order."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@contextlib.contextmanager
def _stage(data: Path | None, *, keep: bool) -> Iterator[Stage]:
    """Give the Loop that runs over the folder, or start one and end it afterwards."""
    running = _running(data) if data is not None else None
    if running is not None:
        if running["sandboxUrl"] is None:
            raise click.ClickException("the running `loop up` has no sandbox to play against")
        yield _as_stage(running, [], ours=False, temporary=False, keep=keep)
        return
    home = data or Path(tempfile.mkdtemp(prefix="loop-demo-"))
    try:
        with _own_loop(home) as (line, news):
            yield _as_stage(line, news, ours=True, temporary=data is None, keep=keep)
    finally:
        if data is None:
            shutil.rmtree(home, ignore_errors=True)


def _running(data: Path) -> dict[str, Any] | None:
    from gateway.verbs.running import answers  # noqa: PLC0415 - heavy

    try:
        line: dict[str, Any] = msgspec.json.decode((data / "up.json").read_bytes())
    except FileNotFoundError:
        return None
    return line if answers(line["url"]) else None


def _as_stage(
    line: dict[str, Any], news: list[str], *, ours: bool, temporary: bool, keep: bool
) -> Stage:
    return Stage(
        news=news,
        url=line["url"],
        sandbox_url=line["sandboxUrl"],
        api_key=line["apiKey"],
        data=Path(line["data"]),
        ours=ours,
        temporary=temporary,
        keep=keep,
    )


@contextlib.contextmanager
def _own_loop(home: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Run `loop up` over the folder; yield its ready line and what it tells from then on."""
    from adapters.embedded.process import end, free_port  # noqa: PLC0415 - heavy
    from gateway.supervisor import start_loop  # noqa: PLC0415 - heavy

    port = free_port(preferred=PORT)
    limit = os.environ.get("LOOP_CALL_LIMIT_S") or "2"
    reading, writing = os.pipe()
    try:
        process = start_loop(
            ("up", "--data", str(home), "--port", str(port), "--json"),
            {"LOOP_CALL_LIMIT_S": limit},
            writing,
            death_signal=signal.SIGTERM,
        )
    finally:
        os.close(writing)
    output = os.fdopen(reading, encoding="utf-8")
    try:
        line = _ready_line(output)
        news: list[str] = []
        threading.Thread(target=news.extend, args=(output,), daemon=True).start()
        yield line, news
    finally:
        end(process, (signal.SIGTERM, END_S))


def _ready_line(output: TextIO) -> dict[str, Any]:
    said: list[str] = []
    for text in output:
        if text.startswith("{"):
            line: dict[str, Any] = msgspec.json.decode(text)
            return line
        said.append(text)
        click.secho(text.rstrip(), dim=True, err=True)
    raise click.ClickException("`loop up` did not start:\n" + "".join(said[-20:]))


def _play(stage: Stage, *, as_json: bool) -> "Outcome":
    """Play everything while a table shows it, then compare all accounts of it."""
    from rich.live import Live  # noqa: PLC0415 - heavy

    from gateway.verbs.demo_orders import SCENARIOS  # noqa: PLC0415 - heavy
    from gateway.verbs.demo_play import Played  # noqa: PLC0415 - heavy
    from gateway.verbs.demo_screen import Outcome, playing  # noqa: PLC0415 - heavy

    orders = [Played(scenario=scenario) for scenario in SCENARIOS]
    started = time.monotonic()
    console = common.console(stderr=as_json)
    live = Live(
        get_renderable=lambda: playing(orders, stage, console.width),
        console=console,
        refresh_per_second=REFRESH_PER_S,
        transient=True,
    )
    with live if console.is_terminal else contextlib.nullcontext():
        rush, latencies_s = asyncio.run(_orders(stage, orders))
    seconds = time.monotonic() - started
    proof = common.run(_proof(stage, orders, rush))
    return Outcome(orders=orders, rush=rush, proof=proof, latencies_s=latencies_s, seconds=seconds)


async def _orders(stage: Stage, orders: "list[Played]") -> "tuple[Rush, list[float]]":
    from gateway.verbs.demo_play import Player  # noqa: PLC0415 - heavy

    player = Player(stage.url, stage.sandbox_url, stage.api_key)
    try:
        await player.play_all(orders)
        return await player.rush(), player.latencies_s
    finally:
        await player.close()


async def _proof(stage: Stage, orders: "list[Played]", rush: "Rush") -> "Proof":
    from gateway.verbs.demo_proof import prove  # noqa: PLC0415 - heavy
    from gateway.verbs.sandbox_control import Control  # noqa: PLC0415 - heavy

    ids = [p.order["id"] for p in orders if p.order] + list(rush.order_ids)
    settings = common.load(stage.data)
    vendors = Control.of(stage.data)
    return await common.with_application(
        settings, "loop-demo", lambda app: prove(app, ids, lambda: vendors.ask("GET", "books"))
    )


def _report(outcome: "Outcome", stage: Stage, *, as_json: bool) -> None:
    from gateway.verbs.demo_screen import in_json, show  # noqa: PLC0415 - heavy

    if as_json:
        common.print_json(in_json(outcome))
    else:
        show(common.console(), outcome, stage)


def _wait(stage: Stage) -> None:
    """Keep what was started until a signal comes."""
    click.secho(f"{stage.url} keeps running until Ctrl-C", dim=True, err=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
