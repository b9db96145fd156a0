"""What `/metrics` answers: one process, or all that share a folder of samples.

Under `loop up` the workers have no HTTP of their own: every process writes its samples to one
folder (`prometheus_client`'s multi-process mode), and any gateway answers for all of them.
"""

import os
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library's variable; it is read when the library is imported."""


def exposition() -> bytes:
    """Return the samples in the text format of Prometheus."""
    return generate_latest(_registry()) if os.environ.get(FOLDER) else generate_latest()


def serve_metrics(address: str) -> None:
    """Answer them over HTTP at `host:port`, in a thread, for as long as the process lives.

    Raises:
        OSError: the address is taken.
    """
    host, _, port = address.rpartition(":")
    if os.environ.get(FOLDER):
        start_http_server(int(port), host, _registry())
    else:
        start_http_server(int(port), host)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return registry
