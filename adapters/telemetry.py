"""Logs as JSON lines on stderr, and traces: configured once for a process, here."""

import json
import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from adapters.settings import Settings

_CHATTY: Final = ("httpx", "httpcore", "nats", "asyncio", "uvicorn")
"""Libraries whose own news below a warning is nobody's concern."""


def configure_logging(level: str, service: str, *, lasting: bool = True) -> None:
    """Send every log line, structlog's and the standard library's, to stderr as one JSON object.

    Args:
        level: debug, info, warning or error; what is below is dropped.
        service: stands in every line.
        lasting: this is how the process logs to its end, so loggers may keep it.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _service(service),
        _span_ids,
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(serializer=_as_json)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=lasting,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _service(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


def _span_ids(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of the current span, where there is one."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format_trace_id(context.trace_id)
        event["span_id"] = format_span_id(context.span_id)
    return event


_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


def _as_json(event: MutableMapping[str, Any], **_: Any) -> str:
    """Write an event on one line; what JSON does not know is written as text."""
    try:
        return _encode(event).decode()
    except (TypeError, ValueError):  # half a surrogate pair, a key that is no text
        return json.dumps(event, default=str, ensure_ascii=False, skipkeys=True)


def configure_tracing(settings: Settings, service: str) -> Callable[[], None]:
    """Sample traces as the caller or the ratio decides; return what writes out the last spans.

    May be called once in a process.
    """
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - verbs that only log need none
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.sampling import (  # noqa: PLC0415 - as above
        ParentBased,
        TraceIdRatioBased,
    )

    from adapters.span_file import FileSpanExporter  # noqa: PLC0415 - as above

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
        resource=Resource({"service.name": service}),
        shutdown_on_exit=False,
    )
    if settings.trace_file is not None:
        provider.add_span_processor(BatchSpanProcessor(FileSpanExporter(settings.trace_file)))
    trace.set_tracer_provider(provider)
    return provider.shutdown
