"""What happens around every request: ids, span, timing, headers, HEAD and OPTIONS, one log line."""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec
import structlog
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Histogram

from adapters.rate_limits import Limit, Taken
from domain.ids import new_id
from gateway.card_numbers import is_card_number

REQUESTS: Final = Counter("http_requests", "HTTP requests answered.", ("method", "route", "status"))
DURATION: Final = Histogram(
    "http_request_duration_seconds", "Time until the last byte.", ("method", "route")
)
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

_VISIBLE: Final = re.compile(rb"[!-~]{1,128}")
_QUIET: Final = frozenset({"/health", "/ready", "/metrics"})
_propagator: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer("loop.gateway")
log = structlog.get_logger("gateway")


class Ids(msgspec.Struct, frozen=True):
    """What ties a request to its traces.

    Attributes:
        correlation_id: the caller's or ours; on events, log lines, messages and webhooks.
        request_id: of this request alone.
        trace: W3C `traceparent` of the server's span, if the request is traced.
    """

    correlation_id: str
    request_id: str
    trace: str | None = None


def ids_of(scope: Any) -> Ids:
    """Return the ids of the request that a scope belongs to."""
    return scope["state"]["ids"]


class Edge:
    """The one ASGI layer around the framework.

    `allow` gives a path's methods, none if unknown; `preflight` leaves browsers' questions about
    other origins to the framework.
    """

    def __init__(
        self, app: ASGIApp, allow: Callable[[str], tuple[str, ...]], *, preflight: bool = False
    ) -> None:
        self.app = app
        self.allow = allow
        self._preflight = preflight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        given = _headers(scope)
        request_id = _accepted(given.get(b"x-request-id")) or new_id("req")
        correlation_id = _accepted(given.get(b"x-correlation-id")) or request_id
        parent = given.get(b"traceparent")
        context = _propagator.extract({"traceparent": parent.decode("latin-1")}) if parent else None
        span = _tracer.start_span(method, context, kind=SpanKind.SERVER)
        scope["state"]["ids"] = Ids(correlation_id, request_id, _traceparent(span))
        scope["state"]["head"] = method == "HEAD"
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id, request_id=request_id)
        inner: Scope = scope
        if method == "HEAD":
            inner = {**scope, "method": "GET"}
        answer = _Answer(scope, send, correlation_id, request_id, head=method == "HEAD")
        started = time.perf_counter()
        with trace.use_span(span):
            try:
                asks_first = self._preflight and method == "OPTIONS" and _is_preflight(scope)
                if (
                    not asks_first
                    and method == "OPTIONS"
                    and (allowed := self.allow(scope["path"]))
                ):
                    await _options(answer.send, allowed)
                else:
                    await self.app(inner, receive, answer.send)
            finally:
                seconds = time.perf_counter() - started
                route = str(inner.get("path_template") or "unmatched")
                _record(span, method, route, answer.status, seconds)


class _Answer:
    """Adds our headers to the answer and remembers its status; drops the body of a HEAD."""

    def __init__(
        self, scope: Scope, send: Send, correlation_id: str, request_id: str, *, head: bool
    ) -> None:
        self._scope = scope
        self._send = send
        self._head = head
        self.status = 0
        self.headers = [
            (b"x-correlation-id", correlation_id.encode()),
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            taken: Taken | None = self._scope["state"].get("taken")
            limit = [] if taken is None else _limit(taken)
            message["headers"] = [*message["headers"], *self.headers, *_no_store(message), *limit]
        elif self._head and message["type"] == "http.response.body":
            message["body"] = b""
        await self._send(message)


def _no_store(message: HTTPResponseStartEvent) -> list[tuple[bytes, bytes]]:
    if any(name == b"cache-control" for name, _ in message["headers"]):
        return []
    return [(b"cache-control", b"no-store")]


def _limit(taken: Taken) -> list[tuple[bytes, bytes]]:
    """Return what draft-ietf-httpapi-ratelimit-headers says of a limit.

    `t` is when one more request will be taken, where nothing is left.
    """
    text = f'"{taken.limit.name}";r={taken.left}'
    if not taken.left:
        text += f";t={taken.retry_after_s}"
    return [(b"ratelimit-policy", _policy(taken.limit)), (b"ratelimit", text.encode())]


@lru_cache(maxsize=16)
def _policy(limit: Limit) -> bytes:
    return f'"{limit.name}";q={limit.size};w={max(1, round(limit.size * limit.each_s))}'.encode()


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Return what is looked at here; of two traces none, as W3C asks."""
    wanted = (b"x-correlation-id", b"x-request-id", b"traceparent")
    given = [pair for pair in scope["headers"] if pair[0] in wanted]
    found = dict(given)
    if len(found) < len(given) and [name for name, _ in given].count(b"traceparent") > 1:
        del found[b"traceparent"]
    return found


def _accepted(given: bytes | None) -> str | None:
    """Return a caller's id if it is 1 to 128 visible ASCII characters and no card number."""
    if given is None or not _VISIBLE.fullmatch(given):
        return None
    text = given.decode("ascii")
    return None if is_card_number(text) else text


def _traceparent(span: trace.Span) -> str | None:
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _is_preflight(scope: Scope) -> bool:
    return {b"origin", b"access-control-request-method"} <= {name for name, _ in scope["headers"]}


async def _options(send: Send, allowed: tuple[str, ...]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 204,
            "headers": [(b"allow", ", ".join(allowed).encode())],
        }
    )
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _record(span: trace.Span, method: str, route: str, status: int, seconds: float) -> None:
    """Write metrics, span and log line; the path itself is in none of them, it holds ids."""
    REQUESTS.labels(method, route, str(status)).inc()
    DURATION.labels(method, route).observe(seconds)
    if span.is_recording():
        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
    span.end()
    write = log.debug if route in _QUIET else log.info
    write("request", method=method, route=route, status=status, ms=round(seconds * 1000, 2))
