"""C2SP signed notes: a text, an empty line, and Ed25519 signatures that name their keys."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519: Final = b"\x01"
_ID_BYTES: Final = 4
_KEY_BYTES: Final = 32
_DASH: Final = "— "
SIGNATURES_MAX: Final = 100


class NoteError(Exception):
    """A note, a key or a signature that is not what it should be; the message says which."""


@dataclass(frozen=True)
class Verifier:
    """A public key with the name that its signatures carry."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read the form `name+8 hex digits+base64` of C2SP.

        Raises:
            NoteError: it has another form, or the hash is not that of name and key.
        """
        parts = text.strip().split("+", 2)
        try:
            raw = base64.b64decode(parts[2], validate=True)
        except (IndexError, binascii.Error):
            raw = b""
        if raw[:1] != _ED25519 or len(raw) != 1 + _KEY_BYTES or not _is_name(parts[0]):
            raise NoteError("a key is written name+8 hex digits+base64 of an Ed25519 key")
        found = cls(parts[0], raw[1:])
        if found.key_id.hex() != parts[1]:
            raise NoteError(f"the key of {parts[0]} does not have the id {parts[1]}")
        return found

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that signatures name the key with."""
        named = self.name.encode() + b"\n" + _ED25519 + self.public
        return hashlib.sha256(named).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def accepts(self, text: str, signature: bytes) -> bool:
        """Tell whether the signature is of this text by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key with its name; `seed` is its 32 bytes."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.verifier.name}, ***)"

    def sign(self, text: str) -> str:
        """Return the note of a text that ends in a line break."""
        assert text.endswith("\n"), "a note's text ends in a line break"
        signed = self.verifier.key_id + self._key.sign(text.encode())
        return f"{text}\n{_DASH}{self.verifier.name} {base64.b64encode(signed).decode()}\n"


@dataclass(frozen=True)
class Opened:
    """A note whose signatures were looked at.

    Attributes:
        signed_by: the known keys that signed it, None of which failed.
    """

    text: str
    signed_by: tuple[Verifier, ...]


def open_note(note: str, verifiers: Iterable[Verifier]) -> Opened:
    """Read a note; signatures of unknown keys are left alone, as C2SP asks.

    Raises:
        NoteError: it is no note, or a signature that names a known key is not of that key.
    """
    text, middle, rest = note.rpartition("\n\n")
    lines = rest.split("\n")
    if not middle or lines.pop() or not 0 < len(lines) <= SIGNATURES_MAX:
        raise NoteError("a note has a text, an empty line and signatures")
    if any(char < " " and char != "\n" for char in note):
        raise NoteError("a note has no control characters")
    text += "\n"
    known = {(v.name, v.key_id): v for v in verifiers}
    signed: list[Verifier] = []
    for name, key_id, signature in map(_signature, lines):
        verifier = known.get((name, key_id))
        if verifier is None:
            continue
        if not verifier.accepts(text, signature):
            raise NoteError(f"a signature of the key {key_id.hex()} is not of this text")
        signed.append(verifier)
    return Opened(text, tuple(dict.fromkeys(signed)))


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raw = b""
    if not line.startswith(_DASH) or not _is_name(name) or len(raw) <= _ID_BYTES:
        raise NoteError("a signature's line is a dash, a name and base64")
    return name, raw[:_ID_BYTES], raw[_ID_BYTES:]


def _is_name(text: str) -> bool:
    return bool(text) and "+" not in text and not any(char.isspace() for char in text)


def split_notes(text: str) -> Iterator[str]:
    """Yield the notes of a file that they were appended to, one after the other."""
    lines: list[str] = []
    signed = False
    for line in text.splitlines(keepends=True):
        if signed and not line.startswith(_DASH):
            yield "".join(lines)
            lines.clear()
            signed = False
        if lines or line.strip():
            lines.append(line)
        signed = line.startswith(_DASH)
    if lines:
        yield "".join(lines)
