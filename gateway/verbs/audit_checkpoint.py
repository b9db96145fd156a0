"""`loop audit checkpoint` and `loop audit key`: the signed head of the log, and who signs it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.log import Connection
    from adapters.vault import MasterKeys
    from gateway.audit_views import LatestCheckpointView

T = TypeVar("T")


@click.command(
    epilog="Example: loop audit checkpoint >> checkpoints.txt",
    short_help="The newest signed head of the log.",
)
@common.data_option
@common.json_option
def checkpoint(data: Path | None, *, as_json: bool) -> None:
    """Print the newest signed checkpoint, a C2SP note; keep it, and you are a witness.

    Workers sign the log every second in which it grows, or every 10 000 events. Exit code 1:
    nothing was signed yet.
    """
    view = read(data, _latest)
    if as_json:
        common.print_json(view)
    else:
        click.echo(view.note)


async def _latest(db: "Connection", master: "MasterKeys") -> "LatestCheckpointView":
    from adapters.checkpoint_keys import verifiers  # noqa: PLC0415 - heavy
    from adapters.checkpoints import latest  # noqa: PLC0415 - heavy
    from gateway.audit_views import latest_view  # noqa: PLC0415 - heavy

    signed = await latest(db)
    if signed is None:
        raise click.ClickException("nothing was signed yet: does a `loop work` run?")
    keys = [str(v) for v in await verifiers(db, master) if v.name == signed.origin]
    return latest_view(signed, keys)


@click.command(epilog="Example: loop audit key --rotate", short_help="Who signs checkpoints.")
@common.data_option
@click.option("--rotate", is_flag=True, help="Make a new one; the old ones still verify.")
@common.json_option
def key(data: Path | None, *, rotate: bool, as_json: bool) -> None:
    """Print the public keys that sign checkpoints, the newest first.

    Give them to whoever is to verify: name, key id and Ed25519 key as C2SP writes them. With
    --json {"keys": [...]}. Exit code 1: there is none yet.
    """
    keys = read(data, _rotated if rotate else _keys)
    if not keys:
        raise click.ClickException("nothing was signed yet: does a `loop work` run?")
    if as_json:
        common.print_json({"keys": keys})
        return
    for text in keys:
        click.echo(text)


async def _keys(db: "Connection", master: "MasterKeys") -> list[str]:
    from adapters.checkpoint_keys import verifiers  # noqa: PLC0415 - heavy

    return [str(verifier) for verifier in reversed(await verifiers(db, master))]


async def _rotated(db: "Connection", master: "MasterKeys") -> list[str]:
    from adapters.checkpoint_keys import rotate  # noqa: PLC0415 - heavy
    from adapters.log import log_id  # noqa: PLC0415 - heavy
    from domain.checkpoint import origin_of  # noqa: PLC0415 - heavy

    await rotate(db, master, origin_of(await log_id(db)))
    return await _keys(db, master)


def read(data: Path | None, work: "Callable[[Connection, MasterKeys], Awaitable[T]]") -> T:
    """Run something on one connection, with the keys that open what is sealed."""
    settings = common.load(data)

    async def connected() -> T:
        from adapters.log import connect  # noqa: PLC0415 - heavy
        from adapters.vault import MasterKeys  # noqa: PLC0415 - heavy

        async with await connect(settings.database_url, "loop-audit") as db:
            return await work(db, MasterKeys(settings.master_keys))

    return common.run(connected())
