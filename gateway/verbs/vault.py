"""`loop vault`: which master keys are in use, and wrapping everything under the newest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.verbs import common
from gateway.verbs.progress import bar

if TYPE_CHECKING:
    from adapters.settings import Settings


@click.group(epilog="Example: loop vault status", short_help="Master keys.")
def vault() -> None:
    """Look after the keys that wrap all others.

    To change the master key: put a new one in front in LOOP_MASTER_KEYS, start every process anew,
    run `loop vault rotate`, and take the old one out once `loop vault status` counts nothing under
    it. Backups of the database from before still need the old one.
    """


@vault.command(epilog="Example: loop vault status --json")
@common.data_option
@common.json_option
def status(data: Path | None, *, as_json: bool) -> None:
    """Count what each master key wraps.

    Exit code 1: something is wrapped by a key that LOOP_MASTER_KEYS does not have.
    """
    keys, missing = common.run(_status(common.load(data)))
    if as_json:
        common.print_json({"keys": keys, "missing": missing})
    else:
        for key in keys:
            kind = "newest" if key["newest"] else "old" if key["configured"] else "MISSING"
            boxes = f"{key['dataKeys']} data keys, {key['secrets']} secrets"
            click.echo(f"{key['id']}  {kind}  {boxes}")
    if missing:
        raise SystemExit(1)


@vault.command(epilog="Example: LOOP_MASTER_KEYS=k2:…,k1:… loop vault rotate")
@common.data_option
@common.json_option
def rotate(data: Path | None, *, as_json: bool) -> None:
    """Wrap all data keys and secrets under the newest master key.

    It may be stopped and run again, and run while everything else runs. Exit code 1: a key that is
    still in use is not in LOOP_MASTER_KEYS.
    """
    settings = common.load(data)
    done = common.run(_rotate(settings))
    if as_json:
        common.print_json({"rewrapped": done}, indent=0)
    else:
        click.echo(f"{done} wrapped anew")


async def _status(settings: "Settings") -> tuple[list[dict[str, Any]], list[str]]:
    from adapters.connect import connect  # noqa: PLC0415 - heavy
    from adapters.rewrap import wrapped_by  # noqa: PLC0415 - heavy
    from adapters.vault import MasterKeys  # noqa: PLC0415 - heavy

    master_keys = MasterKeys(settings.master_keys)
    async with await connect(settings.database_url, name="loop-vault") as db:
        await db.execute("SET statement_timeout = 0")
        counts = await wrapped_by(db)
    missing = sorted(counts.keys() - set(master_keys.ids))
    keys = [
        {
            "id": key_id,
            "newest": key_id == master_keys.newest,
            "configured": key_id not in missing,
            "dataKeys": counts.get(key_id, {}).get("data_keys", 0),
            "secrets": counts.get(key_id, {}).get("secrets", 0),
        }
        for key_id in (*master_keys.ids, *missing)
    ]
    return keys, missing


async def _rotate(settings: "Settings") -> int:
    from adapters.connect import connect  # noqa: PLC0415 - heavy
    from adapters.hash_key import with_kept_hash_key  # noqa: PLC0415 - heavy
    from adapters.rewrap import rewrap  # noqa: PLC0415 - heavy
    from adapters.vault import MasterKeyError, MasterKeys  # noqa: PLC0415 - heavy

    async with await connect(settings.database_url, name="loop-vault") as db:
        await db.execute("SET statement_timeout = 0")
        try:
            master_keys = await with_kept_hash_key(db, MasterKeys(settings.master_keys))
            with bar("wrapping anew") as progress:
                return await rewrap(db, master_keys, progress)
        except MasterKeyError as error:
            raise click.ClickException(str(error)) from None
