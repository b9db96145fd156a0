"""`loop projections pause`, `resume`, `retry`, `drop`: what an operator does to read models."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.verbs import common
from gateway.verbs.projections import named, names_argument

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from projections.base import Projection


@click.command(epilog="Example: loop projections pause orders", short_help="Have some stand still.")
@names_argument
@common.data_option
@common.json_option
def pause(names: tuple[str, ...], data: Path | None, *, everything: bool, as_json: bool) -> None:
    """Have live read models stand still from their next batch on, in all workers.

    What they show stays as it is; `/ready` and `status` name them. With --json: {"paused": [names]}
    of those that were moving.
    """
    from adapters import generations  # noqa: PLC0415 - heavy

    changed = _changed(generations.pause, named(names, everything=everything), data)
    _tell("paused", changed, as_json=as_json)


@click.command(epilog="Example: loop projections resume --all", short_help="Have them move again.")
@names_argument
@common.data_option
@common.json_option
def resume(names: tuple[str, ...], data: Path | None, *, everything: bool, as_json: bool) -> None:
    """Have paused read models move again; workers see it within a second.

    With --json: {"resumed": [names]} of those that were paused.
    """
    from adapters import generations  # noqa: PLC0415 - heavy

    changed = _changed(generations.resume, named(names, everything=everything), data)
    _tell("resumed", changed, as_json=as_json)


def _changed(
    change: "Callable[[str, Sequence[str]], Awaitable[list[str]]]",
    projections: "list[Projection]",
    data: Path | None,
) -> list[str]:
    async def work() -> list[str]:
        return await change(url, [projection.name for projection in projections])

    url = common.load(data).database_url
    return common.run(work())


def _tell(done: str, changed: list[str], *, as_json: bool) -> None:
    if as_json:
        common.print_json({done: changed}, indent=0)
    else:
        click.echo(f"{done}: {', '.join(changed)}" if changed else f"nothing to be {done}")


@click.command(
    epilog="Example: loop projections retry orders", short_help="Take up what was left alone."
)
@names_argument
@click.option("--stream", "streams", multiple=True, metavar="ID", help="Only this one.  [all]")
@common.data_option
@common.json_option
def retry(
    names: tuple[str, ...],
    streams: tuple[str, ...],
    data: Path | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Fold parked streams again from their first event, and push read models that stand still.

    Exit code 1 when something still fails; it stays parked, or stands where it stood.
    """
    url = common.load(data).database_url
    found = common.run(_retry(url, named(names, everything=everything), streams))
    if as_json:
        common.print_json(found)
    else:
        _show(found)
    if any(one["error"] for one in found):
        raise SystemExit(1)


async def _retry(
    url: str, projections: "list[Projection]", streams: tuple[str, ...]
) -> list[dict[str, Any]]:
    from adapters.generations import push  # noqa: PLC0415 - heavy
    from adapters.read_models import retry_parked  # noqa: PLC0415 - as above

    found: list[dict[str, Any]] = []
    for projection in projections:
        name = projection.name
        retried = await retry_parked(url, projection, streams=streams or None)
        found += [{"name": name, "stream": r.stream_id, "error": r.error} for r in retried]
        if not streams and (pushed := await push(url, projection)) is not None:
            found.append({"name": name, "position": pushed[0], "error": pushed[1]})
    return found


def _show(found: list[dict[str, Any]]) -> None:
    for one in found:
        what = one.get("stream") or f"event {one['position'] + bool(one['error'])}"
        state = click.style(f"still fails: {one['error']}", fg="red") if one["error"] else "done"
        click.echo(f"{one['name']}  {what}  {state}")
    if not found:
        click.echo("nothing is parked and nothing stands still")


@click.command(epilog="Example: loop projections drop orders", short_help="Drop tables not live.")
@names_argument
@click.option("--version", type=click.IntRange(1), help="Only this generation.  [all but the live]")
@common.data_option
@common.json_option
def drop(
    names: tuple[str, ...],
    version: int | None,
    data: Path | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Drop the tables that are kept since a swap, and those of a rebuild that is not to go on.

    The live ones are never dropped. With --json: {"dropped": [tables]}.
    """
    from adapters.generations import Refused  # noqa: PLC0415 - heavy

    chosen = named(names, everything=everything)
    if version is not None and len(chosen) != 1:
        raise click.UsageError("--version goes with one read model")
    try:
        dropped = common.run(_drop(common.load(data).database_url, chosen, version))
    except Refused as error:
        raise click.ClickException(str(error)) from None
    _tell("dropped", dropped, as_json=as_json)


async def _drop(url: str, projections: "list[Projection]", version: int | None) -> list[str]:
    from adapters import generations  # noqa: PLC0415 - heavy

    dropped: list[str] = []
    for projection in projections:
        dropped += await generations.drop(url, projection, version=version)
    return dropped
