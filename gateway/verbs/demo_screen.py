"""How `loop demo` looks: the table of orders, and the proof behind it."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from domain.money import Money
from domain.order.evolve import fold
from gateway.verbs.demo_orders import SHOWN
from gateway.verbs.demo_play import Played, Rush
from gateway.verbs.demo_proof import Proof, row_of, taken
from gateway.verbs.screen import history_table, status_text
from replay.history import moments

if TYPE_CHECKING:
    from gateway.verbs.demo import Stage

_RIGHT: Final = {"AMOUNT", "CAPTURED", "REFUNDED"}
_NARROW: Final = {"": 1, "ORDER": 37, "AMOUNT": 11, "STATUS": 20}
_WIDE: Final = _NARROW | {"CAPTURED": 11, "REFUNDED": 11, "AT": 8}
"""Columns and their least widths, so that nothing moves while the orders do."""
WIDE: Final = 108
"""Columns that a terminal needs for all of it."""


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


def orders_table(orders: Sequence[Played], width: int) -> Table:
    """Return all orders as they are now, for a terminal of `width` columns."""
    columns = _WIDE if width >= WIDE else _NARROW
    table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name, least in columns.items():
        side = "right" if name in _RIGHT else "left"
        table.add_column(name, justify=side, no_wrap=True, min_width=least)
    for played in orders:
        table.add_row(*_cells(played)[: len(columns)])
    return table


def playing(orders: Sequence[Played], stage: "Stage", width: int) -> RenderableType:
    """Return the screen while the orders are played."""
    lines: list[RenderableType] = [orders_table(orders, width)]
    if stage.news:
        lines.append(Text(f"loop up: {stage.news[-1].strip()}", style="yellow"))
    return Group(*lines)


def _cells(played: Played) -> list[Text]:
    scenario, order = played.scenario, played.order
    amount = Text(str(Money(scenario.amount, scenario.currency)))
    if not order:
        name = Text(scenario.name, style="dim")
        return [_verdict(played), name, amount, *(Text("") for _ in range(4))]
    captured, refunded = (
        Text(str(Money(order[name], scenario.currency)) if order[name] else "-")
        for name in ("amountCaptured", "amountRefunded")
    )
    status = status_text(order["status"])
    if played.doing:
        status.append(f" … {played.doing}", style="dim")
    at = Text(order["processor"] or "-", style="dim")
    return [_verdict(played), Text(scenario.name), amount, status, captured, refunded, at]


def _verdict(played: Played) -> Text:
    if played.ok:
        return Text("✓", style="bold green")
    return Text("✗", style="bold red") if played.differs else Text("·", style="blue")


def show(console: Console, outcome: Outcome, stage: "Stage") -> None:
    """Print what is left on the screen at the end."""
    console.print(orders_table(outcome.orders, console.width))
    for played in outcome.orders:
        if played.differs:
            line = f"✗ {played.scenario.name} ({played.order.get('id')}): {played.differs}"
            console.print(Text(line, style="red"))
    for played in outcome.orders:
        if played.scenario.name in SHOWN and played.order:
            console.print()
            console.print(_story(played, outcome.proof))
    console.print()
    console.print(_proof_lines(outcome))
    console.print()
    for line in _next(outcome, stage):
        console.print(line, soft_wrap=True)


def _story(played: Played, proof: Proof) -> RenderableType:
    """Return one order's history from the log, and what the two other accounts say."""
    order_id, name = played.order["id"], played.scenario.name
    rows = proof.histories[order_id]
    order = fold(rows)
    assert order is not None, "it was created over HTTP"
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(Text("fold of the log", style="dim"), _in_line(row_of(order)), "")
    read = proof.read_rows.get(order_id)
    grid.add_row(Text("read model", style="dim"), _in_line(read), _equal(read == row_of(order)))
    captured, refunded = (Money(n, order.amount.currency) for n in proof.bank[order_id])
    said = f"captured {captured}  refunded {refunded}"
    equal = _equal(proof.bank[order_id] == taken(order))
    grid.add_row(Text("the sandbox's books", style="dim"), said, equal)
    return Group(
        Rule(f"[bold]{name}[/]  {order_id}", align="left", style="dim"),
        Text(SHOWN[name], style="italic"),
        history_table(moments(rows)),
        grid,
    )


def _equal(equal: bool) -> Text:  # noqa: FBT001 - it is the question
    return Text("= equal", style="green") if equal else Text("≠ DIFFERENT", style="bold red")


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
    scripted, many, compared = len(outcome.orders), len(rush.order_ids), len(proof.histories)
    rate = f"{many / rush.seconds:.0f} orders/s created, paid and captured"
    right = sum(p.ok for p in outcome.orders)
    alike = compared - len(proof.read_model_differs)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(*_said(right, scripted, "orders of the script ended as expected"))
    table.add_row(
        *_said(many - rush.failed, many, f"more orders at once at Stripe were captured: {rate}")
    )
    table.add_row(*_said(alike, compared, "rows of the read model equal the fold of the log"))
    agreed = "orders are in the sandbox's books as in the log: captured and refunded exactly once"
    table.add_row(*_said(compared - len(proof.bank_differs), compared, agreed))
    table.add_row(*_said(0, len(proof.violations), "violations of the vendors' own rules"))
    for bad in (*proof.read_model_differs, *proof.bank_differs, *proof.violations):
        table.add_row("", "", Text(bad, style="red"))
    median, late = quantiles_ms(outcome.latencies_s)
    figures = f"events in the log after {outcome.seconds:.0f} s; "
    figures += f"HTTP create and read: median {median:.0f} ms, 99 % within {late:.0f} ms"
    table.add_row("", Text(f"{proof.events}", style="bold"), figures)
    return table


def _said(count: int, of: int, words: str) -> tuple[Text, Text, Text]:
    """Return a line of the proof; `count` must be `of`."""
    good = count == of
    sign = Text("✓", style="bold green") if good else Text("✗", style="bold red")
    figure = f"{count} of {of}" if of and count else "no" if good else str(of)
    return sign, Text(figure, style="bold" if good else "bold red"), Text(words)


def quantiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """Return median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def _next(outcome: Outcome, stage: "Stage") -> list[Text]:
    """Return what to try now; lines that can be copied."""
    order_id = next(p.order["id"] for p in outcome.orders if p.scenario.name in SHOWN)
    create = """-H 'Content-Type: application/json' -d '{"amount": 4999, "currency": "USD"}'"""
    orders = f"{stage.url}/v1/orders"
    header = '-H "X-API-Key: $KEY"'
    if stage.gone_soon:
        heading = (
            "Try next: `loop up --demo` plays this again and keeps running. With its key then:"
        )
        lines = ["KEY=…", f"curl -s {orders} {header}", f"curl -s {orders} {header} {create}"]
    else:
        heading = f"Try next ({stage.first or f'{stage.url}/schema explains the API'}):"
        lines = [
            f"KEY={stage.api_key}",
            f"curl -s {orders}/{order_id} {header}",
            f"curl -s {orders} {header} {create}",
            f"loop replay order {order_id} --data {stage.data}",
            f"loop sandbox books {order_id} --data {stage.data}",
            f"loop projections status --data {stage.data}",
        ]
    return [Text(heading, style="bold"), *(Text(f"  {line}") for line in lines)]


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
