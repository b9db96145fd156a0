"""How what waits for a person looks on a terminal."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.verbs.screen import status_text

HELP: Final = {
    "discrepancy": "loop sagas resolve {order} {subject} --as accepted-ours --evidence …",
    "outcome_unknown": "loop sagas resolve {order} {subject} --as as-found|not-charged",
    "stuck": "loop sagas retry {order} {subject}",
    "stray": "send it back at the processor, then resolve {order} {subject} --as as-found",
    "dispute": "answer it at the processor; its outcome is recorded by itself",
}


def camel(one: msgspec.Struct) -> dict[str, Any]:
    """Return a struct's members with names in camelCase."""
    return {
        "".join((first, *map(str.title, rest))): getattr(one, name)
        for name in one.__struct_fields__
        for first, *rest in [name.split("_")]
    }


def show_list(console: Console, found: dict[str, Any]) -> None:
    """Print what `loop sagas list` found."""
    waiting = found["waiting"]
    if waiting:
        table = _table("WAITS FOR", "ORDERS' STEPS", "OVERDUE", "MOST TRIES", "NEXT")
        for one in waiting:
            late = Text(str(one.overdue), style="bold red" if one.overdue else "dim")
            table.add_row(one.operation, str(one.waiting), late, str(one.tries), _time(one.next_at))
        console.print(table)
    else:
        console.print("no order waits for anything", style="dim")
    console.print()
    _show_cases(console, found["cases"])
    _show_webhooks(console, found["quarantined"])
    if "orphans" in found:
        _show_orphans(console, found["orphans"])


def show_order(console: Console, found: dict[str, Any]) -> None:
    """Print what `loop sagas show` found."""
    head = Text(found["orderId"], style="bold").append("  ")
    console.print(head.append_text(status_text(found["status"])))
    console.print(f"{found['merchantId']}, {found['mode']} mode", style="dim")
    if found["steps"]:
        table = _table("STEP", "SUBJECT", "DUE", "TRIES", "")
        for step in found["steps"]:
            now = "a worker is at it" if step.leased else ""
            table.add_row(step.operation, step.subject, _time(step.due_at), str(step.tries), now)
        console.print(table)
    else:
        console.print("it waits for nothing")
    for case in found["cases"]:
        console.print()
        console.print(_case_text(case))
        console.print(f"  {_help(found['orderId'], case)}", style="cyan", soft_wrap=True)


def _show_cases(console: Console, cases: Sequence[dict[str, Any]]) -> None:
    if not cases:
        console.print("nothing waits for a person", style="green")
        return
    console.print(f"{len(cases)} wait for a person", style="bold")
    for case in cases:
        console.print()
        console.print(Text(case["orderId"], style="bold").append(f"  {case['status']}", style=""))
        console.print(_case_text(case))
        console.print(f"  {_help(case['orderId'], case)}", style="cyan", soft_wrap=True)


def _case_text(case: dict[str, Any]) -> Text:
    line = Text(f"  {case['kind']}", style="yellow" if case["urgent"] else "blue")
    line.append(f" {case['subject']}: {case['says']}", style="")
    return line.append(f", since {_time(case['since'])}", style="dim")


def _help(order_id: str, case: dict[str, Any]) -> str:
    return HELP[case["kind"]].format(order=order_id, subject=case["subject"])


def _show_webhooks(console: Console, webhooks: Sequence[Any]) -> None:
    if not webhooks:
        return
    console.print()
    console.print("webhooks in quarantine: they touched nothing", style="bold")
    table = _table("RECEIVED", "PROCESSOR", "MERCHANT", "KIND", "REFERENCE", "WHY")
    for one in webhooks:
        cells = (one.processor, one.merchant_id, one.kind, one.reference, one.reason or "")
        table.add_row(_time(one.received_at), *cells)
    console.print(table)


def _show_orphans(console: Console, orphans: Sequence[dict[str, Any]]) -> None:
    console.print()
    if not orphans:
        console.print("no payment at a processor is unknown to the log", style="green")
        return
    console.print("payments that the log does not know (minor units)", style="bold")
    table = _table("PROCESSOR", "REFERENCE", "ORDER", "STATUS", "HELD", "CAPTURED", "CURRENCY")
    for one in orphans:
        table.add_row(
            one["processor"],
            one["reference"],
            one["orderId"] or "",
            one["status"],
            str(one["heldMinor"]),
            str(one["capturedMinor"]),
            one["currency"],
        )
    console.print(table)


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
