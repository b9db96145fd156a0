"""The application: every route, the error handlers, and the edge around them."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any, Final

from litestar import Litestar, Request
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.routes import HTTPRoute

from gateway.deps import Deps
from gateway.edge import Edge
from gateway.errors import HANDLERS
from gateway.limits import anonymous
from gateway.openapi import document
from gateway.operation import Operation
from gateway.paths import refuse_other_spellings
from gateway.routes import (
    accounts,
    api_keys,
    audit,
    checkout,
    customers,
    dashboard,
    health,
    ledger,
    one_call,
    orders,
    payments,
    processors,
    refunds,
    routing_rules,
    sandbox,
    schema,
    sessions,
    stream,
    webhook_deliveries,
    webhook_endpoints,
    webhooks_in,
)

GROUPS: Final = (
    orders, payments, one_call, sessions, refunds, ledger, audit, dashboard, stream, accounts,
    api_keys, processors, routing_rules, customers, checkout, webhook_endpoints,
    webhook_deliveries, webhooks_in, sandbox, health, schema,
)  # fmt: skip
BODY_BYTES_MAX: Final = 256 * 1024
CORS_ASKED: Final = (
    "Authorization", "X-API-Key", "X-Loop-Mode", "Content-Type", "Idempotency-Key", "Prefer",
    "X-Correlation-ID", "X-Request-ID", "traceparent", "Last-Event-ID",
)  # fmt: skip
CORS_ANSWERED: Final = (
    "X-Correlation-ID", "X-Request-ID", "Idempotent-Replayed", "Retry-After", "RateLimit",
    "RateLimit-Policy",
)  # fmt: skip


def create_app(deps: Deps) -> Litestar:
    """Return the HTTP application; nothing is opened, nothing is global."""
    app = Litestar(
        route_handlers=[handler for group in GROUPS for handler in group.ROUTES],
        before_request=_before,
        cors_config=_cors(deps.cors_origins),
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_BYTES_MAX,
        state=State({"deps": deps, "stopping": asyncio.Event()}),
        openapi_config=None,
        logging_config=None,
    )
    methods = Methods(app)
    app.state.allow = methods.allow
    app.state.openapi = document(operations(app), server=deps.ports.public_url)
    app.asgi_handler = Edge(app.asgi_handler, methods.allow, preflight=bool(deps.cors_origins))
    return app


async def _before(request: Request[Any, Any, Any]) -> None:
    """Look at every request before its handler does."""
    refuse_other_spellings(request.scope)
    await anonymous(request)


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    """Let pages of these origins read answers; credentials are in headers, there are no cookies."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=list(CORS_ASKED),
        expose_headers=list(CORS_ANSWERED),
        max_age=600,
    )


def operations(app: Litestar) -> Iterator[tuple[str, str, Operation]]:
    """Yield method, path and operation of every route, in the order of `GROUPS`."""
    places = {path: n for n, group in enumerate(GROUPS) for h in group.ROUTES for path in h.paths}
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    assert len(routes) == len(app.routes), "only HTTP is served"
    for route in sorted(routes, key=lambda r: places.get(r.path, len(GROUPS))):
        for handler in route.route_handlers:
            for method in sorted(handler.http_methods - {"OPTIONS"}):
                yield method, route.path_format, handler.opt["operation"]


class Methods:
    """Which methods each path knows, with those that every route has."""

    def __init__(self, app: Litestar) -> None:
        found: dict[str, set[str]] = {}
        for method, path, _ in operations(app):
            found.setdefault(path, {"OPTIONS"}).add(method)
        self._paths: list[tuple[re.Pattern[str], tuple[str, ...]]] = []
        for path, methods in found.items():
            if "GET" in methods:
                methods.add("HEAD")
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
            self._paths.append((re.compile(f"{pattern}/?"), tuple(sorted(methods))))

    def allow(self, path: str) -> tuple[str, ...]:
        """Return the methods of a path, none where nothing is."""
        return next((m for pattern, m in self._paths if pattern.fullmatch(path)), ())
