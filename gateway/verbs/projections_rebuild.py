"""`loop projections rebuild`, `compare`, `swap`: read models made anew beside the live ones."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from gateway.verbs import common
from gateway.verbs.progress import bars
from gateway.verbs.projections import named, names_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.verbs.progress import Show
    from projections.base import Projection
    from replay import compare as with_log
    from replay.differences import Difference, TableComparison
    from replay.rebuild import Report

JOBS: Final = 2
"""While one read model waits for PostgreSQL the other one folds."""

DIFFERS: Final = 3
CANCELLED: Final = 130
SHOWN_MAX: Final = 5
"""Rows that are shown to people; --json has more."""
WIDTH_MAX: Final = 48


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A read model whose rebuild did not come to its end."""

    name: str
    outcome: str
    error: str


@click.command(
    epilog="Example: loop projections rebuild orders --json", short_help="Make them anew, and swap."
)
@names_argument
@click.option("--no-swap", is_flag=True, help="Leave the new tables beside the live ones.")
@click.option("--accept", is_flag=True, help="As `swap --accept`.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 16),
    default=JOBS,
    show_default=True,
    help="How many at the same time.",
)
@common.data_option
@common.json_option
def rebuild(
    names: tuple[str, ...],
    data: Path | None,
    jobs: int,
    *,
    everything: bool,
    no_swap: bool,
    accept: bool,
    as_json: bool,
) -> None:
    """Fill new tables from the log, compare them with the live ones, and put them in their place.

    Orders flow meanwhile, and nobody waits. It may be killed or cancelled at any moment: the same
    command goes on. The former tables are kept until `loop projections drop NAME`. With --json one
    line per read model.

    Exit codes: 0 swapped (with --no-swap: equal), 1 not done, 3 they differ and nothing was
    swapped, 130 cancelled.
    """
    _run(
        data,
        named(names, everything=everything),
        {"begin": True, "swap": not no_swap, "accept": accept},
        as_json=as_json,
        jobs=jobs,
    )


@click.command(
    epilog="Example: loop projections swap orders --accept", short_help="Show the new tables."
)
@names_argument
@click.option("--accept", is_flag=True, help="Although they differ, where the code's version does.")
@click.option("--repair", is_flag=True, help="Although they differ, where the log says the same.")
@common.data_option
@common.json_option
def swap(
    names: tuple[str, ...],
    data: Path | None,
    *,
    everything: bool,
    accept: bool,
    repair: bool,
    as_json: bool,
) -> None:
    """Bring the new tables level, compare once more, and put them in the live ones' place.

    Tables that the same version of the code filled are swapped only when they are equal. Where the
    live rows were damaged they cannot be: --repair folds the log once more and swaps if the new
    tables are exactly that.

    Exit codes: as of `loop projections rebuild`.
    """
    _run(
        data,
        named(names, everything=everything),
        {"begin": False, "swap": True, "accept": accept, "repair": repair},
        as_json=as_json,
    )


@click.command(
    epilog="Example: loop projections compare orders --log", short_help="Are they the same?"
)
@names_argument
@click.option("--log", "log", is_flag=True, help="The live tables with the log, not the new ones.")
@common.data_option
@common.json_option
def compare(
    names: tuple[str, ...], data: Path | None, *, everything: bool, log: bool, as_json: bool
) -> None:
    """Compare the new tables with the live ones, at one position, while orders flow.

    With --log the live tables are compared with a fold of the log that is thrown away again.

    Exit codes: 0 equal, 1 not done, 3 they differ.
    """
    chosen = named(names, everything=everything)
    if not log:
        _run(data, chosen, {"begin": False, "swap": False, "accept": False}, as_json=as_json)
        return
    found = common.run(_with_log(common.load(data).database_url, chosen))
    for name, one in found:
        if as_json:
            common.print_json({"name": name} | msgspec.structs.asdict(one), indent=0)
        else:
            _show_log(name, one)
    if any(one.differences for _, one in found):
        raise SystemExit(DIFFERS)


async def _with_log(
    url: str, projections: "list[Projection]"
) -> "list[tuple[str, with_log.Comparison]]":
    from replay import compare as with_log  # noqa: PLC0415 - heavy

    return [(one.name, await with_log.compare(url, one)) for one in projections]


def _run(
    data: Path | None,
    projections: "list[Projection]",
    options: dict[str, bool],
    *,
    as_json: bool,
    jobs: int = JOBS,
) -> None:
    url = common.load(data).database_url
    with bars() as begin:
        found = common.run(_rebuilt(url, projections, options, begin, jobs))
    for one in found:
        if as_json:
            common.print_json(one, indent=0)
        else:
            _show(one)
    if code := max(_exit_code(one) for one in found):
        raise SystemExit(code)


def _exit_code(one: "Report | Failed") -> int:
    codes = {"differs": DIFFERS, "cancelled": CANCELLED, "failed": 1}
    return codes.get(one.outcome, 0)


async def _rebuilt(
    url: str,
    projections: "list[Projection]",
    options: dict[str, bool],
    begin: "Callable[[str], Show]",
    jobs: int,
) -> "list[Report | Failed]":
    """Rebuild all of them; the signal that ends this cancels those that are not done."""
    from replay.rebuild import Rebuild  # noqa: PLC0415 - heavy

    places = asyncio.Semaphore(jobs)

    async def work(projection: "Projection") -> "Report":
        async with places:
            return await Rebuild(url, projection, begin(projection.name)).run(**options)

    common.settle()
    async with common.until_told() as stop:
        tasks = [asyncio.ensure_future(work(one)) for one in projections]
        told = asyncio.ensure_future(stop.wait())
        together = asyncio.ensure_future(asyncio.wait(tasks))
        await asyncio.wait({together, told}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await together
        told.cancel()
    done = zip(projections, tasks, strict=True)
    return [await _result(url, one, task) for one, task in done]


async def _result(
    url: str, projection: "Projection", task: "asyncio.Future[Report]"
) -> "Report | Failed":
    from adapters.applier import Overtaken, Stopped  # noqa: PLC0415 - heavy
    from adapters.generations import Refused  # noqa: PLC0415 - as above

    name = projection.name
    try:
        return task.result()
    except asyncio.CancelledError:
        return Failed(name=name, outcome="cancelled", error=await _how_far(url, projection))
    except (Refused, Overtaken) as error:
        return Failed(name=name, outcome="failed", error=str(error))
    except Stopped as error:
        message = f"an event cannot be applied, and a read model that sums leaves none out: {error}"
        return Failed(name=name, outcome="failed", error=message)


async def _how_far(url: str, projection: "Projection") -> str:
    from adapters.generations import pair  # noqa: PLC0415 - heavy
    from adapters.log import connect  # noqa: PLC0415 - as above

    async with await connect(url, "loop-rebuild") as db:
        live, built = await pair(db, projection)
    if built is None:
        return "cancelled; nothing is left of it"
    name = projection.name
    return (
        f"cancelled at event {built.position} of {live.position}: `loop projections rebuild {name}`"
        f" goes on, `loop projections drop {name}` throws it away"
    )


def _show(one: "Report | Failed") -> None:
    if isinstance(one, Failed):
        message = f"[bold]{one.name}[/]  [red]{one.error}[/]"
        common.console(stderr=True).print(message, soft_wrap=True)
        return
    console = common.console()
    words = {
        "swapped": f"[green]{one.name}_v{one.built} is live[/]",
        "equal": f"[green]{one.name}_v{one.built} equals the live tables[/]",
        "differs": f"[red]{one.name}_v{one.built} differs, nothing was swapped[/]",
    }
    console.print(f"[bold]{one.name}[/]  {words[one.outcome]} at event {one.position}")
    console.print(
        f"  {one.events:,} events in {one.seconds:.1f} s, {one.rate:,.0f}/s;"
        f" compared at event {one.comparison.position}"
        + (" with a fold of the log" if one.comparison.folded else ""),
        style="dim",
    )
    for table in one.comparison.tables:
        _show_table(table)
    if advice := _advice(one):
        console.print(f"  {advice}", soft_wrap=True)


def _advice(one: "Report") -> str:
    if one.outcome == "swapped":
        return f"{one.name}_v{one.live} is kept: `loop projections drop {one.name}`"
    if one.outcome == "equal":
        return f"`loop projections swap {one.name}` puts them in place"
    if one.code[0] != one.code[1]:
        return f"`loop projections swap {one.name} --accept` puts them in place all the same"
    return (
        "the same code made both: one of them was changed, or streams are parked on one side;"
        f" `loop projections swap {one.name} --repair` puts them in place if the log says the same"
    )


def _show_table(table: "TableComparison") -> None:
    console = common.console()
    if table.equal:
        digest = table.digest[0][:12]
        console.print(f"  {table.table}: {table.rows[0]:,} rows, digest {digest}, equal")
        return
    console.print(
        f"  {table.table}: {table.rows[0]:,} rows live, {table.rows[1]:,} built;"
        f" {table.changed:,} changed, {table.missing:,} missing, {table.added:,} added"
    )
    for words, names in (("only live", table.only_live), ("only built", table.only_built)):
        if names:
            console.print(f"    {words}: {', '.join(names)}")
    for name, count in table.columns.items():
        console.print(f"    {name}: {count:,} rows")
    _show_rows(table.examples)


def _show_rows(differences: "Sequence[Difference | with_log.Difference]") -> None:
    console = common.console()
    for one in differences[:SHOWN_MAX]:
        key = ", ".join(str(value) for value in one.key)
        for name, (live, other) in list(one.columns.items())[:SHOWN_MAX]:
            console.print(f"      {key}  {name}: {_short(live)} -> {_short(other)}", style="dim")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= WIDTH_MAX else f"{text[:WIDTH_MAX]}..."


def _show_log(name: str, found: "with_log.Comparison") -> None:
    count = len(found.differences)
    words = f"[red]{count} rows are not[/]" if count else "[green]every row is[/]"
    parked = f", {found.parked} streams parked" if found.parked else ""
    console = common.console()
    console.print(f"[bold]{name}[/]  {words} as the log says, at event {found.position}{parked}")
    _show_rows(found.differences)
