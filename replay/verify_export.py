"""Verify an exported order offline: no database, no network, nothing of Loop.

Usage: python verify_export.py export.json [--key KEY]... [--witness FILE] [--json]

Needs Python 3.11 and `cryptography` alone, and shares no code with what made the export: copy it
and read it. It checks that the stored bytes have the hashes that are given, that the order's
versions have no gap, that every event is in the tree (RFC 9162) whose head is in the checkpoint,
and that the checkpoint is signed (C2SP signed note). What it cannot show is that the order has no
later events than those in the export.

KEY is what `loop audit key` prints, from somebody you trust. FILE has the checkpoints that a
witness kept (`LOOP_WITNESS`).

Exit codes: 0 verified, 1 tampered with, 2 not an export, 3 consistent, but nobody whom you trust
vouches for it (neither a key nor a witness was given), or the newest events are not signed yet.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "loop-order-proof/1"
VERIFIED, TAMPERED, UNREADABLE, CONSISTENT = range(4)


class Tampered(Exception):
    """What is wrong, in one sentence."""


class Head(NamedTuple):
    """What a checkpoint says."""

    origin: str
    size: int
    root: bytes


def leaf_hash(event: dict[str, Any], state: bytes) -> bytes:
    """Hash one row: integers as 8 bytes, texts and bytes behind their length."""
    parts = [b"\x00"]
    parts += [event[name].to_bytes(8, "big") for name in ("position", "recordedAtMicros")]
    stream_id, tag = event["streamId"].encode(), event["type"].encode()
    parts += [len(stream_id).to_bytes(8, "big"), stream_id, event["version"].to_bytes(8, "big")]
    parts += [len(tag).to_bytes(8, "big"), tag, len(state).to_bytes(8, "big"), state]
    return hashlib.sha256(b"".join(parts)).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Hash an inner node of the tree."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """Return the head that an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    place, last, found = index, size - 1, leaf
    for part in path:
        if last == 0:
            return None
        if place % 2 or place == last:
            found = node(part, found)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            found = node(found, part)
        place, last = place // 2, last // 2
    return found if last == 0 else None


def is_grown(old: Head, new: Head, path: list[bytes]) -> bool:
    """Tell whether a proof shows that one tree begins the other (RFC 9162, 2.1.4.2)."""
    if old.size == new.size:
        return old.root == new.root and not path
    if not 0 < old.size < new.size:
        return False
    if old.size & (old.size - 1) == 0:
        path = [old.root, *path]
    if not path:
        return False
    place, last = old.size - 1, new.size - 1
    while place % 2:
        place, last = place // 2, last // 2
    first = second = path[0]
    for part in path[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            first, second = node(part, first), node(part, second)
            while place % 2 == 0 and place:
                place, last = place // 2, last // 2
        else:
            second = node(second, part)
        place, last = place // 2, last // 2
    return last == 0 and first == old.root and second == new.root


def parse_key(text: str) -> tuple[str, bytes, bytes]:
    """Return name, 4-byte id and public key of `name+id+base64`."""
    name, key_id, encoded = text.strip().split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    named = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if raw[:1] != b"\x01" or named.hex() != key_id:
        raise ValueError(f"{text!r} is no Ed25519 key of C2SP")
    return name, named, raw[1:]


def head_of(note: str) -> Head:
    """Return what a note says, whoever signed it."""
    origin, size, root = note.split("\n")[:3]
    return Head(origin, int(size), base64.b64decode(root, validate=True))


def signed_by(note: str, keys: list[tuple[str, bytes, bytes]]) -> bool:
    """Tell whether one of the keys, by the name of the log, signed a note."""
    text, _, signatures = note.rpartition("\n\n")
    origin = note.split("\n", 1)[0]
    lines = signatures.splitlines()
    named = [key for key in keys if key[0] == origin]
    return any(is_signed(text + "\n", line, key) for line in lines for key in named)


def is_signed(text: str, line: str, key: tuple[str, bytes, bytes]) -> bool:
    """Tell whether a signature's line is by this key."""
    name, key_id, public = key
    prefix = f"\N{EM DASH} {name} "
    if not line.startswith(prefix):
        return False
    raw = base64.b64decode(line.removeprefix(prefix))
    if raw[:4] != key_id:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], text.encode())
    except InvalidSignature:
        return False
    return True


