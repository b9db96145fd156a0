"""What `loop sandbox` asks of the running sandbox: books, clock, triggers and fault rules."""

import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.verbs import common
from gateway.verbs.sandbox_control import Control

if TYPE_CHECKING:
    from rich.table import Table

SUMS: Final = ("authorized", "held", "captured", "refunded", "disputed")
ABOUT: Final = {"dispute_ends": "dispute", "refund_failed": "refund", "payout_failed": "payout"}
"""What the id of a trigger names where it is not a payment."""
ALONE: Final = {"payout"}
"""Triggers that are about no one thing."""

data_option: Final[Callable[..., Any]] = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Data folder of the `loop up` or `loop sandbox` that runs.  [LOOP_HOME, else ./.loop]",
)


def running(data: Path | None) -> Control:
    """Return the sandbox over the folder, which may also stand before the verb."""
    given = data or click.get_current_context().find_object(Path)
    return Control.of(given or Path(os.environ.get("LOOP_HOME") or "./.loop"))


@click.command(epilog="Example: loop sandbox books ord_01… --json", short_help="Its own books.")
@data_option
@click.argument("order", required=False)
@common.json_option
def books(data: Path | None, order: str | None, *, as_json: bool) -> None:
    """Show what both vendors have authorized, captured and refunded, and what must never be.

    With ORDER each payment of that order. A violation is: money of one order captured by more than
    one payment or above its amount, refunded above captured, captured after a void or a fence, or
    a payment without an order. Exit code 1: there is one, or no sandbox runs.
    """
    found = running(data).ask("GET", f"books/{order}" if order else "books")
    if as_json:
        common.print_json(found)
    else:
        _show_books(found, order)
    sys.exit(1 if found["violations"] else 0)


def _show_books(found: dict[str, Any], order: str | None) -> None:
    from rich.markup import escape  # noqa: PLC0415 - heavy

    console = common.console()
    console.print(_payments(found) if order else _totals(found))
    for one in found["violations"]:
        where = f"{one['order_ref'] or 'no order'}: {', '.join(one['payments'])}, {one['detail']}"
        console.print(f"[red]{one['kind']}[/]  {escape(where)}", soft_wrap=True)
    orders = len(found["orders"])
    verdict = "[red]violations[/]" if found["violations"] else "[green]no violation[/]"
    console.print(f"{orders} order{'s' * (orders != 1)}, {verdict}")


def _totals(found: dict[str, Any]) -> "Table":
    names = ("captured", "refunded", "held")
    table = _table("CURRENCY", *(name.upper() for name in names))
    for currency, of in sorted(found["totals"].items()):
        table.add_row(currency, *(_amount(of[name], currency) for name in names))
    return table


def _payments(found: dict[str, Any]) -> "Table":
    table = _table("PAYMENT", "AT", *(name.upper() for name in SUMS))
    for order in found["orders"].values():
        for one in order["payments"]:
            sums = (_amount(one[name], one["currency"]) for name in SUMS)
            table.add_row(one["payment"], one["dialect"], *sums)
    return table


def _table(*names: str) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - heavy

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        left = name in {"CURRENCY", "PAYMENT", "AT", "RULE", "DOES", "WHERE", "MATCHES"}
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    return table


def _amount(minor: int, currency: str) -> str:
    from domain.money import Money  # noqa: PLC0415 - heavy

    return str(Money(minor, currency)) if minor else "-"


@click.command(epilog="Example: loop sandbox clock +3d", short_help="Show or advance its clock.")
@data_option
@click.argument("span", required=False)
@common.json_option
def clock(data: Path | None, span: str | None, *, as_json: bool) -> None:
    """Show the sandbox's virtual time; SPAN lets so much pass: 90, +15m, 6h or 3d.

    Timers strike at their moments: late authorizations, expiring holds, webhooks sent again. It
    never goes back, and Loop's own clock does not go with it. Exit code 1: no sandbox runs, or
    the span cannot be read.
    """
    asked = {"advance": span} if span else {}
    found = running(data).ask("POST" if span else "GET", "clock", **asked)
    if as_json:
        common.print_json(found, indent=0)
        return
    now = datetime.fromtimestamp(found["now"], UTC)
    ahead = timedelta(seconds=round(found["ahead"]))
    struck = f", {found['struck']} timers struck" if span else ""
    click.echo(f"{now:%Y-%m-%d %H:%M:%S} UTC, ahead by {ahead}{struck}")


