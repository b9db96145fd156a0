"""Whether this process lives, whether it can serve, and its metrics."""

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final, Literal

from litestar import Request, Response, get
from msgspec import UNSET, UnsetType
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from adapters.metrics import exposition
from gateway.auth import deps_of
from gateway.edge import ids_of
from gateway.errors import Refused
from gateway.operation import Operation, answer
from gateway.views import Time, View, iso

State = Literal["ok", "unavailable"]


class HealthView(View, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"]
    timestamp: Time
    correlation_id: str


class ChecksView(View, frozen=True, kw_only=True):
    """What can be reached; `projections` says how many events each read model is behind.

    `stopped` names those that stand still in front of an event that they cannot apply: what they
    show is older than it, requests are served all the same. `paused` names those that an operator
    has stand still, `outdated` those whose tables another version made: they stand still until
    `loop projections swap NAME --accept`.
    """

    postgres: State
    nats: State
    projections: dict[str, int]
    stopped: list[str] | UnsetType = UNSET
    paused: list[str] | UnsetType = UNSET
    outdated: list[str] | UnsetType = UNSET


class ReadyView(View, frozen=True, kw_only=True):
    """Whether requests can be served."""

    status: State
    checks: ChecksView


_TEXT_FORMAT: Final = CONTENT_TYPE_PLAIN_0_0_4.removesuffix("; charset=utf-8")
"""Every scraper reads this version; the framework writes the charset behind it."""

_CHECKS = {"postgres": "ok", "nats": "ok", "projections": {"orders": 0}}
HEALTH = Operation(
    id="getHealth",
    tag="Service",
    summary="Is the process alive",
    limited=False,
    answer=HealthView,
    example={
        "status": "ok",
        "timestamp": "2026-11-20T10:00:00.000Z",
        "correlationId": "req_01jd3v8x2sfy3t6q9m4n7p0r5w",
    },
)
READY = Operation(
    id="getReady",
    tag="Service",
    summary="Can requests be served",
    limited=False,
    answer=ReadyView,
    example={"status": "ok", "checks": _CHECKS},
    also={
        503: (ReadyView, {"status": "unavailable", "checks": {**_CHECKS, "nats": "unavailable"}})
    },
)
METRICS = Operation(
    id="getMetrics",
    tag="Service",
    summary="Prometheus metrics",
    description="For addresses that the settings name, by default this machine's own.",
    media="text/plain",
    example="http_requests_total 1.0",
    limited=False,
    codes=("forbidden",),
)


@get("/health", opt={"operation": HEALTH})
async def health(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer that the process lives."""
    view = HealthView(
        status="ok",
        timestamp=iso(datetime.now(UTC)),
        correlation_id=ids_of(request.scope).correlation_id,
    )
    return answer(view)


@get("/ready", opt={"operation": READY})
async def ready(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Ask every engine now; 503 while one is away."""
    checks = await deps_of(request).readiness.checks()
    serving = checks.postgres and checks.nats
    view = ReadyView(
        status="ok" if serving else "unavailable",
        checks=ChecksView(
            postgres="ok" if checks.postgres else "unavailable",
            nats="ok" if checks.nats else "unavailable",
            projections=dict(checks.projections),
            stopped=list(checks.stopped) or UNSET,
            paused=list(checks.paused) or UNSET,
            outdated=list(checks.outdated) or UNSET,
        ),
    )
    return answer(view) if serving else answer(view, status=503)


@get("/metrics", opt={"operation": METRICS})
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the counters, and what waits in the whole installation."""
    if not _may_read_metrics(request):
        raise Refused("forbidden")
    await deps_of(request).readiness.measure()
    return Response(exposition(), media_type=_TEXT_FORMAT)


def _may_read_metrics(request: Request[Any, Any, Any]) -> bool:
    """Whether the peer itself is allowed; what a proxy passes on is not from the peer."""
    if request.client is None or "x-forwarded-for" in request.headers:
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return any(address in network for network in deps_of(request).metrics_from)


ROUTES = (health, ready, metrics)
