"""What an auditor sees: the signed head of the log, an order's history with hashes, its proof."""

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from adapters.read_models import decoded
from commands.read_order import read_order
from gateway import audit_examples as examples
from gateway.audit_views import LatestCheckpointView, OrderEventView, OrderProofView, event_views
from gateway.auth import authenticated, deps_of
from gateway.decode import no_query
from gateway.operation import Operation, answer
from replay.history import sealed_in

CHECKPOINT = Operation(
    id="getCheckpoint",
    tag="Audit",
    summary="The signed head of the log",
    description=(
        "A C2SP signed note over the RFC 6962 Merkle tree of all events. Keep it: with one that "
        "you kept, nobody can change what it covers without being found out."
    ),
    scope="payments:read",
    answer=LatestCheckpointView,
    example=examples.CHECKPOINT,
    codes=("not_found",),
)
EVENTS = Operation(
    id="listOrderEvents",
    tag="Audit",
    summary="An order's history, oldest first",
    description=(
        "Every event of the log, with the hash that the proof is about: over the stored bytes, not "
        "over `data` as it is shown here."
    ),
    scope="payments:read",
    answer=list[OrderEventView],
    example=examples.EVENTS,
)
PROOF = Operation(
    id="getOrderProof",
    tag="Audit",
    summary="The proof that an order's events are in the signed log",
    description=(
        "Saved as a file it is what `verify_export.py` verifies, without Loop. Events of the last "
        "second may have no proof yet."
    ),
    scope="payments:read",
    answer=OrderProofView,
    example=examples.PROOF,
)


@get("/v1/audit/checkpoint", opt={"operation": CHECKPOINT})
async def checkpoint(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the newest checkpoint."""
    await authenticated(request, "payments:read")
    no_query(request)
    return answer(await deps_of(request).audit.checkpoint())


@get("/v1/orders/{order_id:str}/events", opt={"operation": EVENTS})
async def order_events(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Answer the order's rows; what was erased is null."""
    caller = await authenticated(request, "payments:read")
    no_query(request)
    deps = deps_of(request)
    await read_order(deps.ports, caller, order_id)
    rows = await deps.audit.rows(order_id)
    events = [decoded(row) for row in rows]
    boxes = [box for event in events for box in sealed_in(event.data)]
    opened = await deps.ports.vault.open(boxes) if boxes else []
    return answer(event_views(rows, events, dict(zip(boxes, opened, strict=True))))


@get("/v1/orders/{order_id:str}/proof", opt={"operation": PROOF})
async def order_proof(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Answer what `loop audit export` writes."""
    caller = await authenticated(request, "payments:read")
    no_query(request)
    deps = deps_of(request)
    await read_order(deps.ports, caller, order_id)
    return answer(await deps.audit.proof(order_id))


ROUTES = (checkpoint, order_events, order_proof)
