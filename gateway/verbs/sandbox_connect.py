"""`loop sandbox connect`: a merchant's test accounts at the sandbox, with webhooks to Loop."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.verbs import common
from gateway.verbs.sandbox_control import Control
from gateway.verbs.up import own_url

if TYPE_CHECKING:
    from adapters.settings import Settings
    from adapters.wiring import Application
    from commands.caller import Caller

READY_S: Final = 30.0
"""How long a sandbox may take that was started at the same time."""
ACCOUNTS: Final = {"stripe": "acct_", "razorpay": "acc_"}
"""How the sandbox calls the account of a key."""


@click.command(
    epilog="Example: loop sandbox connect --merchant mer_01…",
    short_help="Wire a merchant's test accounts to it.",
)
@common.data_option
@click.option("--merchant", metavar="ID", required=True, help="Whose accounts.")
@click.option("--loop-url", metavar="URL", help="Where the sandbox reaches Loop.  [host and port]")
@common.json_option
def connect(data: Path | None, merchant: str, loop_url: str | None, *, as_json: bool) -> None:
    """Give a merchant test accounts at Stripe and Razorpay, as the running sandbox plays them.

    Made-up test keys and webhook secrets go sealed into the vault, and the sandbox sends its
    webhooks to Loop's /webhooks/{processor}/{merchant}. A vendor whose base URL leads elsewhere is
    left out. Done again, it makes new keys of new accounts. Exit code 1: no such merchant, or no
    sandbox runs.
    """
    settings = common.load(data or click.get_current_context().find_object(Path))
    names = common.run(
        common.with_application(
            settings, "loop-sandbox", lambda app: _connect(app, merchant, loop_url)
        )
    )
    if as_json:
        common.print_json({"merchantId": merchant, "processors": names}, indent=0)
    else:
        click.echo(f"{merchant}  {', '.join(names) or 'nothing to connect'}")


async def _connect(app: "Application", merchant: str, loop_url: str | None) -> list[str]:
    from commands.caller import Caller  # noqa: PLC0415 - heavy
    from domain.ids import new_id  # noqa: PLC0415 - heavy
    from domain.metadata import Actor  # noqa: PLC0415 - heavy

    caller = Caller(
        actor=Actor("operator", "loop sandbox connect"),
        merchant_id=merchant,
        mode="test",
        correlation_id=new_id("req"),
    )
    return await connected(app, caller, loop_url=loop_url)


async def connected(
    app: "Application", caller: "Caller", *, loop_url: str | None = None
) -> list[str]:
    """Configure the caller's merchant for the sandbox over the data folder.

    Returns:
        The processors that are played by the sandbox now.

    Raises:
        click.ClickException: no sandbox runs.
        NotFound: no such merchant.
    """
    from commands.configure_processor import (  # noqa: PLC0415 - heavy
        ProcessorAccount,
        configure_processor,
    )
    from commands.processor import Credentials  # noqa: PLC0415 - heavy

    control = Control.of(app.settings.home, wait_s=READY_S)
    here = loop_url or own_url(app.settings.host, app.settings.port)
    name = f"{caller.merchant_id.removeprefix('mer_')}{secrets.token_hex(3)}"
    done: list[str] = []
    for processor, values in _credentials(name).items():
        if not _base_url(app.settings, processor).startswith(f"{control.url}/"):
            continue
        account = ProcessorAccount(processor=processor, credentials=Credentials(values))
        await configure_processor(app.ports, caller, account)
        url = f"{here}/webhooks/{processor}/{caller.merchant_id}"
        secret = values["webhook_secret"]
        _register(control, processor, url, secret=secret, account=f"{ACCOUNTS[processor]}{name}")
        done.append(processor)
    return done


def _base_url(settings: "Settings", processor: str) -> str:
    return settings.stripe_base_url if processor == "stripe" else settings.razorpay_base_url


def _credentials(name: str) -> dict[str, dict[str, str]]:
    """Return what looks like the vendors' own test keys, of accounts named so at the sandbox."""
    return {
        "stripe": {
            "secret_key": f"sk_test_{name}_{secrets.token_hex(8)}",
            "publishable_key": f"pk_test_{name}",
            "webhook_secret": f"whsec_{secrets.token_hex(16)}",
        },
        "razorpay": {
            "key_id": f"rzp_test_{name}",
            "key_secret": secrets.token_hex(12),
            "webhook_secret": secrets.token_hex(16),
        },
    }


def _register(control: Control, processor: str, url: str, *, secret: str, account: str) -> None:
    """Have an account's webhooks sent there, and no older ones of this merchant any more."""
    path = url.partition("/webhooks/")[2]
    for known in control.ask("GET", "webhooks")["endpoints"]:
        if known["url"].partition("/webhooks/")[2] == path:
            control.ask("DELETE", f"webhooks/{known['id']}")
    asked = {"dialect": processor, "url": url, "secret": secret, "account": account}
    control.ask("POST", "webhooks", **asked)
    control.ask("POST", "options", webhooks_in_real_time=True)