def check_events(export: dict[str, Any], head: Head) -> tuple[int, int]:
    """Check every event; return how many are proven, and how many are too new to be.

    Raises:
        Tampered: one is not what it is said to be.
    """
    proven, before = 0, 0
    for version, event in enumerate(export["events"], 1):
        place = f"event {event['position']}"
        if event["streamId"] != export["orderId"] or event["version"] != version:
            raise Tampered(f"{place} is not version {version} of {export['orderId']}")
        if event["position"] <= before:
            raise Tampered(f"{place} is not in order")
        before = event["position"]
        state = base64.b64decode(event["state"], validate=True)
        leaf = leaf_hash(event, state)
        if leaf.hex() != event["hash"]:
            raise Tampered(f"{place} does not have its hash")
        if event["proof"] is None:
            if event["position"] <= head.size:
                raise Tampered(f"{place} has no proof")
            continue
        path = [bytes.fromhex(part) for part in event["proof"]]
        if event["position"] > head.size or head.root != root_of_path(
            leaf, event["position"] - 1, head.size, path
        ):
            raise Tampered(f"{place} is not in the tree that was signed")
        proven += 1
    if not export["events"]:
        raise Tampered("there are no events")
    return proven, len(export["events"]) - proven


def notes_of(path: Path) -> Iterator[str]:
    """Yield the notes of a witness's file."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if lines and lines[-1].startswith("\N{EM DASH} ") and line[0] != "\N{EM DASH}":
            yield "".join(lines)
            lines.clear()
        if lines or line.strip():
            lines.append(line)
    if lines:
        yield "".join(lines)


def check_witness(
    export: dict[str, Any], head: Head, path: Path, keys: list[tuple[str, bytes, bytes]]
) -> int | None:
    """Return the size at which the witness agrees, None where nothing can be compared.

    Raises:
        Tampered: the witness was told of another history.
    """
    proofs = {entry["size"]: entry["proof"] for entry in export.get("consistency", [])}
    agreed = None
    for note in notes_of(path):
        told = head_of(note)
        if told.origin != head.origin or not (told.size == head.size or told.size in proofs):
            continue
        old, new = sorted((head, told), key=lambda h: h.size)
        if not is_grown(old, new, [bytes.fromhex(part) for part in proofs.get(told.size, [])]):
            raise Tampered(f"the witness has another history of {told.size} events")
        if signed_by(note, keys):
            agreed = max(agreed or 0, told.size)
    return agreed


def check_checkpoint(export: dict[str, Any], keys: list[tuple[str, bytes, bytes]]) -> Head:
    """Return the head that everything is proven against.

    Raises:
        Tampered: it is not signed, or not what its note says.
    """
    head = head_of(export["checkpoint"]["note"])
    if not signed_by(export["checkpoint"]["note"], keys):
        raise Tampered(f"no key of {head.origin} signed the checkpoint of {head.size} events")
    said = export["checkpoint"]
    if (said["origin"], said["size"], said["rootHash"]) != (*head[:2], head.root.hex()):
        raise Tampered("the checkpoint is not what its note says")
    return head


def verify(export: dict[str, Any], keys: list[str], witness: Path | None) -> dict[str, Any]:
    """Return what the export is worth: its verdict, and what that rests on."""
    if export.get("format") != FORMAT:
        raise ValueError(f"this verifier reads {FORMAT}")
    known = [parse_key(text) for text in keys or export["keys"]]
    report: dict[str, Any] = {"orderId": export["orderId"], "keyGiven": bool(keys)}
    try:
        head = check_checkpoint(export, known)
        proven, pending = check_events(export, head)
        agreed = check_witness(export, head, witness, known) if witness else None
    except Tampered as error:
        return {**report, "verdict": "tampered", "detail": str(error)}
    vouched = (bool(keys) or agreed is not None) and not pending
    return {
        **report,
        "verdict": "verified" if vouched else "consistent",
        "detail": f"{proven} events are in the log {head.origin} of {head.size} events",
        "checkpoint": head.size,
        "proven": proven,
        "notSignedYet": pending,
        "witnessed": agreed,
    }


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", type=Path)
    parser.add_argument("--key", action="append", default=[], metavar="KEY")
    parser.add_argument("--witness", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    try:
        export = json.loads(asked.export.read_text(encoding="utf-8"))
        report = verify(export, asked.key, asked.witness)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        sys.stderr.write(f"cannot be read: {type(error).__name__}: {error}\n")
        return UNREADABLE
    if asked.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in in_words(report)))
    return {"verified": VERIFIED, "tampered": TAMPERED, "consistent": CONSISTENT}[report["verdict"]]


def in_words(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    yield f"{report['verdict']}: {report['orderId']}: {report['detail']}"
    if report["verdict"] == "tampered":
        return
    if report["notSignedYet"]:
        yield f"  {report['notSignedYet']} events are newer than the checkpoint"
    if report["witnessed"]:
        yield f"  the witness agrees, up to event {report['witnessed']}"
    elif not report["keyGiven"]:
        yield "  signed with the key that the export itself names: give --key or --witness"


if __name__ == "__main__":
    sys.exit(main())