@click.command(
    epilog="Example: loop sandbox trigger dispute ord_01… kind=lost", short_help="Make things be."
)
@data_option
@click.argument("name", required=False)
@click.argument("about", metavar="[ID]", required=False)
@click.argument("more", metavar="[NAME=VALUE]…", nargs=-1)
@common.json_option
def trigger(
    data: Path | None,
    name: str | None,
    about: str | None,
    more: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Let happen what happens without the API: a dispute, a refund that comes back, a payout.

    ID is of the payment, refund, dispute or payout; an order's stands for its payment; `payout`
    has none. NAME=VALUE are the trigger's own, such as kind=lost or amount=500. Without NAME the
    triggers are listed. Exit code 1: no sandbox runs, or it says why it cannot be.
    """
    control = running(data)
    if name is None:
        names = control.ask("GET", "scenarios")["triggers"]
        common.print_json(names, indent=0) if as_json else click.echo("\n".join(names))
        return
    made = control.ask("POST", f"trigger/{name}", **_asked(control, name, about, more))
    if as_json:
        common.print_json(made)
        return
    for one in made.get("payouts", [made]):
        click.echo(f"{name}  {one.get('id') or about}  {one.get('status', '')}".rstrip())


def _asked(control: Control, name: str, about: str | None, more: Iterable[str]) -> dict[str, Any]:
    """Return what a trigger is given."""
    if name in ALONE:
        return dict(_pair(text) for text in ((about,) if about else ()) + tuple(more))
    if about is None:
        raise click.UsageError(f"{name} of what? Give the id of a payment or an order.")
    subject = {ABOUT.get(name, "payment"): _payment_of(control, about)}
    return dict(_pair(text) for text in more) | subject


def _payment_of(control: Control, about: str) -> str:
    """Return the payment that holds or took an order's money; another id as it is."""
    if not about.startswith("ord_"):
        return about
    orders = control.ask("GET", f"books/{about}")["orders"]
    payments = [one for order in orders.values() for one in order["payments"]]
    if not payments:
        raise click.ClickException(f"the sandbox has no payment of {about}")
    payments.sort(key=lambda one: (one["captured"], one["authorized"]))
    return str(payments[-1]["payment"])


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} is no NAME=VALUE")
    return name, int(value) if value.isdecimal() else value


@click.group(
    epilog="Example: loop sandbox faults profile hostile --seed 7", short_help="Fault rules."
)
def faults() -> None:
    """Say what goes wrong between Loop and the vendors, and on which side of the effect."""


@faults.command("list", epilog="Example: loop sandbox faults list --json")
@data_option
@common.json_option
def list_(data: Path | None, *, as_json: bool) -> None:
    """List the rules in force, and how often each has matched and struck."""
    _show_rules(running(data).ask("GET", "faults")["faults"], as_json=as_json)


@faults.command(
    epilog="Example: loop sandbox faults add close --place after --path capture --p 0.1"
)
@data_option
@click.argument("do")
@click.option(
    "--place", type=click.Choice(["before", "after", "late"]), default="before", show_default=True
)
@click.option("--dialect", type=click.Choice(["stripe", "razorpay"]), help="Of one vendor only.")
@click.option("--method", type=click.Choice(["GET", "POST"]), help="Of this method only.")
@click.option("--path", metavar="REGEX", help="Where the path has this in it.")
@click.option("--payment", metavar="ID", help="Where path or body have this in them.")
@click.option("--nth", type=int, help="Only this one of the requests that match.")
@click.option("--every", type=int, help="Each of so many.")
@click.option("--p", type=click.FloatRange(0, 1), help="With this probability.")
@click.option("--limit", type=int, help="Strike at most so often.")
@common.json_option
def add(
    data: Path | None, do: str, place: str, limit: int | None, *, as_json: bool, **match: Any
) -> None:
    """Add a rule that does DO: close, hang:60, delay:8, status:503, truncate, garbage or drip:3.

    It strikes *before* the money effect, *after* it, or answers first and lets it come *late*.
    Exit code 1: no sandbox runs, or it cannot read the rule.
    """
    wanted = {name: value for name, value in match.items() if value is not None}
    rule: dict[str, Any] = {"do": do, "place": place, "match": wanted}
    if limit is not None:
        rule["limit"] = limit
    made = running(data).ask("POST", "faults", **rule)
    common.print_json(made, indent=0) if as_json else click.echo(made["id"])


@faults.command(epilog="Example: loop sandbox faults clear")
@data_option
@click.argument("rule", required=False)
@common.json_option
def clear(data: Path | None, rule: str | None, *, as_json: bool) -> None:
    """Take one RULE away, or all of them; show what is left."""
    control = running(data)
    control.ask("DELETE", f"faults/{rule}" if rule else "faults")
    _show_rules(control.ask("GET", "faults")["faults"], as_json=as_json)


@faults.command(epilog="Example: loop sandbox faults profile calm")
@data_option
@click.argument("name")
@click.option("--seed", type=int, help="Of the rules' dice.  [as it was]")
@common.json_option
def profile(data: Path | None, name: str, seed: int | None, *, as_json: bool) -> None:
    """Replace all rules by a bundle: calm, flaky, brownout, outage or hostile.

    Exit code 1: no sandbox runs, or there is no such bundle.
    """
    asked: dict[str, Any] = {"name": name} | ({} if seed is None else {"seed": seed})
    _show_rules(running(data).ask("POST", "profile", **asked)["faults"], as_json=as_json)


def _show_rules(rules: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        common.print_json(rules)
        return
    if not rules:
        click.echo("nothing goes wrong")
        return
    table = _table("RULE", "DOES", "WHERE", "MATCHES", "HITS", "STRUCK")
    for one in rules:
        match = " ".join(f"{name}={value}" for name, value in one.get("match", {}).items() if value)
        counts = (str(one["hits"]), str(one["fired"]))
        table.add_row(one["id"], one["do"], one.get("place", "before"), match, *counts)
    common.console().print(table)
