"""The tree against the vectors of Certificate Transparency and against RFC 9162's own recursion."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import merkle

# google/certificate-transparency: merkletree/merkle_tree_test.cc
INPUTS = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
# (leaf, counted from 1; size; path) and (old size; new size; proof)
PATHS: list[tuple[int, int, list[str]]] = [
    (1, 1, []),
    (1, 8, [A, B, C]),
    (6, 8, [D, E, ROOTS[4]]),
    (3, 3, [ROOTS[2]]),
    (2, 5, [ROOTS[1], B, D]),
]
CONSISTENCY: list[tuple[int, int, list[str]]] = [
    (1, 1, []),
    (1, 8, [A, B, C]),
    (6, 8, [F, E, ROOTS[4]]),
    (2, 5, [B, D]),
]


def leaf_of(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


class Grown:
    """A tree that was made leaf by leaf; it remembers its complete subtrees."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.edge = merkle.Edge()
        self.kept: dict[merkle.Node, bytes] = {}
        self.roots = [self.edge.root()]
        for index, leaf in enumerate(leaves):
            for level, value in enumerate(self.edge.append(leaf)):
                self.kept[level, index >> level] = value
            self.roots.append(self.edge.root())

    def __call__(self, level: int, index: int) -> bytes:
        return self.kept[level, index]


VECTORS = [leaf_of(bytes.fromhex(text)) for text in INPUTS]


def test_roots_are_those_of_certificate_transparency() -> None:
    assert [root.hex() for root in Grown(VECTORS).roots] == ROOTS


@pytest.mark.parametrize(("leaf", "size", "path"), PATHS)
def test_paths_are_those_of_certificate_transparency(leaf: int, size: int, path: list[str]) -> None:
    proof = merkle.inclusion_proof(Grown(VECTORS), leaf - 1, size)
    assert [part.hex() for part in proof] == path


@pytest.mark.parametrize(("old", "new", "wanted"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(
    old: int, new: int, wanted: list[str]
) -> None:
    proof = merkle.consistency_proof(Grown(VECTORS), old, new)
    assert [part.hex() for part in proof] == wanted


trees = st.integers(1, 70).map(lambda n: [leaf_of(str(i).encode()) for i in range(n)])


@given(trees)
def test_every_head_is_that_of_the_recursion(leaves: list[bytes]) -> None:
    tree = Grown(leaves)
    for size in range(len(leaves) + 1):
        assert tree.roots[size] == merkle.root(tree, size) == mth(leaves[:size])
        assert merkle.Edge(size, tree).root() == tree.roots[size]


@given(trees, st.data())
def test_every_leaf_is_proven_and_nothing_else_is(leaves: list[bytes], data: st.DataObject) -> None:
    tree = Grown(leaves)
    size = data.draw(st.integers(1, len(leaves)))
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(tree, index, size)

    def holds(**other: object) -> bool:
        given = {"index": index, "size": size, "proof": proof, "root": tree.roots[size]}
        leaf = other.pop("leaf", leaves[index])
        return merkle.verify_inclusion(leaf, **{**given, **other})  # type: ignore[arg-type]

    assert holds()
    assert not holds(leaf=leaf_of(b"another"))
    assert not holds(root=leaf_of(b"another"))
    assert not holds(index=data.draw(st.integers(0, 80).filter(lambda i: i != index)))
    assert not holds(proof=[*proof, leaf_of(b"more")])
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not holds(proof=proof[:place] + proof[place + 1 :])
        assert not holds(proof=[*proof[:place], leaf_of(b"x"), *proof[place + 1 :]])


@given(trees, st.data())
def test_growth_is_proven_and_a_change_of_the_past_is_not(
    leaves: list[bytes], data: st.DataObject
) -> None:
    tree = Grown(leaves)
    new = data.draw(st.integers(1, len(leaves)))
    old = data.draw(st.integers(0, new))
    proof = merkle.consistency_proof(tree, old, new)

    def holds(old_root: bytes, new_root: bytes, proof: list[bytes]) -> bool:
        return merkle.verify_consistency(
            old=old, new=new, old_root=old_root, new_root=new_root, proof=proof
        )

    assert holds(tree.roots[old], tree.roots[new], proof)
    assert not holds(tree.roots[old], tree.roots[new], [*proof, leaf_of(b"more")])
    if not old:
        return
    place = data.draw(st.integers(0, old - 1))
    other = Grown([*leaves[:place], leaf_of(b"rewritten"), *leaves[place + 1 :]])
    forged = merkle.consistency_proof(other, old, new)
    assert not holds(tree.roots[old], other.roots[new], forged)
    assert not holds(tree.roots[old], other.roots[new], proof)


@given(st.integers(1, 2**40), st.data())
def test_a_proof_reads_few_nodes_of_a_large_tree(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    asked = merkle.needed(lambda nodes: merkle.inclusion_proof(nodes, index, size))
    grown = merkle.needed(lambda nodes: merkle.consistency_proof(nodes, index + 1, size))

    assert max(len(asked), len(grown)) <= 2 * size.bit_length()
    for level, at in (*asked, *grown):
        assert (at + 1) << level <= size, "only complete subtrees"


def test_what_cannot_be_is_refused() -> None:
    root = Grown(VECTORS).roots[3]
    for index, size in ((3, 3), (-1, 3), (0, 0)):
        assert not merkle.verify_inclusion(VECTORS[0], index=index, size=size, proof=[], root=root)
    for old, new in ((4, 3), (-1, 3), (3, 7), (2, 7)):
        assert not merkle.verify_consistency(
            old=old, new=new, old_root=root, new_root=root, proof=[]
        )
