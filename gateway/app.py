"""The application: every route, the error handlers, and the edge around them."""

import re
from collections.abc import Iterator
from typing import Final

from litestar import Litestar
from litestar.datastructures import State
from litestar.routes import HTTPRoute

from gateway.deps import Deps
from gateway.edge import Edge
from gateway.errors import HANDLERS
from gateway.openapi import document
from gateway.operation import Operation
from gateway.routes import (
    audit,
    checkout,
    customers,
    dashboard,
    health,
    ledger,
    orders,
    payments,
    refunds,
    sandbox,
    schema,
)

GROUPS: Final = (
    orders, payments, refunds, ledger, audit, dashboard, customers, checkout, sandbox, health,
    schema,
)  # fmt: skip
BODY_BYTES_MAX: Final = 256 * 1024


def create_app(deps: Deps) -> Litestar:
    """Return the HTTP application; nothing is opened, nothing is global."""
    app = Litestar(
        route_handlers=[handler for group in GROUPS for handler in group.ROUTES],
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_BYTES_MAX,
        state=State({"deps": deps}),
        openapi_config=None,
        logging_config=None,
    )
    methods = Methods(app)
    app.state.allow = methods.allow
    app.state.openapi = document(operations(app), server=deps.ports.public_url)
    app.asgi_handler = Edge(app.asgi_handler, methods.allow)
    return app


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
