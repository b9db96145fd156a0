"""`loop processors`: a merchant's processor accounts. Secrets are never on the command line."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.settings import Settings
    from adapters.wiring import Application
    from commands.caller import Caller
    from commands.configure_processor import ProcessorAccount
    from commands.processor import CredentialField, Credentials
    from domain.metadata import Mode
    from domain.routing import Account

merchant_option = click.option("--merchant", metavar="ID", required=True, help="Whose account.")
mode_option = click.option(
    "--mode", type=click.Choice(["test", "live"]), default="test", show_default=True
)


@click.group(
    epilog="Example: loop processors list --merchant mer_01…", short_help="Processor accounts."
)
def processors() -> None:
    """Say which processor accounts a merchant uses; new attempts follow at once."""


@processors.command(
    "set",
    epilog="Example: loop processors set stripe --merchant mer_01… --from stripe.env",
)
@common.data_option
@click.argument("processor")
@merchant_option
@mode_option
@click.option(
    "--from",
    "source",
    type=click.File("r"),
    metavar="FILE",
    help="Lines NAME=VALUE, or a JSON object; - is stdin. STRIPE_SECRET_KEY is secret_key, too.",
)
@click.option("--keep", is_flag=True, help="Keep the credentials, change the rest.")
@click.option("--priority", type=click.IntRange(0, 1000), default=1, show_default=True)
@click.option("--enabled/--disabled", default=True, show_default=True)
@common.json_option
def set_(  # noqa: PLR0913 - one per option
    data: Path | None,
    processor: str,
    merchant: str,
    mode: "Mode",
    source: IO[str] | None,
    *,
    keep: bool,
    priority: int,
    enabled: bool,
    as_json: bool,
) -> None:
    """Let a merchant use a PROCESSOR account: stripe, razorpay or sandbox.

    Credentials come from --from, else from the environment (STRIPE_SECRET_KEY,
    STRIPE_PUBLISHABLE_KEY, STRIPE_WEBHOOK_SECRET; RAZORPAY_KEY_ID, RAZORPAY_KEY_SECRET,
    RAZORPAY_WEBHOOK_SECRET), else you are asked, unseen. They are sealed as a new version; attempts
    that were begun with an older version go on with it. Exit code 1: no such merchant or processor,
    or credentials that do not fit the mode.
    """
    from commands.configure_processor import ProcessorAccount  # noqa: PLC0415 - heavy

    settings = common.load(data)
    credentials = None if keep else _credentials(settings, processor, source)
    wanted = ProcessorAccount(
        processor=processor, credentials=credentials, enabled=enabled, priority=priority
    )
    caller = _caller(merchant, mode, "set")
    made = common.run(
        common.with_application(
            settings, "loop-processors", lambda app: _configure(app, caller, wanted)
        )
    )
    if as_json:
        common.print_json(_view(mode, made), indent=0)
    else:
        click.echo(_line(mode, made))


@processors.command("list", epilog="Example: loop processors list --merchant mer_01… --json")
@common.data_option
@merchant_option
@common.json_option
def list_(data: Path | None, merchant: str, *, as_json: bool) -> None:
    """List a merchant's processor accounts of both modes.

    Exit code 1: no such merchant.
    """
    settings = common.load(data)
    found = common.run(
        common.with_application(settings, "loop-processors", lambda app: _accounts(app, merchant))
    )
    if as_json:
        common.print_json([_view(mode, account) for mode, account in found])
        return
    for mode, account in found:
        click.echo(_line(mode, account))


@processors.command(epilog="Example: loop processors remove stripe --merchant mer_01… --mode live")
@common.data_option
@click.argument("processor")
@merchant_option
@mode_option
@common.json_option
def remove(
    data: Path | None, processor: str, merchant: str, mode: "Mode", *, as_json: bool
) -> None:
    """Let no new attempt use a PROCESSOR account.

    Its credentials stay sealed: captures, refunds and lookups of what was begun need them.
    Exit code 1: no such merchant, or the processor is not configured.
    """
    settings = common.load(data)
    caller = _caller(merchant, mode, "remove")
    common.run(
        common.with_application(
            settings, "loop-processors", lambda app: _remove(app, caller, processor)
        )
    )
    if as_json:
        common.print_json({"mode": mode, "processor": processor, "removed": True}, indent=0)
    else:
        click.echo(f"{mode}  {processor}  removed")


def _credentials(settings: "Settings", processor: str, source: IO[str] | None) -> "Credentials":
    from adapters.processors import PROCESSORS  # noqa: PLC0415 - heavy
    from commands.processor import Credentials  # noqa: PLC0415 - heavy

    make = PROCESSORS.get(processor)
    if make is None:
        raise click.ClickException(f"there is no processor {processor!r}: {', '.join(PROCESSORS)}")
    made = make(settings)
    fields = made.fields
    common.run(made.aclose())
    if source is not None:
        given = _parsed(source.read())
        return Credentials({name.removeprefix(f"{processor}_"): given[name] for name in given})
    values = {field.name: _asked(processor, field, fields) for field in fields}
    return Credentials({name: value for name, value in values.items() if value})


def _parsed(text: str) -> dict[str, str]:
    """Read `name=value` lines or a JSON object; what is wrong with it is not repeated."""
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text, type=dict[str, str])
        except msgspec.MsgspecError:
            raise click.ClickException("the credentials are no JSON object of texts") from None
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    if any(not equals for _, equals, _ in pairs):
        raise click.ClickException("the credentials are no lines NAME=VALUE")
    return {name.strip().lower(): value.strip().strip("'\"") for name, _, value in pairs}


def _asked(processor: str, field: "CredentialField", fields: "Sequence[CredentialField]") -> str:
    names = [_variable(processor, other) for other in fields]
    if any(os.environ.get(name) for name in names):
        return os.environ.get(_variable(processor, field), "")
    if not sys.stdin.isatty():
        raise click.ClickException(f"give --from FILE, or set {', '.join(names)}")
    optional = "" if field.required else " [none]"
    answer: str = click.prompt(
        f"{field.doc}{optional}",
        default=None if field.required else "",
        hide_input=field.secret,
        show_default=False,
    )
    return answer


def _variable(processor: str, field: "CredentialField") -> str:
    return f"{processor}_{field.name}".upper()


def _caller(merchant: str, mode: "Mode", verb: str) -> "Caller":
    from commands.caller import Caller  # noqa: PLC0415 - heavy
    from domain.ids import new_id  # noqa: PLC0415 - heavy
    from domain.metadata import Actor  # noqa: PLC0415 - heavy

    return Caller(
        actor=Actor("operator", f"loop processors {verb}"),
        merchant_id=merchant,
        mode=mode,
        correlation_id=new_id("req"),
    )


async def _configure(app: "Application", caller: "Caller", wanted: "ProcessorAccount") -> "Account":
    from commands.configure_processor import configure_processor  # noqa: PLC0415 - heavy

    return await configure_processor(app.ports, caller, wanted)


async def _remove(app: "Application", caller: "Caller", processor: str) -> None:
    from commands.remove_processor import remove_processor  # noqa: PLC0415 - heavy

    await remove_processor(app.ports, caller, processor)


async def _accounts(app: "Application", merchant_id: str) -> "list[tuple[Mode, Account]]":
    from commands.change_merchant import load_merchant  # noqa: PLC0415 - heavy

    merchant = await load_merchant(app.ports, merchant_id)
    return sorted(merchant.accounts, key=lambda pair: (pair[0], pair[1].priority))


def _view(mode: "Mode", account: "Account") -> dict[str, Any]:
    return {
        "mode": mode,
        "processor": account.processor,
        "account": account.fingerprint,
        "credentialVersion": account.credential_version,
        "enabled": account.enabled,
        "priority": account.priority,
    }


def _line(mode: "Mode", account: "Account") -> str:
    state = "enabled" if account.enabled else "disabled"
    return (
        f"{mode}  {account.processor}  {account.fingerprint}  credentials "
        f"v{account.credential_version}  priority {account.priority}  {state}"
    )
