import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SETUP = """
import logging, structlog
from adapters.telemetry import configure_logging
configure_logging({level!r}, "gateway")
log = structlog.get_logger("here")
"""
TRACED = """
import sys, structlog
from opentelemetry import trace
from adapters.settings import load_settings
from adapters.telemetry import configure_logging, configure_tracing
settings = load_settings({}, database_url="postgresql://x", nats_url="nats://x",
    master_keys="k:" + "5a" * 32, trace_ratio=sys.argv[1], trace_file=sys.argv[2])
configure_logging("info", "gateway")
flush = configure_tracing(settings, "gateway")
with trace.get_tracer("test").start_as_current_span("pay"):
    structlog.get_logger().info("inside")
flush()
"""


def lines(program: str, *arguments: str | Path) -> list[dict[str, Any]]:
    """Run a program and return what it wrote to stderr, each line as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_logs_of_both_kinds_are_json_with_service_and_context() -> None:
    program = SETUP.format(level="info") + (
        "structlog.contextvars.bind_contextvars(correlation_id='req_1')\n"
        "log.info('done', order_id='ord_1')\n"
        "logging.getLogger('library').warning('slow %s', 'disk')\n"
    )
    ours, theirs = lines(program)

    assert ours["event"] == "done"
    assert ours["order_id"] == "ord_1"
    assert theirs["event"] == "slow disk"
    assert theirs["logger"] == "library"
    for line, level in ((ours, "info"), (theirs, "warning")):
        assert line["service"] == "gateway"
        assert line["correlation_id"] == "req_1"
        assert line["level"] == level
        assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_dropped() -> None:
    program = SETUP.format(level="warning") + (
        "log.info('quiet'); logging.getLogger('x').info('quiet'); log.warning('loud')\n"
    )
    assert [line["event"] for line in lines(program)] == ["loud"]


def test_an_exception_is_one_line_with_its_traceback() -> None:
    program = SETUP.format(level="info") + (
        "try:\n    1 / 0\n"
        "except ZeroDivisionError:\n"
        "    log.exception('ours'); logging.getLogger('x').exception('theirs')\n"
    )
    ours, theirs = lines(program)

    for line in (ours, theirs):
        assert "ZeroDivisionError" in line["exception"]


def test_a_sampled_span_is_in_the_file_and_its_ids_in_the_log(tmp_path: Path) -> None:
    file = tmp_path / "traces" / "spans.jsonl"
    (logged,) = lines(TRACED, "1", file)
    lines(TRACED, "1", file)

    first, second = (json.loads(line) for line in file.read_text().splitlines())
    assert first["name"] == second["name"] == "pay"
    assert first["context"]["trace_id"] == f"0x{logged['trace_id']}"
    assert first["context"]["span_id"] == f"0x{logged['span_id']}"
    assert first["resource"]["attributes"]["service.name"] == "gateway"


def test_a_span_that_is_not_sampled_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    lines(TRACED, "0", file)
    assert not file.exists()
