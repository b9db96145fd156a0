"""`loop replay why`: routing explained, and made again from what was recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.wiring import Application
    from domain.routing import Decision
    from replay.why import Explained


@click.command(epilog="Example: loop replay why ord_01jd3v8x2sfy3t6q9m4n7p0r5w --json")
@click.argument("order_id", metavar="ORDER")
@common.data_option
@common.json_option
def why(order_id: str, data: Path | None, *, as_json: bool) -> None:
    """Explain why an order went to its processor, and check the answer.

    Every decision of the order, also those after a failover, is made again from the recorded
    inputs and the rules of that time. With --json {orderId, agrees, decisions: [{position, attempt,
    number, processor, policyVersion, rule, inputs, candidates, again, differences}]}. Exit code 1:
    an answer differs, there is no such order, or it was not routed yet.
    """
    settings = common.load(data)
    found = common.run(
        common.with_application(settings, "loop-replay", lambda app: _explained(app, order_id))
    )
    if not found:
        raise click.ClickException(f"{order_id} was not routed yet: nobody has paid it")
    agrees = not any(one.differences for one in found)
    if as_json:
        decisions = [_view(one) for one in found]
        common.print_json({"orderId": order_id, "agrees": agrees, "decisions": decisions})
    else:
        _show(order_id, found)
    if not agrees:
        raise SystemExit(1)


async def _explained(app: "Application", order_id: str) -> "list[Explained]":
    from gateway.verbs.replay import read  # noqa: PLC0415 - it lists this verb
    from replay.why import explain  # noqa: PLC0415 - heavy

    rows, _ = await read(app, order_id)
    merchant_id = rows[0].metadata.merchant_id
    merchant = (await app.ports.store.load([merchant_id]))[merchant_id]
    return explain(rows, merchant)


def _view(one: "Explained") -> dict[str, Any]:
    decision = one.recorded
    return {
        "position": one.row.position,
        "attempt": one.attempt_id,
        "number": one.number,
        "processor": one.processor,
        "policyVersion": decision.policy_version,
        "rule": decision.rule,
        "inputs": decision.inputs,
        "candidates": _candidates(decision),
        "again": one.again
        and {
            "processor": one.again.chosen,
            "rule": one.again.rule,
            "candidates": _candidates(one.again),
        },
        "differences": one.differences,
    }


def _candidates(decision: "Decision") -> list[dict[str, Any]]:
    return [
        {"processor": c.processor, "eligible": c.eligible, "reason": c.reason}
        for c in decision.candidates
    ]


def _show(order_id: str, found: "Sequence[Explained]") -> None:
    from rich.table import Table  # noqa: PLC0415 - heavy
    from rich.text import Text  # noqa: PLC0415 - heavy

    from replay.why import in_words  # noqa: PLC0415 - heavy

    console = common.console()
    console.print(order_id, style="bold")
    for one in found:
        console.print()
        head = Text(f"attempt {one.number} at {one.processor}", style="bold")
        console.print(head.append(f"  event {one.row.position}, {one.attempt_id}", style="dim"))
        for sentence in in_words(one):
            console.print(sentence)
        table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("PROCESSOR", "", "REASON"):
            table.add_column(name, overflow="fold")
        for candidate in one.recorded.candidates:
            is_chosen = candidate.processor == one.recorded.chosen
            style = "green" if is_chosen else "" if candidate.eligible else "dim"
            mark = "chosen" if is_chosen else "could" if candidate.eligible else "could not"
            table.add_row(
                Text(candidate.processor, style=style), Text(mark, style=style), candidate.reason
            )
        console.print(table)
        for difference in one.differences:
            console.print(f"differs: {difference}", style="bold red")
    if not any(one.differences for one in found):
        console.print()
        console.print("asked again, every answer is the same", style="green")
