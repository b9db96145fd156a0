"""`loop webhooks`: what merchants were sent, what was not taken, and sending it again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.delivery_lists import Delivery
    from adapters.wiring import Application

STATUSES = ("pending", "delivered", "failed", "dead")

limit_option = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many."
)
merchant_option = click.option("--merchant", metavar="ID", help="Only this merchant's.")
endpoint_option = click.option("--endpoint", metavar="ID", help="Only to this endpoint.")


@click.group(
    epilog="Example: loop webhooks dead --json", short_help="Webhooks to merchants, sent and not."
)
def webhooks() -> None:
    """Look at what merchants were sent, and send it again."""


@webhooks.command(name="list", epilog="Example: loop webhooks list --status failed --limit 20")
@common.data_option
@merchant_option
@endpoint_option
@click.option("--order", metavar="ID", help="Only about this order.")
@click.option("--status", type=click.Choice(STATUSES), help="Only with this status.")
@limit_option
@common.json_option
def list_(data: Path | None, *, limit: int, as_json: bool, **narrowed: Any) -> None:
    """List deliveries, newest first."""
    _list(data, narrowed, limit=limit, as_json=as_json)


@webhooks.command(epilog="Example: loop webhooks dead --endpoint whe_01…")
@common.data_option
@merchant_option
@endpoint_option
@limit_option
@common.json_option
def dead(data: Path | None, *, limit: int, as_json: bool, **narrowed: Any) -> None:
    """List what was given up, newest first.

    Exit code 1 when there is any.
    """
    if _list(data, {**narrowed, "status": "dead"}, limit=limit, as_json=as_json):
        raise SystemExit(1)


def _list(
    data: Path | None, narrowed: dict[str, Any], *, limit: int, as_json: bool
) -> "Sequence[Delivery]":
    from adapters import delivery_lists  # noqa: PLC0415 - heavy
    from adapters.connect import connect  # noqa: PLC0415 - heavy

    wanted = delivery_lists.Narrowed(
        merchant_id=narrowed.get("merchant"),
        endpoint_id=narrowed.get("endpoint"),
        order_id=narrowed.get("order"),
        status=narrowed.get("status"),
    )
    settings = common.load(data)

    async def read() -> "tuple[list[Delivery], int]":
        async with await connect(settings.database_url, name="loop-webhooks") as db:
            return await delivery_lists.numbered(db, wanted, limit=limit)

    rows, total = common.run(read())
    if as_json:
        common.print_json({"total": total, "deliveries": [_shown(row) for row in rows]})
        return rows
    from rich.table import Table  # noqa: PLC0415 - heavy

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("DELIVERY", "EVENT", "ORDER", "STATUS", "TRIES", "LAST", "NEXT"):
        table.add_column(name)
    for row in rows:
        last = row.attempts[-1] if row.attempts else {}
        table.add_row(
            row.delivery_id,
            row.event_type,
            row.order_id or "",
            row.status,
            str(len(row.attempts)),
            str(last.get("status") or last.get("error") or ""),
            _moment(row.due_at),
        )
    common.console().print(table if rows else "no deliveries")
    if total > len(rows):
        click.echo(f"{total - len(rows)} more", err=True)
    return rows


@webhooks.command(epilog="Example: loop webhooks show whd_01…")
@click.argument("delivery")
@common.data_option
@common.json_option
def show(delivery: str, data: Path | None, *, as_json: bool) -> None:
    """Show a delivery and its attempts.

    Exit code 1: no such delivery.
    """
    from adapters.connect import connect  # noqa: PLC0415 - heavy

    settings = common.load(data)

    async def read() -> "Delivery":
        async with await connect(settings.database_url, name="loop-webhooks") as db:
            return await _found(db, delivery)

    row = common.run(read())
    if as_json:
        common.print_json(_shown(row))
        return
    for name, value in _shown(row).items():
        if name != "attempts":
            click.echo(f"{name:<12} {value if value is not None else ''}")
    for attempt in row.attempts:
        said = attempt.get("status") or attempt.get("error")
        prefix = attempt.get("responsePrefix", "")
        click.echo(f"attempt      {attempt['at']}  {said}  {attempt['durationMs']} ms  {prefix!r}")


@webhooks.command(epilog="Example: loop webhooks redeliver whd_01…")
@click.argument("delivery")
@common.data_option
@common.json_option
def redeliver(delivery: str, data: Path | None, *, as_json: bool) -> None:
    """Send a delivery again, now; the same id and the same bytes.

    Exit code 1: no such delivery.
    """
    from adapters import delivery_lists  # noqa: PLC0415 - heavy
    from adapters.connect import connect  # noqa: PLC0415 - heavy

    settings = common.load(data)

    async def send() -> bool:
        async with await connect(settings.database_url, name="loop-webhooks") as db:
            await _found(db, delivery)
            return await delivery_lists.send_again(db, delivery)

    scheduled = common.run(send())
    if as_json:
        common.print_json({"delivery": delivery, "scheduled": scheduled}, indent=0)
    else:
        click.echo("it is sent again" if scheduled else "it is being sent right now")


@webhooks.command(epilog="Example: loop webhooks recover whe_01… --since 2026-11-20T00:00:00Z")
@click.argument("endpoint")
@click.option("--since", required=True, metavar="TIME", help="ISO 8601; UTC unless it says so.")
@click.option("--until", metavar="TIME", help="Exclusive.  [now]")
@common.data_option
@common.json_option
def recover(
    endpoint: str, since: str, until: str | None, data: Path | None, *, as_json: bool
) -> None:
    """Send an endpoint what it asks for of a time and has not got.

    Exit code 1: no such endpoint, or it is disabled.
    """
    begin, end = _time(since), _time(until) if until else None
    settings = common.load(data)
    scheduled = common.run(
        common.with_application(
            settings, "loop-webhooks", lambda app: _recovered(app, endpoint, begin, end)
        )
    )
    if as_json:
        common.print_json({"endpoint": endpoint, "scheduled": scheduled}, indent=0)
    else:
        click.echo(f"{scheduled} deliveries are scheduled")


async def _recovered(
    app: "Application", endpoint_id: str, since: datetime, until: datetime | None
) -> int:
    from adapters import delivery_lists  # noqa: PLC0415 - heavy
    from commands.change_merchant import load_merchant  # noqa: PLC0415 - heavy

    async with app.pool.connection() as db:
        merchant_id = await delivery_lists.merchant_of(db, endpoint_id)
        if merchant_id is None:
            raise click.ClickException("there is no such endpoint")
        merchant = await load_merchant(app.ports, merchant_id)
        endpoint = next((x for x in merchant.endpoints if x.id == endpoint_id), None)
        if endpoint is None:
            raise click.ClickException("the endpoint was removed")
        endpoint.refuse_disabled()
        return await delivery_lists.recover(db, merchant.id, endpoint, since=since, until=until)


async def _found(db: Any, delivery_id: str) -> "Delivery":
    from adapters import delivery_lists  # noqa: PLC0415 - heavy

    row = await delivery_lists.by_id(db, delivery_id)
    if row is None:
        raise click.ClickException("there is no such delivery")
    return row


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no ISO 8601 time") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _moment(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""


def _shown(row: "Delivery") -> dict[str, Any]:
    return {
        "id": row.delivery_id,
        "endpointId": row.endpoint_id,
        "merchantId": row.merchant_id,
        "mode": row.mode,
        "eventId": row.event_id,
        "eventType": row.event_type,
        "orderId": row.order_id,
        "sequence": row.sequence,
        "status": row.status,
        "nextAttemptAt": _moment(row.due_at) or None,
        "deliveredAt": _moment(row.delivered_at) or None,
        "createdAt": _moment(row.created_at),
        "attempts": row.attempts,
    }
