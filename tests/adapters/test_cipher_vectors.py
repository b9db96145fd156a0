"""The vault's boxes and the passwords' hashes against the vectors of their references."""

import re

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from adapters.passwords import Passwords
from adapters.vault import MasterKeyError, MasterKeys

# McGrew and Viega, The Galois/Counter Mode of Operation: test cases 13 to 15 (AES-256, no
# associated data): key, nonce, plain text, cipher text, tag.
GCM = [
    ("00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    (
        "00" * 32,
        "00" * 12,
        "00" * 16,
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
    (
        "feffe9928665731c6d6a8f9467308308" * 2,
        "cafebabefacedbaddecaf888",
        (
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
        ),
        (
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
        ),
        "b094dac5d93471bdec1a502270e3cc6c",
    ),
]
# P-H-C/phc-winner-argon2: src/test.c, argon2id of version 19.
ARGON2ID = [
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
]


@pytest.mark.parametrize(("key", "nonce", "plain", "cipher", "tag"), GCM)
def test_a_published_box_opens_and_with_one_bit_changed_it_does_not(
    key: str, nonce: str, plain: str, cipher: str, tag: str
) -> None:
    keys, box = MasterKeys(f"k1:{key}"), bytes.fromhex(nonce + cipher + tag)
    assert keys.unwrap(b"k1:" + box, "") == bytes.fromhex(plain)
    changed = [
        box[: bit // 8] + bytes([box[bit // 8] ^ 1 << bit % 8]) + box[bit // 8 + 1 :]
        for bit in range(8 * len(box))
    ]
    shortened = [box[:length] for length in range(len(box))]
    for other in (*changed, *shortened, box + b"\0"):
        with pytest.raises(MasterKeyError):
            keys.unwrap(b"k1:" + other, "")
    with pytest.raises(MasterKeyError):
        keys.unwrap(b"k1:" + box, "elsewhere")


def test_every_box_has_a_nonce_of_96_bits_and_a_tag_of_128_of_its_own() -> None:
    keys = MasterKeys(f"k1:{'5a' * 32}")
    boxes = [keys.wrap(b"the same", "here") for _ in range(1000)]
    assert {len(box) for box in boxes} == {len(b"k1:") + 12 + len(b"the same") + 16}
    assert len({box[3:15] for box in boxes}) == len(boxes)


@pytest.mark.parametrize("encoded", ARGON2ID)
async def test_a_hash_of_the_reference_fits_its_password(encoded: str) -> None:
    passwords = Passwords()
    assert await passwords.fits(encoded, "password")
    assert not await passwords.fits(encoded, "Password")
    assert not await passwords.fits(f"{encoded[:-1]}A", "password")
    passwords.close()


async def test_a_password_is_kept_as_owasp_asks_in_the_phc_form() -> None:
    """OWASP, Password Storage: argon2id with 19 MiB, 2 passes, 1 lane; RFC 9106 salts with 16."""
    passwords = Passwords()
    first, second = [await passwords.hashed("correct horse") for _ in range(2)]
    passwords.close()
    assert re.fullmatch(
        r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}", first
    )
    assert first != second
    found = extract_parameters(first)
    assert (found.type, found.salt_len, found.hash_len) == (Type.ID, 16, 32)


@pytest.mark.parametrize("kept", ["", "x", "$argon2id$", "$argon2id$v=19$m=256,t=2,p=1$c29t$"])
async def test_what_is_no_hash_fits_nothing(kept: str) -> None:
    passwords = Passwords()
    assert not await passwords.fits(kept, "password")
    assert not await passwords.fits(kept, kept)
    passwords.close()
