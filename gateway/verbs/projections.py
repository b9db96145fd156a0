"""`loop projections`: the list of its verbs. A new one is one file and one line here."""

from typing import TYPE_CHECKING, Any, Final

import click

from gateway.verbs.lazy import Verbs

if TYPE_CHECKING:
    from projections.base import Projection

VERBS: Final = {
    "list": "gateway.verbs.projections_status:list_all",
    "status": "gateway.verbs.projections_status:status",
    "rebuild": "gateway.verbs.projections_rebuild:rebuild",
    "compare": "gateway.verbs.projections_rebuild:compare",
    "swap": "gateway.verbs.projections_rebuild:swap",
    "drop": "gateway.verbs.projections_change:drop",
    "pause": "gateway.verbs.projections_change:pause",
    "resume": "gateway.verbs.projections_change:resume",
    "retry": "gateway.verbs.projections_change:retry",
}
"""Every verb of `loop projections` and where it stands; imported when it is asked for."""


@click.group(
    cls=Verbs,
    places=VERBS,
    epilog="Example: loop projections rebuild orders",
    short_help="Look after the read models: rebuild, compare, swap, pause, retry.",
)
def projections() -> None:
    """Look after the read models: how far they are, and making them anew from the log.

    A read model's tables are `{table}_v{n}`. One generation is live: the views show it. A rebuild
    fills the next one beside it and puts it in its place; the former is kept until it is dropped.
    """


def named(names: tuple[str, ...], *, everything: bool) -> "list[Projection]":
    """Return the projections of these names, each once.

    Raises:
        click.UsageError: there is none of a name, or none was named.
    """
    from projections import PROJECTIONS  # noqa: PLC0415 - heavy

    if everything == bool(names):
        raise click.UsageError("name some read models, or take them all with --all")
    unknown = [name for name in names if name not in PROJECTIONS]
    if unknown:
        known = ", ".join(PROJECTIONS)
        raise click.UsageError(f"no read model {', '.join(unknown)}: there are {known}")
    return [PROJECTIONS[name] for name in dict.fromkeys(names or PROJECTIONS)]


def names_argument(command: Any) -> Any:
    """Take NAME..., or --all."""
    every = click.option("--all", "everything", is_flag=True, help="All read models.")
    return click.argument("names", nargs=-1, metavar="[NAME]...")(every(command))
