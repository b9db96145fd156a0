"""`loop audit prove` and `loop audit export`: that an order's events are in the signed log."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common
from gateway.verbs.audit_checkpoint import read
from gateway.verbs.audit_verify import claims_of, witness_option

if TYPE_CHECKING:
    from adapters.log import Connection
    from adapters.vault import MasterKeys
    from gateway.audit_views import OrderProofView


@click.command(
    epilog="Example: loop audit prove ord_01jd3v8x2sfy3t6q9m4n7p0r5w",
    short_help="That an order's events are in the signed log.",
)
@click.argument("order_id", metavar="ORDER")
@common.data_option
@common.json_option
def prove(order_id: str, data: Path | None, *, as_json: bool) -> None:
    """Prove that every event of an order is in the log that was signed, and check the proof.

    Exit codes: 0 proven, 1 not (no such order, nothing signed yet, or a proof that does not
    hold), 3 the newest events are not under a checkpoint yet.
    """
    view = _proof(order_id, data, None)
    wrong = [e.position for e in view.events if not _holds(view, e.position)]
    pending = [e.position for e in view.events if e.proof is None]
    if as_json:
        common.print_json({"proven": not (wrong or pending), "wrong": wrong, "pending": pending,
                           "proof": view})  # fmt: skip
    else:
        _show(view, wrong)
    raise SystemExit(1 if wrong else 3 if pending else 0)


@click.command(
    epilog="Example: loop audit export ord_01jd3v8x2sfy3t6q9m4n7p0r5w -o order.json",
    short_help="The same as a file for an auditor.",
)
@click.argument("order_id", metavar="ORDER")
@common.data_option
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Where to write it.  [stdout]")  # fmt: skip
@click.option(
    "--verifier",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the program that verifies it, a single file.",
)
@witness_option
@common.json_option
def export(
    order_id: str,
    data: Path | None,
    output: Path | None,
    verifier: Path | None,
    witness: str | None,
    *,
    as_json: bool,
) -> None:
    """Write an order's stored bytes with their proof, for an auditor without a database.

    It is JSON in any case; --json writes it on one line. With --witness it also proves that the
    witness's checkpoints are heads of the same log. Verify it with `python verify_export.py
    FILE --key KEY`. Exit code 1: no such order, or nothing signed yet.
    """
    import msgspec  # noqa: PLC0415 - heavy

    raw = msgspec.json.encode(_proof(order_id, data, witness))
    text = raw if as_json else msgspec.json.format(raw, indent=2)
    if verifier is not None:
        verifier.write_bytes(files("replay").joinpath("verify_export.py").read_bytes())
    if output is None:
        click.echo(text.decode())
    else:
        output.write_bytes(text + b"\n")


def _proof(order_id: str, data: Path | None, witness: str | None) -> "OrderProofView":
    from adapters.witness import WitnessError  # noqa: PLC0415 - heavy

    async def work(db: "Connection", master: "MasterKeys") -> "OrderProofView":
        from adapters.checkpoint_keys import verifiers  # noqa: PLC0415 - heavy
        from domain.ids import is_id  # noqa: PLC0415 - heavy
        from gateway.audit_views import proof_view  # noqa: PLC0415 - heavy
        from replay import proof  # noqa: PLC0415 - heavy

        keys = await verifiers(db, master)
        others = [claim.checkpoint for claim in claims_of(witness, keys)] if witness else []
        found = await proof.prove(db, order_id, others=others) if is_id(order_id, "ord") else None
        if found is None and is_id(order_id, "ord"):
            raise click.ClickException("nothing was signed yet: does a `loop work` run?")
        if found is None or not found.events:
            raise click.ClickException(f"there is no order {order_id} in this log")
        own = [str(key) for key in keys if key.name == found.checkpoint.origin]
        return proof_view(found, own)

    try:
        return read(data, work)
    except (WitnessError, LookupError) as error:
        raise click.ClickException(str(error)) from None


def _holds(view: "OrderProofView", position: int) -> bool:
    """Tell whether the proof of an event leads to the head that was signed."""
    from domain.merkle import verify_inclusion  # noqa: PLC0415 - heavy

    event = next(event for event in view.events if event.position == position)
    return event.proof is None or verify_inclusion(
        bytes.fromhex(event.hash),
        index=position - 1,
        size=view.checkpoint.size,
        proof=[bytes.fromhex(part) for part in event.proof],
        root=bytes.fromhex(view.checkpoint.root_hash),
    )


def _show(view: "OrderProofView", wrong: list[int]) -> None:
    console = common.console()
    console.print(f"[bold]{view.order_id}[/] under the checkpoint of {view.checkpoint.size} events")
    for event in view.events:
        if event.proof is None:
            said = "[yellow]not signed yet[/]"
        elif event.position in wrong:
            said = "[red]not in the signed log[/]"
        else:
            said = f"[green]proven[/] by {len(event.proof)} hashes"
        place = f"{event.position:>8}  v{event.version:<3} {event.type:<32}"
        console.print(f"  {place} {event.hash[:16]}…  {said}")
