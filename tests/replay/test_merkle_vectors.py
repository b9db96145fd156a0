"""Both verifiers of proofs against the vectors of transparency-dev/merkle, true and corrupted.

The corruptions are those of its proof/verify_test.go and of the files under its testdata.
"""

import hashlib
from collections.abc import Callable, Iterator

import pytest

from domain import merkle
from replay import verify_export
from replay.verify_export import Head

SOME = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")
EMPTY = hashlib.sha256(b"").digest()

LEAVES = [
    hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest()
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                 "606162636465666768696a6b6c6d6e6f")
]  # fmt: skip
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
A = bytes.fromhex("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7")
B = bytes.fromhex("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e")
C = bytes.fromhex("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")
D = bytes.fromhex("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")
E = bytes.fromhex("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0")
F = bytes.fromhex("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a")
G = bytes.fromhex("b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f")

INCLUSIONS: list[tuple[int, int, list[bytes]]] = [
    (0, 1, []),
    (0, 8, [A, B, C]),
    (5, 8, [D, E, ROOTS[3]]),
    (2, 3, [ROOTS[1]]),
    (1, 5, [ROOTS[0], B, D]),
]
CONSISTENCIES: list[tuple[int, int, list[bytes]]] = [
    (1, 1, []),
    (1, 8, [A, B, C]),
    (6, 8, [F, E, ROOTS[3]]),
    (2, 5, [B, D]),
    (6, 7, [F, G, ROOTS[3]]),
]

Included = Callable[[bytes, int, int, list[bytes], bytes], bool]
Grown = Callable[[int, int, bytes, bytes, list[bytes]], bool]


def ours_included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    return merkle.verify_inclusion(leaf, index=index, size=size, proof=proof, root=root)


def theirs_included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """As the exported file's verifier asks: it looks itself that the event is within the tree."""
    within = 0 <= index < size
    return within and root == verify_export.root_of_path(leaf, index, size, proof)


def ours_grown(old: int, new: int, first: bytes, second: bytes, proof: list[bytes]) -> bool:
    return merkle.verify_consistency(old=old, new=new, old_root=first, new_root=second, proof=proof)


def theirs_grown(old: int, new: int, first: bytes, second: bytes, proof: list[bytes]) -> bool:
    return verify_export.is_grown(Head("log", old, first), Head("log", new, second), proof)


def flipped(proof: list[bytes], bit: int) -> Iterator[list[bytes]]:
    for place, part in enumerate(proof):
        yield [*proof[:place], bytes([part[0] ^ bit, *part[1:]]), *proof[place + 1 :]]


@pytest.mark.parametrize("included", [ours_included, theirs_included])
@pytest.mark.parametrize(("index", "size", "proof"), INCLUSIONS)
def test_a_path_is_believed_as_it_was_published_and_not_otherwise(
    included: Included, index: int, size: int, proof: list[bytes]
) -> None:
    leaf, root = LEAVES[index], ROOTS[size - 1]
    assert included(leaf, index, size, proof, root)
    corrupted = [
        *((leaf, other, size, proof, root) for other in (index - 1, index + 1, index ^ 2)),
        *((leaf, index, other, proof, root) for other in (size * 2, size // 2)),
        (b"WrongLeaf", index, size, proof, root),
        *((leaf, index, size, proof, other) for other in (EMPTY, SOME, b"")),
        *((leaf, index, size, [*proof, more], root) for more in (b"", root)),
        *((leaf, index, size, [more, *proof], root) for more in (b"", root)),
        *((leaf, index, size, other, root) for other in flipped(proof, 8)),
    ]
    if proof:
        corrupted.append((leaf, index, size, proof[:-1], root))
    if len(proof) > 1:
        corrupted.append((leaf, index, size, [proof[0], SOME, *proof[1:]], root))
    assert [one for one in corrupted if included(*one)] == []


@pytest.mark.parametrize("included", [ours_included, theirs_included])
@pytest.mark.parametrize(("index", "size"), [(0, 0), (0, 1), (1, 0), (2, 1)])
def test_nothing_is_in_a_tree_by_an_empty_path_alone(
    included: Included, index: int, size: int
) -> None:
    for leaf, root in ((SOME, b""), (b"", EMPTY), (SOME, EMPTY)):
        assert not included(leaf, index, size, [], root)


@pytest.mark.parametrize("grown", [ours_grown, theirs_grown])
@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCIES)
def test_growth_is_believed_as_it_was_published_and_not_otherwise(
    grown: Grown, old: int, new: int, proof: list[bytes]
) -> None:
    first, second = ROOTS[old - 1], ROOTS[new - 1]
    assert grown(old, new, first, second, proof)
    corrupted = [
        (old, new, b"WrongRoot", second, proof),
        (old, new, first, b"WrongRoot", proof),
        *((old, new, first, second, [*proof, more]) for more in (b"", first, second)),
        *((old, new, first, second, [more, *proof]) for more in (b"", first, second)),
    ]
    if proof:
        corrupted += [
            *((other, new, first, second, proof) for other in (old - 1, old + 1, old ^ 2)),
            *((old, other, first, second, proof) for other in (new * 2, new // 2)),
            (old, new, second, first, proof),
            *(
                (old, new, first, second, other)
                for other in (proof[:0], proof[:-1], proof[:1] + proof)
            ),
            *((old, new, first, second, other) for other in flipped(proof, 16)),
        ]
    assert [one for one in corrupted if grown(*one)] == []


@pytest.mark.parametrize("grown", [ours_grown, theirs_grown])
@pytest.mark.parametrize(
    ("old", "new", "first", "second", "proof"),
    [
        (1, 1, SOME, EMPTY, []),
        (1, 0, SOME, SOME, []),
        (2, 1, SOME, SOME, []),
        (1, 2, SOME, SOME, []),
        (0, 0, EMPTY, EMPTY, [EMPTY]),
        (0, 1, EMPTY, EMPTY, [EMPTY]),
        (1, 1, EMPTY, EMPTY, [EMPTY]),
    ],
)
def test_what_was_never_consistent_is_not(
    grown: Grown, old: int, new: int, first: bytes, second: bytes, proof: list[bytes]
) -> None:
    assert not grown(old, new, first, second, proof)
