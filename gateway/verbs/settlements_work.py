"""What `loop settlements` does: it reads reports, asks the read model and runs the commands."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from adapters.wiring import Application
    from commands.caller import Caller
    from domain.metadata import Mode
    from domain.routing import Account
    from domain.settlement import Report, Settlement
    from projections.settlements import ExceptionRow, MissingRow, SettlementRow


class Fetched(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one payout's report; `added` lines were not known before."""

    settlement_id: str
    processor: str
    payout_id: str
    amount: str
    lines: int
    matched: int
    added: int
    new: bool


async def import_reports(
    app: "Application",
    merchant_id: str,
    mode: "Mode",
    *,
    processor: str,
    account: str | None,
    text: str,
) -> list[Fetched]:
    """Take in a file.

    Raises:
        click.ClickException: it is not as its processor documents it.
    """
    from adapters.processors.reports import reporters  # noqa: PLC0415 - heavy
    from commands.settlement_reports import ReportError  # noqa: PLC0415 - heavy

    try:
        reports = reporters(app.ports.processors)[processor].parse(text)
    except ReportError as error:
        raise click.ClickException(str(error)) from None
    if account is None:
        account = (await _account(app, merchant_id, mode, processor)).fingerprint
    return await _taken_in(app, _caller(merchant_id, mode, "import"), reports, account)


async def fetch_reports(
    app: "Application", merchant_id: str, mode: "Mode", *, processor: str, days: int
) -> list[Fetched]:
    """Take in what the processor's API has of the last days."""
    from adapters.processors.reports import reporters  # noqa: PLC0415 - heavy

    account = await _account(app, merchant_id, mode, processor)
    credentials = await app.ports.vault.credentials(
        merchant_id, mode, processor, account.credential_version
    )
    since = app.ports.now() - timedelta(days=days)
    reports = await reporters(app.ports.processors)[processor].fetch(since, credentials)
    caller = _caller(merchant_id, mode, "fetch")
    return await _taken_in(app, caller, reports, account.fingerprint)


def _caller(merchant_id: str, mode: "Mode", verb: str) -> "Caller":
    from commands.caller import Caller  # noqa: PLC0415 - heavy
    from domain.ids import new_id  # noqa: PLC0415 - heavy
    from domain.metadata import Actor  # noqa: PLC0415 - heavy

    return Caller(
        actor=Actor("operator", f"loop settlements {verb}"),
        merchant_id=merchant_id,
        mode=mode,
        correlation_id=new_id("req"),
    )


async def _account(app: "Application", merchant_id: str, mode: "Mode", processor: str) -> "Account":
    """Return the merchant's account at a processor.

    Raises:
        NotFound: no such merchant.
        Rejected: `no_account`.
    """
    from commands.change_merchant import load_merchant  # noqa: PLC0415 - heavy
    from domain.errors import Rejected  # noqa: PLC0415 - heavy

    merchant = await load_merchant(app.ports, merchant_id)
    for account in merchant.accounts_of(mode):
        if account.processor == processor:
            return account
    message = f"{merchant_id} has no {processor} account in {mode} mode: say whose with --account."
    raise Rejected("no_account", message)


async def _taken_in(
    app: "Application", caller: "Caller", reports: "Sequence[Report]", account: str
) -> list[Fetched]:
    """Import one report after the other; each may be what explains a line of the next."""
    from adapters.settlement_index import PostgresSettlementIndex  # noqa: PLC0415 - heavy
    from commands.import_settlement import import_settlement  # noqa: PLC0415 - heavy
    from domain import settlement as s  # noqa: PLC0415 - heavy

    for report in reports:
        s.reported(report, account)
    index = PostgresSettlementIndex(app.pool)
    found: list[Fetched] = []
    for report in reports:
        await index.level()
        done = await import_settlement(app.ports, caller, index, report, account=account)
        settlement = done.settlement
        found.append(
            Fetched(
                settlement_id=settlement.id,
                processor=settlement.processor,
                payout_id=settlement.payout_id,
                amount=str(settlement.amount),
                lines=settlement.count,
                matched=sum(1 for line in settlement.lines if line.match is not None),
                added=done.added,
                new=done.new,
            )
        )
    return found


async def list_settlements(
    url: str, merchant_id: str | None, mode: "Mode", limit: int
) -> "list[SettlementRow]":
    """Return payouts as the read model has them."""
    from adapters.log import connect  # noqa: PLC0415 - heavy
    from projections import settlements  # noqa: PLC0415 - heavy

    async with await connect(url, "loop-settlements") as db:
        return await settlements.settlements(db, merchant_id=merchant_id, mode=mode, limit=limit)


async def find_exceptions(
    url: str, merchant_id: str | None, mode: "Mode", *, days: int, limit: int
) -> "tuple[list[ExceptionRow], list[MissingRow]]":
    """Return lines without a match, and movements that are in no report after so many days."""
    from adapters.log import connect  # noqa: PLC0415 - heavy
    from adapters.processors.reports import REPORTERS  # noqa: PLC0415 - heavy
    from projections import settlements  # noqa: PLC0415 - heavy

    async with await connect(url, "loop-settlements") as db:
        lines = await settlements.exceptions(db, merchant_id=merchant_id, mode=mode, limit=limit)
        missing = await settlements.missing(
            db,
            merchant_id=merchant_id,
            mode=mode,
            processors=REPORTERS,
            before=datetime.now(UTC) - timedelta(days=days),
            limit=limit,
        )
    return lines, missing


async def show_settlement(app: "Application", settlement_id: str) -> "Settlement":
    """Return a settlement as its stream says.

    Raises:
        NotFound: there is none.
    """
    from domain import settlement as s  # noqa: PLC0415 - heavy
    from domain.errors import NotFound  # noqa: PLC0415 - heavy

    found = s.fold((await app.ports.store.load([settlement_id]))[settlement_id])
    if found is None:
        raise NotFound("not_found", "There is no such settlement.")
    return found


async def line_verb(
    app: "Application", settlement_id: str, line_id: str | None, verb: str
) -> "Settlement":
    """Change what explains a settlement's lines: again, accept, outside or unmatch."""
    from adapters.settlement_index import PostgresSettlementIndex  # noqa: PLC0415 - heavy
    from commands import settle_lines  # noqa: PLC0415 - heavy

    settlement = await show_settlement(app, settlement_id)
    caller = _caller(settlement.merchant_id, settlement.mode, verb)
    if line_id is None:
        index = PostgresSettlementIndex(app.pool)
        await index.level()
        return await settle_lines.match_again(app.ports, caller, index, settlement_id)
    if verb == "unmatch":
        return await settle_lines.unmatch_line(app.ports, caller, settlement_id, line_id)
    return await settle_lines.accept_line(
        app.ports,
        caller,
        settlement_id=settlement_id,
        line_id=line_id,
        outside=verb == "outside",
    )
