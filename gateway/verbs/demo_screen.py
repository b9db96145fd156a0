"""How `loop demo` looks: the table of orders, and the proof behind it."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from domain.money import Money
from domain.order.evolve import fold
from gateway.verbs.demo_orders import SHOWN
from gateway.verbs.demo_play import Played, Rush
from gateway.verbs.demo_proof import Proof, row_of
from gateway.verbs.screen import history_table, status_text
from replay.history import moments

if TYPE_CHECKING:
    from gateway.verbs.demo import Stage

_RIGHT: Final = {"#", "AMOUNT", "CAPTURED", "REFUNDED", "TRIES"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that a demo came to."""

    orders: list[Played]
    rush: Rush
    proof: Proof
    latencies_s: list[float]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether everything ended as it must."""
        return all(p.ok for p in self.orders) and not self.rush.failed and self.proof.ok


def orders_table(orders: Sequence[Played]) -> Table:
    """Return all orders as they are now."""
    table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("#", "ORDER", "AMOUNT", "STATUS", "CAPTURED", "REFUNDED", "TRIES", ""):
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=True)
    for number, played in enumerate(orders, 1):
        table.add_row(Text(str(number), style="dim"), *_cells(played))
    return table


def playing(orders: Sequence[Played], stage: "Stage") -> RenderableType:
    """Return the screen while the orders are played."""
    lines: list[RenderableType] = [orders_table(orders)]
    if stage.news:
        lines.append(Text(f"loop up: {stage.news[-1].strip()}", style="yellow"))
    return Group(*lines)


def _cells(played: Played) -> list[Text]:
    scenario, order = played.scenario, played.order
    amount = Text(str(Money(scenario.amount, scenario.currency)))
    if not order:
        blank = Text("")
        return [Text(scenario.name, style="dim"), amount, blank, blank, blank, blank, blank]
    captured, refunded = (
        Text(str(Money(order[name], scenario.currency)) if order[name] else "-", style="")
        for name in ("amountCaptured", "amountRefunded")
    )
    status = status_text(order["status"])
    tries = Text(str(len(order["attempts"])))
    return [Text(scenario.name), amount, status, captured, refunded, tries, _verdict(played)]


def _verdict(played: Played) -> Text:
    if played.ok:
        return Text("✓", style="bold green")
    if played.differs:
        return Text(f"✗ {played.differs}", style="bold red")
    return Text(f"… {played.doing}", style="blue")


def show(console: Console, outcome: Outcome, stage: "Stage") -> None:
    """Print what is left on the screen at the end."""
    console.print(orders_table(outcome.orders))
    for name in SHOWN:
        played = next(p for p in outcome.orders if p.scenario.name == name)
        if played.order:
            console.print()
            console.print(_story(played, outcome.proof))
    console.print()
    console.print(_proof_lines(outcome))
    console.print()
    console.print(_next(outcome, stage))


def _story(played: Played, proof: Proof) -> RenderableType:
    """Return one order's history from the log, with the read model's row under it."""
    order_id = played.order["id"]
    rows = proof.histories[order_id]
    order = fold(rows)
    assert order is not None, "it was created over HTTP"
    heading = Rule(f"[bold]{played.scenario.name}[/]  {order_id}", align="left", style="dim")
    equal = proof.read_rows.get(order_id) == row_of(order)
    sign = "[bold green]=[/] equal" if equal else "[bold red]≠ DIFFERENT[/]"
    line = f"[dim]fold of the log[/]   {_in_line(row_of(order))}\n"
    line += f"[dim]read model[/]        {_in_line(proof.read_rows.get(order_id))}   {sign}"
    return Group(heading, history_table(moments(rows), wide=False), Text.from_markup(line))


def _in_line(row: Any) -> str:
    if row is None:
        return "no row"
    amounts = (
        f"{name} {Money(getattr(row, f'{name}_minor'), row.currency)}"
        for name in ("authorized", "captured", "refunded")
    )
    return "  ".join((f"version {row.version}", row.status, *amounts))


def _proof_lines(outcome: Outcome) -> Table:
    """Return the verdicts and the figures."""
    proof, rush = outcome.proof, outcome.rush
    right = sum(p.ok for p in outcome.orders)
    wrong = (proof.read_model_differs, proof.bank_differs, proof.violations)
    many, rate = len(rush.order_ids), len(rush.order_ids) / rush.seconds
    median, late = quantiles_ms(outcome.latencies_s)
    said = (
        (len(outcome.orders) - right, "surprises", f"in {len(outcome.orders)} scripted orders"),
        (rush.failed, "failures", f"in {many} more at once, {rate:.0f}/s created, paid, captured"),
        (len(wrong[0]), "differences", "between the read model and the fold of the log"),
        (len(wrong[1]), "differences", "between the log and the bank's books: each taken once"),
        (len(wrong[2]), "violations", "of the bank's own rules"),
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    for count, what, where in said:
        table.add_row(*_said(count, what, where))
    for bad in (text for texts in wrong for text in texts):
        table.add_row("", "", Text(bad, style="red"))
    figures = f"in the log after {outcome.seconds:.0f} s; "
    figures += f"create and read over HTTP: median {median:.0f} ms, 99 % within {late:.0f} ms"
    table.add_row("", Text(f"{proof.events} events", style="bold"), figures)
    return table


def _said(count: int, what: str, where: str) -> tuple[Text, Text, Text]:
    sign = Text("✗", style="bold red") if count else Text("✓", style="bold green")
    figure = Text(f"{count or 'no'} {what}", style="bold red" if count else "bold")
    return sign, figure, Text(where)


def quantiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """Return median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def _next(outcome: Outcome, stage: "Stage") -> Panel:
    """Return what to try now."""
    order_id = next(p.order["id"] for p in outcome.orders if p.scenario.name == SHOWN[0])
    header = f"-H 'X-API-Key: {stage.api_key}'"
    body = """-H 'Content-Type: application/json' -d '{"amount": 4999, "currency": "USD"}'"""
    lines = [
        f"curl -s {stage.url}/v1/orders/{order_id} {header}",
        f"curl -s {stage.url}/v1/orders {header} \\\n     {body}",
        f"loop replay order {order_id} --data {stage.data}",
        f"{stage.url}/schema",
    ]
    first = stage.how_to_have_it()
    text = "\n".join([f"[dim]# {first}[/]" if first else "", *lines]).strip()
    return Panel(Text.from_markup(text), title="Try next", title_align="left", border_style="dim")


def in_json(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome for machines."""
    proof, rush = outcome.proof, outcome.rush
    median, late = quantiles_ms(outcome.latencies_s)
    return {
        "ok": outcome.ok,
        "orders": [
            {
                "name": played.scenario.name,
                "orderId": played.order.get("id"),
                "status": played.order.get("status"),
                "amountCaptured": played.order.get("amountCaptured"),
                "amountRefunded": played.order.get("amountRefunded"),
                "ok": played.ok,
                "differs": played.differs or None,
            }
            for played in outcome.orders
        ],
        "rush": {"orders": len(rush.order_ids), "failed": rush.failed, "seconds": rush.seconds},
        "compared": len(proof.histories),
        "readModelDiffers": proof.read_model_differs,
        "bankDiffers": proof.bank_differs,
        "violations": proof.violations,
        "events": proof.events,
        "latencyMs": {"median": median, "p99": late},
        "seconds": outcome.seconds,
    }
