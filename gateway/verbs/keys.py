"""`loop keys`: make an API key without HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.wiring import Application
    from domain.metadata import Mode


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What `loop keys create` was asked for."""

    merchant_id: str | None
    new_merchant: str | None
    mode: "Mode"
    name: str
    scopes: tuple[str, ...]
    sandbox: bool


@click.group(epilog="Example: loop keys create --new-merchant 'Tea shop'", short_help="API keys.")
def keys() -> None:
    """Make API keys without HTTP, as the operator of this installation."""


@keys.command(epilog="Example: loop keys create --merchant mer_01… --mode live --name backend")
@common.data_option
@click.option(
    "--merchant", metavar="ID", help="Whose key it will be.  [the demo shop of `loop up`]"
)
@click.option("--new-merchant", metavar="NAME", help="Register a merchant for it.")
@click.option("--mode", type=click.Choice(["test", "live"]), default="test", show_default=True)
@click.option("--name", default="made by loop keys create", help="What the key is called.")
@click.option("--scope", "scopes", multiple=True, help="Repeatable.  [the payment scopes]")
@click.option(
    "--sandbox", is_flag=True, help="Also do what `loop sandbox connect` does for the merchant."
)
@common.json_option
def create(
    data: Path | None,
    merchant: str | None,
    new_merchant: str | None,
    mode: "Mode",
    name: str,
    scopes: tuple[str, ...],
    *,
    sandbox: bool,
    as_json: bool,
) -> None:
    """Make an API key and show its secret, once.

    Exit code 1: no such merchant, an unknown scope, or no sandbox to connect with.
    """
    if merchant is not None and new_merchant is not None:
        raise click.UsageError("give either --merchant or --new-merchant")
    settings = common.load(data)
    if merchant is None and new_merchant is None:
        merchant = _demo_shop(settings.home)
    wanted = Wanted(
        merchant_id=merchant,
        new_merchant=new_merchant,
        mode=mode,
        name=name,
        scopes=scopes,
        sandbox=sandbox,
    )
    made = common.run(
        common.with_application(settings, "loop-keys", lambda app: _create(app, wanted))
    )
    if as_json:
        common.print_json(made, indent=0)
        return
    click.echo(f"merchant  {made['merchantId']}")
    click.echo(f"key       {made['keyId']} ({mode}, {' '.join(made['scopes'])})")
    click.echo(f"secret    {made['apiKey']}")
    click.echo("The secret is shown this once and kept nowhere.", err=True)


def _demo_shop(home: Path) -> str:
    from gateway.verbs.running import read_shop  # noqa: PLC0415 - heavy

    shop = read_shop(home)
    if shop is None:
        raise click.UsageError("there is no demo shop here: give --merchant or --new-merchant")
    return shop.merchant_id


async def _create(app: "Application", wanted: Wanted) -> dict[str, Any]:
    from adapters.api_keys import key_hash  # noqa: PLC0415 - heavy
    from commands.caller import Caller  # noqa: PLC0415 - heavy
    from commands.issue_key import issue_key  # noqa: PLC0415 - heavy
    from commands.register_merchant import register_merchant  # noqa: PLC0415 - heavy
    from domain.ids import new_id  # noqa: PLC0415 - heavy
    from domain.merchant import DEFAULT_SCOPES  # noqa: PLC0415 - heavy
    from domain.metadata import Actor  # noqa: PLC0415 - heavy
    from gateway.verbs.sandbox_connect import connected  # noqa: PLC0415 - heavy

    caller = Caller(
        actor=Actor("operator", "loop keys create"),
        merchant_id=wanted.merchant_id or "",
        mode=wanted.mode,
        correlation_id=new_id("req"),
    )
    if wanted.new_merchant is not None:
        merchant = await register_merchant(app.ports, caller, name=wanted.new_merchant)
        caller = msgspec.structs.replace(caller, merchant_id=merchant.id)
    issued = await issue_key(
        app.ports,
        caller,
        name=wanted.name,
        mode=wanted.mode,
        hash_secret=lambda secret: key_hash(app.master_keys, secret),
        scopes=wanted.scopes or DEFAULT_SCOPES,
    )
    if wanted.sandbox:
        await connected(app, msgspec.structs.replace(caller, mode="test"))
    return {
        "merchantId": caller.merchant_id,
        "keyId": issued.key_id,
        "apiKey": issued.secret,
        "mode": issued.mode,
        "scopes": issued.scopes,
    }
