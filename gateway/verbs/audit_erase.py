"""`loop audit erase`: destroy the keys that a customer's data is sealed under."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.wiring import Application
    from domain.metadata import Mode


@click.command(
    epilog="Example: loop audit erase cus_1042 --merchant mer_01… --mode live --yes",
    short_help="Erase what is known of a customer.",
)
@click.argument("customer_id", metavar="CUSTOMER")
@common.data_option
@click.option("--merchant", required=True, metavar="ID", help="Whose customer it is.")
@click.option("--mode", type=click.Choice(["test", "live"]), default="test", show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@common.json_option
def erase(
    customer_id: str,
    data: Path | None,
    merchant: str,
    mode: "Mode",
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase what is known of a customer: e-mail, description, metadata, URLs, reasons.

    CUSTOMER is the `customerId` that the orders were created with. The events stay and every
    proof still holds; what was sealed reads null everywhere. It cannot be undone; backups of the
    database keep the keys until they expire. Exit code 1: nothing is kept of this customer.
    """
    settings = common.load(data)
    if not (yes or as_json):
        click.confirm(f"Erase {customer_id} of {merchant} ({mode}) for ever?", abort=True)
    destroyed = common.run(
        common.with_application(
            settings, "loop-erase", lambda app: _erase(app, customer_id, merchant, mode)
        )
    )
    if as_json:
        common.print_json({"keysDestroyed": destroyed}, indent=0)
    else:
        click.echo(f"erased: {destroyed} key{'' if destroyed == 1 else 's'} destroyed")


async def _erase(app: "Application", customer_id: str, merchant_id: str, mode: "Mode") -> int:
    from commands.caller import Caller  # noqa: PLC0415 - heavy
    from commands.erase_customer import erase_customer  # noqa: PLC0415 - heavy
    from domain.ids import new_id  # noqa: PLC0415 - heavy
    from domain.metadata import Actor  # noqa: PLC0415 - heavy

    caller = Caller(
        actor=Actor("operator", "loop audit erase"),
        merchant_id=merchant_id,
        mode=mode,
        correlation_id=new_id("req"),
    )
    return await erase_customer(app.ports, caller, customer_id=customer_id)
