"""Witnesses: where signed checkpoints are kept out of our own power, and read back from."""

import asyncio
import os
from pathlib import Path
from typing import Final, Protocol

import httpx

from adapters.notes import split_notes

TIMEOUT_S: Final = 10.0
NOTES_BYTES_MAX: Final = 256 * 1024**2


class WitnessError(Exception):
    """A witness could not be told or read; the message says why."""


class Witness(Protocol):
    """One that keeps checkpoints."""

    async def tell(self, notes: list[str]) -> None:
        """Hand over signed notes, oldest first; those that it has already do no harm.

        Raises:
            WitnessError: it may have taken some of them, or none.
        """
        ...


class FileWitness:
    """Appends to a file, best on a disk or share that the database's owner cannot write to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def tell(self, notes: list[str]) -> None:
        """See `Witness.tell`; the notes are on the disk when it returns."""
        try:
            await asyncio.to_thread(self._append, "".join(f"{note}\n" for note in notes))
        except OSError as error:
            raise WitnessError(f"{self._path}: {error.strerror}") from error

    def _append(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


class HttpWitness:
    """Sends each note as the body of one POST; any 2xx means that it is kept."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def tell(self, notes: list[str]) -> None:
        """See `Witness.tell`."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            for note in notes:
                try:
                    answer = await client.post(
                        self._url,
                        content=note.encode(),
                        headers={"Content-Type": "text/plain; charset=utf-8"},
                    )
                except httpx.HTTPError as error:
                    raise WitnessError(type(error).__name__) from error
                if not answer.is_success:
                    raise WitnessError(f"it answered {answer.status_code}")


def witness_at(where: str) -> Witness:
    """Return the witness that `LOOP_WITNESS` names."""
    return HttpWitness(where) if "://" in where else FileWitness(Path(where))


def read_notes(where: str) -> list[str]:
    """Return the signed notes that a witness has, in its order.

    Raises:
        WitnessError: it cannot be read.
    """
    return list(split_notes(_fetched(where) if "://" in where else _read(Path(where))))


def _fetched(url: str) -> str:
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=True)
    except httpx.HTTPError as error:
        raise WitnessError(f"the witness cannot be reached: {type(error).__name__}") from error
    if not answer.is_success:
        raise WitnessError(f"the witness answered {answer.status_code}")
    return answer.text


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > NOTES_BYTES_MAX:
            raise WitnessError(f"{path} is larger than {NOTES_BYTES_MAX} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WitnessError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WitnessError(f"{path} is no text") from error
