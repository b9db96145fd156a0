"""`loop sagas`: what waits, what waits for a person, and what a person does about it."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.desk import DueStep
    from adapters.wiring import Application
    from commands.caller import Caller
    from domain.order.people import Case
    from domain.order.state import Order

PAGE: Final = 200

by_option = click.option(
    "--by", metavar="NAME", default=getpass.getuser, show_default="you", help="Who does it."
)
evidence_option = click.option(
    "--evidence", metavar="TEXT", help="Why: goes sealed into the log, beside the fact."
)


@click.group(epilog="Example: loop sagas list", short_help="What waits for time or for a person.")
def sagas() -> None:
    """See what orders wait for, and settle what only a person can.

    Whatever you do here is an event with your name. Nothing is called "not charged" unless the
    processor says so in the same command, or the attempt is closed for ever.
    """


@sagas.command("list", epilog="Example: loop sagas list --orphans --json")
@click.option("--all", "everything", is_flag=True, help="Also what still goes on by itself.")
@click.option("--orphans", is_flag=True, help="Payments that the log does not know.")
@common.data_option
@common.json_option
def list_(data: Path | None, *, everything: bool, orphans: bool, as_json: bool) -> None:
    """List what waits: by operation, and each order that waits for a person.

    With --json {waiting: [{operation, waiting, overdue, tries, nextAt}], cases: [{orderId,
    merchantId, mode, status, kind, subject, since, says, urgent}], quarantined, orphans?}; amounts
    are in minor units. Kinds: discrepancy, dispute, stray, outcome_unknown past its lookups, and
    stuck. Exit code 1: the database cannot be reached.
    """
    settings = common.load(data)

    async def work(app: "Application") -> dict[str, Any]:
        return await _listed(app, everything=everything, orphans=orphans)

    found = common.run(common.with_application(settings, "loop-sagas", work))
    if as_json:
        common.print_json(found)
    else:
        from gateway.verbs.sagas_screen import show_list  # noqa: PLC0415 - heavy

        show_list(common.console(), found)


@sagas.command(epilog="Example: loop sagas show ord_01jd3v8x2sfy3t6q9m4n7p0r5w")
@click.argument("order_id", metavar="ORDER")
@common.data_option
@common.json_option
def show(order_id: str, data: Path | None, *, as_json: bool) -> None:
    """Show what one order waits for, and what can be done about it.

    With --json {orderId, merchantId, mode, status, steps: [{subject, operation, dueAt, tries,
    leased}], cases}. Exit code 1: there is no such order.
    """
    settings = common.load(data)
    found = common.run(
        common.with_application(settings, "loop-sagas", lambda app: _shown(app, order_id))
    )
    if as_json:
        common.print_json(found)
    else:
        from gateway.verbs.sagas_screen import show_order  # noqa: PLC0415 - heavy

        show_order(common.console(), found)


@sagas.command(epilog="Example: loop sagas retry ord_01jd3v8x2sfy3t6q9m4n7p0r5w")
@click.argument("order_id", metavar="ORDER")
@click.argument("subject", required=False)
@common.data_option
@common.json_option
def retry(order_id: str, subject: str | None, data: Path | None, *, as_json: bool) -> None:
    """Make all that an order waits for due now, or only the step of SUBJECT.

    A worker takes it at once; what was sent is looked up before anything is sent again. Exit code
    1: there is no such order, or it waits for nothing of the kind.
    """
    settings = common.load(data)
    made = common.run(
        common.with_application(
            settings, "loop-sagas", lambda app: _retried(app, order_id, subject)
        )
    )
    if as_json:
        common.print_json({"orderId": order_id, "due": made}, indent=0)
    else:
        click.echo(f"{order_id}  due now: {', '.join(made)}")


@sagas.command(
    epilog=("Example: loop sagas resolve ord_01… att_01… --as not-charged --evidence 'ticket 17'"),
)
@click.argument("order_id", metavar="ORDER")
@click.argument("subject")
@click.option(
    "--as",
    "verdict",
    type=click.Choice(["as-found", "not-charged", "accepted-ours", "written-off"]),
    required=True,
    help="What is so.",
)
@click.option("--fence", is_flag=True, help="not-charged: also where the processor is silent.")
@evidence_option
@by_option
@common.data_option
@common.json_option
def resolve(
    order_id: str,
    subject: str,
    verdict: str,
    evidence: str | None,
    by: str,
    data: Path | None,
    *,
    fence: bool,
    as_json: bool,
) -> None:
    """Settle what SUBJECT of an order waits for: an attempt, a capture, a refund.

    as-found asks the processor now and records all that it shows. not-charged closes an attempt in
    doubt, if the processor agrees now, or with --fence in any case: then it never captures, and
    money that comes all the same goes back. accepted-ours and written-off settle a discrepancy and
    need --evidence. Exit code 1: the processor does not agree, or there is nothing to settle.
    """
    if verdict in {"accepted-ours", "written-off"} and not evidence:
        raise click.UsageError("settling a discrepancy needs --evidence")
    settings = common.load(data)

    async def work(app: "Application") -> "Order":
        return await _resolved(app, order_id, subject, verdict, evidence, by, fence=fence)

    _tell(common.run(common.with_application(settings, "loop-sagas", work)), as_json=as_json)


@sagas.command(epilog="Example: loop sagas cancel ord_01… --evidence 'customer called'")
@click.argument("order_id", metavar="ORDER")
@evidence_option
@by_option
@common.data_option
@common.json_option
def cancel(
    order_id: str, evidence: str | None, by: str, data: Path | None, *, as_json: bool
) -> None:
    """Cancel an order on the merchant's behalf: from here nothing captures.

    The status is `cancelled` once the attempt is closed. Exit code 1: there is no such order, or
    its money is taken already.
    """
    settings = common.load(data)
    done = common.run(
        common.with_application(
            settings, "loop-sagas", lambda app: _cancelled(app, order_id, evidence, by)
        )
    )
    _tell(done, as_json=as_json)


def _tell(order: "Order", *, as_json: bool) -> None:
    if as_json:
        common.print_json({"orderId": order.id, "status": order.status}, indent=0)
    else:
        click.echo(f"{order.id}  {order.status}")


async def _listed(app: "Application", *, everything: bool, orphans: bool) -> dict[str, Any]:
    from adapters.desk import (  # noqa: PLC0415 - heavy
        orders_for_people,
        quarantined,
        waiting_by_operation,
    )
    from adapters.orphans import orphans as unknown  # noqa: PLC0415 - heavy
    from gateway.verbs.sagas_screen import camel  # noqa: PLC0415 - heavy

    order_ids = await orders_for_people(app.pool)
    found: list[dict[str, Any]] = []
    for start in range(0, len(order_ids), PAGE):
        found += await _cases_of(app, order_ids[start : start + PAGE])
    return {
        "waiting": await waiting_by_operation(app.pool),
        "cases": [case for case in found if everything or case["urgent"]],
        "quarantined": await quarantined(app.pool),
    } | ({"orphans": [camel(one) for one in await unknown(app.pool)]} if orphans else {})


async def _cases_of(app: "Application", order_ids: list[str]) -> list[dict[str, Any]]:
    from adapters.desk import due_steps  # noqa: PLC0415 - heavy
    from domain.order.evolve import fold  # noqa: PLC0415 - as above

    streams = await app.ports.store.load(order_ids)
    steps = await due_steps(app.pool, order_ids)
    found: list[dict[str, Any]] = []
    for order_id in order_ids:
        order = fold(streams[order_id])
        if order is not None:
            found += [
                {
                    "orderId": order.id,
                    "merchantId": order.merchant_id,
                    "mode": order.mode,
                    "status": order.status,
                }
                | _case_view(case)
                for case in _cases(app, order, steps)
            ]
    return found


def _cases(app: "Application", order: "Order", steps: "list[DueStep]") -> "tuple[Case, ...]":
    from domain.order.people import cases  # noqa: PLC0415 - heavy

    tries = {step.subject: step.tries for step in steps if step.order_id == order.id}
    windows = {name: p.capabilities.window_s for name, p in app.ports.processors.items()}
    return cases(order, tries, now=app.ports.now(), windows_s=windows)


def _case_view(case: "Case") -> dict[str, Any]:
    names = ("kind", "subject", "since", "says", "urgent")
    return {name: getattr(case, name) for name in names}


async def _order(app: "Application", order_id: str) -> "Order":
    from commands.execute import not_found  # noqa: PLC0415 - heavy
    from domain.ids import is_id  # noqa: PLC0415 - as above
    from domain.order.evolve import fold  # noqa: PLC0415 - as above

    rows = (await app.ports.store.load([order_id]))[order_id] if is_id(order_id, "ord") else ()
    order = fold(rows)
    if order is None:
        raise not_found()
    return order


async def _shown(app: "Application", order_id: str) -> dict[str, Any]:
    from adapters.desk import due_steps  # noqa: PLC0415 - heavy

    order = await _order(app, order_id)
    steps = await due_steps(app.pool, [order_id])
    return {
        "orderId": order.id,
        "merchantId": order.merchant_id,
        "mode": order.mode,
        "status": order.status,
        "steps": steps,
        "cases": [_case_view(case) for case in _cases(app, order, steps)],
    }


async def _retried(app: "Application", order_id: str, subject: str | None) -> list[str]:
    from adapters.desk import due_steps  # noqa: PLC0415 - heavy
    from domain.errors import Rejected  # noqa: PLC0415 - as above

    await _order(app, order_id)
    steps = [s for s in await due_steps(app.pool, [order_id]) if subject in {None, s.subject}]
    if not steps:
        raise Rejected("invalid_status", f"{order_id} waits for nothing of the kind.")
    for step in steps:
        await app.ports.due.hint(order_id, step.subject)
    return [f"{step.operation} {step.subject}" for step in steps]


async def _resolved(
    app: "Application",
    order_id: str,
    subject: str,
    verdict: str,
    evidence: str | None,
    by: str,
    *,
    fence: bool,
) -> "Order":
    from commands.sagas.by_hand import ByHand  # noqa: PLC0415 - heavy

    limit_s = app.settings.call_limit_s
    hand = ByHand(app.ports, operator=by, worker=app.due.worker, call_limit_s=limit_s)
    if verdict == "as-found":
        return await hand.as_found(order_id, subject)
    if verdict == "not-charged":
        return await hand.not_charged(order_id, subject, evidence=evidence, fence=fence)
    assert evidence is not None, "checked before"
    how = "accepted_ours" if verdict == "accepted-ours" else "written_off"
    return await hand.resolved(order_id, subject, how=how, evidence=evidence)


async def _cancelled(app: "Application", order_id: str, evidence: str | None, by: str) -> "Order":
    from commands.cancel_order import cancel_order  # noqa: PLC0415 - heavy

    order = await _order(app, order_id)
    done = await cancel_order(
        app.ports, _caller(order, by), order_id, reason=evidence, idempotency=None, wait_s=0
    )
    return done.order


def _caller(order: "Order", by: str) -> "Caller":
    from commands.caller import Caller  # noqa: PLC0415 - heavy
    from domain.ids import new_id  # noqa: PLC0415 - as above
    from domain.metadata import Actor  # noqa: PLC0415 - as above

    return Caller(
        actor=Actor("operator", by),
        merchant_id=order.merchant_id,
        mode=order.mode,
        correlation_id=new_id("req"),
    )
