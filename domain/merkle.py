"""The RFC 6962/9162 Merkle tree: heads, inclusion and consistency proofs, and their verification.

Hashes are 32 bytes of SHA-256. A node is named by its level (0 for leaves) and its index in that
level from the left; node (level, index) covers the leaves from index * 2**level on. Only complete
subtrees have names: everything else is computed from at most one of them per level.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Node: TypeAlias = tuple[int, int]
Nodes: TypeAlias = Callable[[int, int], bytes]
"""Gives the hash of a complete subtree by level and index."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Edge:
    """The right edge of a tree that grows: the complete subtrees that its size is the sum of.

    Attributes:
        size: how many leaves it has.
    """

    def __init__(self, size: int = 0, nodes: Nodes | None = None) -> None:
        """Begin with the tree of `size` leaves, whose subtrees `nodes` gives."""
        self.size = size
        self._peaks: list[bytes] = []
        for level, index in subtrees(size):
            assert nodes is not None, "a tree that has leaves has nodes"
            self._peaks.append(nodes(level, index))

    def append(self, leaf: bytes) -> list[bytes]:
        """Add a leaf; return the complete subtrees that end with it, by level from the leaf on."""
        ended = [leaf]
        self.size += 1
        for _ in range(levels_ended(self.size)):
            ended.append(node_hash(self._peaks.pop(), ended[-1]))
        self._peaks.append(ended[-1])
        return ended

    def root(self) -> bytes:
        """Return the head of the tree as it is now."""
        return _joined(self._peaks)


def levels_ended(size: int) -> int:
    """Return how many inner nodes become complete with the leaf that makes a tree this size."""
    return (size & -size).bit_length() - 1


def subtrees(size: int) -> list[Node]:
    """Return the complete subtrees that cover a tree, from the left: one per bit of its size."""
    return _cover(0, size)


def _cover(begin: int, end: int) -> list[Node]:
    """Return the subtrees of leaves `begin` to `end`, where `begin` is a place such a range has."""
    found: list[Node] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        assert begin % (1 << level) == 0, "the range begins where a subtree of its size does"
        found.append((level, begin >> level))
        begin += 1 << level
    return found


def _joined(peaks: Sequence[bytes]) -> bytes:
    """Return the hash over subtrees that become smaller to the right."""
    if not peaks:
        return EMPTY_ROOT
    right = peaks[-1]
    for left in reversed(peaks[:-1]):
        right = node_hash(left, right)
    return right


def _range(nodes: Nodes, begin: int, end: int) -> bytes:
    return _joined([nodes(level, index) for level, index in _cover(begin, end)])


def root(nodes: Nodes, size: int) -> bytes:
    """Return the head of the tree of the first `size` leaves."""
    return _range(nodes, 0, size)


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` (from 0) in a tree of `size` leaves, leaf side first.

    RFC 9162, 2.1.3.1.
    """
    assert 0 <= index < size, "the leaf is in the tree"
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_range(nodes, middle, end))
            end = middle
        else:
            path.append(_range(nodes, begin, middle))
            begin = middle
    return path[::-1]


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """Return the proof that the first `old` of `new` leaves are the tree of size `old`.

    RFC 9162, 2.1.4.1; empty where the sizes are equal or `old` is 0.
    """
    assert 0 <= old <= new, "a tree grows"
    proof: list[bytes] = []
    begin, end = 0, new
    if old == 0:
        return proof
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            proof.append(_range(nodes, middle, end))
            end = middle
        else:
            proof.append(_range(nodes, begin, middle))
            begin = middle
    if begin:
        proof.append(_range(nodes, begin, end))
    return proof[::-1]


def _split(size: int) -> int:
    """Return the largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def needed(compute: Callable[[Nodes], object]) -> list[Node]:
    """Return the nodes that a computation asks for, so that they can be read at once."""
    asked: dict[Node, None] = {}

    def note(level: int, index: int) -> bytes:
        asked[level, index] = None
        return bytes(HASH_BYTES)

    compute(note)
    return list(asked)


def verify_inclusion(
    leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Tell whether a path proves that the leaf is the one at `index`; RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(part, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, part)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    *, old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether a proof shows that the old tree begins the new one; RFC 9162, 2.1.4.2."""
    if not 0 <= old <= new:
        return False
    if old in {0, new}:
        return not proof and old_root == (EMPTY_ROOT if old == 0 else new_root)
    parts = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not parts:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(part, first), node_hash(part, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, part)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
