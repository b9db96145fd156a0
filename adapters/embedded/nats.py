"""NATS 2.15 with JetStream on loopback: the wheel's binary, supervised by us."""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sysconfig
from pathlib import Path
from typing import Self

from adapters.embedded import folder
from adapters.embedded.process import (
    LOOPBACK,
    EmbeddedError,
    becomes_ready,
    end,
    failed,
    free_port,
    open_log,
    spawn,
    works_in,
)

USER = "loop"
LEFTOVER_S = 30
BIND_TRIES_MAX = 5
_BIND_FAILED = "address already in use"
_STANDARD_PORTS = (4222, 6222, 8222)

# Paths are relative to the folder: whatever its name is, nothing needs quoting.
_CONFIG = """\
listen: "{host}:{port}"
http: "{host}:{monitor}"
authorization {{ user: {user}, password: $LOOP_NATS_PASSWORD }}
jetstream {{ store_dir: "store", max_file_store: 4GB, max_memory_store: 64MB }}
"""


class EmbeddedNats:
    """A NATS server whose store, ports, password and log are in `data/nats`.

    It ends with us, also when we are killed. `start` must be called from the main thread (see
    `spawn`). One at a time per folder: a second one ends the first (`EmbeddedStack` refuses).
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._folder = data / "nats"
        self._log = self._folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._monitor_url = ""

    @property
    def pid(self) -> int | None:
        """The server's process id while it lives."""
        return self._process.pid if self._process and self.alive() else None

    @property
    def url(self) -> str:
        """The address for clients, password included; empty before the first start."""
        return self._url

    @property
    def monitor_url(self) -> str:
        """Where `/healthz`, `/varz` and `/jsz` are; empty before the first start."""
        return self._monitor_url

    def alive(self) -> bool:
        """Whether the server that we started runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the server, unless it runs, and give its URL.

        Starting again keeps the password, the streams if the store is still there, and the ports
        if they are free. What an earlier process of ours left running is stopped first.

        Raises:
            EmbeddedError: no binary, another thread than the main one, the folder stays in use,
                or the server does not become ready (last log lines).
        """
        if self.alive():
            return self._url
        binary = _binary()
        self._data = folder.private_folder(self._data)
        self._folder = folder.private_folder(self._data / "nats")
        self._log = self._folder / "nats.log"
        lock = folder.lock(self._data / "nats.lock", wait_s=LEFTOVER_S, held=self._leftover)
        log = open_log(self._log)
        try:
            password = folder.secret(self._folder / "password")
            port, monitor = self._serve(binary, password, log, lock)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(log)
            os.close(lock)
        self._url = f"nats://{USER}:{password}@{LOOPBACK}:{port}"
        self._monitor_url = f"http://{LOOPBACK}:{monitor}"
        return self._url

    def stop(self) -> None:
        """End the server, cleanly if it lets us (20 s), else killed."""
        if self._process is not None:
            end(self._process, (signal.SIGTERM, 20))
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _leftover(self) -> str:
        """Ask the server of an earlier run to stop; called while it lives."""
        pid = folder.read_int(self._folder / "pid")
        if pid is not None and works_in(pid, self._folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return f"a NATS server (pid {pid}) still uses {self._folder} after {LEFTOVER_S} s"

    def _serve(self, binary: Path, password: str, log: int, lock: int) -> tuple[int, int]:
        """Start the server, wait until JetStream is ready, give the client and monitor ports."""
        taken = [*_STANDARD_PORTS]
        for _ in range(BIND_TRIES_MAX):
            port = free_port(preferred=folder.read_int(self._folder / "port"), but=taken)
            kept = folder.read_int(self._folder / "monitor-port")
            monitor = free_port(preferred=kept, but=[*taken, port])
            config = _CONFIG.format(host=LOOPBACK, port=port, monitor=monitor, user=USER)
            folder.write_private(self._folder / "port", str(port))
            folder.write_private(self._folder / "monitor-port", str(monitor))
            folder.write_private(self._folder / "nats.conf", config)
            start = self._log.stat().st_size
            self._process = spawn(
                [binary, "-c", "nats.conf"],
                death_signal=signal.SIGTERM,
                output=log,
                cwd=self._folder,
                env={"LOOP_NATS_PASSWORD": password},
                keep=(lock,),
            )
            folder.write_private(self._folder / "pid", str(self._process.pid))
            if self._ready(self._process, monitor, start):
                return port, monitor
            taken += [port, monitor]
        raise failed("NATS found no port to listen on", self._log, 0)

    def _ready(self, process: subprocess.Popen[bytes], monitor: int, start: int) -> bool:
        """Wait for health; False if somebody took one of the ports meanwhile."""
        return becomes_ready(
            process,
            lambda: _healthy(monitor) and process.poll() is None,
            name="NATS",
            log=self._log,
            start=start,
            port_taken=_BIND_FAILED,
        )


def _healthy(monitor: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, monitor, timeout=2)
    try:
        connection.request("GET", "/healthz?js-enabled-only=true")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _binary() -> Path:
    """Find `nats-server` in the virtual environment, else on the PATH."""
    ours = Path(sysconfig.get_path("scripts"), "nats-server")
    found = ours if ours.is_file() else shutil.which("nats-server")
    if found is None:
        raise EmbeddedError("no nats-server: set LOOP_NATS_URL to a server of your own")
    return Path(found)
