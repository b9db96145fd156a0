"""The control plane of the running sandbox, as `loop up` and the verbs of `loop sandbox` ask it."""
# The supervisor imports it: nothing heavy.

import contextlib
import http.client
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec

FOLDER: Final = "sandbox-server"
NOTE: Final = "ready.json"
TIMEOUT_S: Final = 60.0


class Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a sandbox has left in its folder about itself."""

    url: str
    control_url: str
    token: str
    pid: int = 0

    def __repr__(self) -> str:
        return f"Told(url={self.url!r}, …)"


def told(data: Path) -> Told | None:
    """Return what the last sandbox over a data folder has told, None where there was none."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((data / FOLDER / NOTE).read_bytes(), type=Told)
    return None


class Control:
    """A sandbox that runs."""

    def __init__(self, where: Told) -> None:
        self.url = where.url
        self._control = where.control_url
        self._token = where.token

    @classmethod
    def of(cls, data: Path, *, wait_s: float = 0.0) -> "Control":
        """Return the sandbox over a data folder, waiting for one that is about to answer.

        Raises:
            click.ClickException: none runs.
        """
        deadline = time.monotonic() + wait_s
        while True:
            found = told(data)
            if found is not None and healthy(found.control_url):
                return cls(found)
            if time.monotonic() >= deadline:
                raise click.ClickException(
                    f"no sandbox runs over {data}: start `loop up` or `loop sandbox`"
                )
            time.sleep(0.02)

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """Return the answer of `METHOD /_sandbox/PATH`.

        Raises:
            click.ClickException: the sandbox says no, and why; or it has gone.
        """
        try:
            status, answer = _request(method, f"{self._control}/{path}", self._token, body)
        except (OSError, http.client.HTTPException) as error:
            raise click.ClickException(f"the sandbox does not answer: {error}") from None
        found = msgspec.json.decode(answer)
        if status != http.HTTPStatus.OK:
            said = str(found.get("error", status)).removeprefix("AskedError: ")
            raise click.ClickException(f"the sandbox says: {said}")
        return found


def healthy(control_url: str) -> bool:
    """Whether a sandbox answers there."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return _request("GET", f"{control_url}/health", "", {})[0] == http.HTTPStatus.OK
    return False


def _request(method: str, url: str, token: str, body: dict[str, Any]) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        connection.request(method, parts.path, msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
