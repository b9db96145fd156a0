"""Finished spans as JSON lines in a file, for those who run no collector."""

from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from typing_extensions import override


class FileSpanExporter(SpanExporter):
    """Appends finished spans to a file, one JSON object a line; several processes may share it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans in one piece, so that lines of several processes do not mix."""
        lines = "".join(f"{span.to_json(indent=None)}\n" for span in spans)
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(lines.encode())
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS
