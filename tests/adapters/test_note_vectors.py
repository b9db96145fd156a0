"""Signed notes and checkpoints against RFC 8032, golang.org/x/mod/sumdb/note and C2SP."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.notes import SIGNATURES_MAX, NoteError, Signer, Verifier, open_note
from domain.checkpoint import Checkpoint

# RFC 8032, 7.1: TEST 1 to 3, TEST SHA(abc): secret key, public key; message and signature where
# the message is text.
KEYS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
    ),
]
SIGNED = [
    (
        KEYS[0][1],
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
            "c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        KEYS[1][1],
        "r",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e"
            "458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]

# golang.org/x/mod/sumdb/note: note_test.go.
PETER = Verifier.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
ENOCH = Verifier.parse("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
SECRET = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
BY_PETER = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngo"
    "tpRZb6KE6RyyBwJnAM=\n"
)
BY_ENOCH = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWL"
    "ox33WWd1RvMc+QQ=\n"
)
WIDE = "Bad\u2003Name"
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(("seed", "public"), KEYS)
def test_a_seed_has_the_public_key_of_rfc_8032(seed: str, public: str) -> None:
    assert Signer("log", bytes.fromhex(seed)).verifier.public.hex() == public


@pytest.mark.parametrize(("public", "text", "signature"), SIGNED)
def test_a_signature_of_rfc_8032_is_accepted_and_no_other(
    public: str, text: str, signature: str
) -> None:
    verifier, raw = Verifier("log", bytes.fromhex(public)), bytes.fromhex(signature)
    assert verifier.accepts(text, raw)
    assert not verifier.accepts(f"{text}\n", raw)
    assert not verifier.accepts(text, raw[:-1])
    # RFC 8032, 5.1.7: S has to be below the order L, or everybody could make a second signature.
    order = 2**252 + 27742317777372353535851937790883648493
    again = (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    assert not verifier.accepts(text, raw[:32] + again)


def test_a_note_is_signed_as_the_reference_signs_it() -> None:
    signer = Signer("PeterNeumann", base64.b64decode(SECRET)[1:])
    assert signer.verifier == PETER
    assert signer.sign(TEXT) == f"{TEXT}\n{BY_PETER}"


def test_only_known_keys_count_and_each_once() -> None:
    both = f"{TEXT}\n{BY_PETER}{BY_ENOCH}"
    assert open_note(both, [PETER]).signed_by == (PETER,)
    assert open_note(both, [PETER, ENOCH]).signed_by == (PETER, ENOCH)
    assert open_note(both, []).signed_by == ()
    damaged = f"{BY_ENOCH[:60]}ABCD{BY_ENOCH[60:]}"
    often = f"{TEXT}\n{BY_PETER * 2}{BY_ENOCH * 2}{damaged}"
    opened = open_note(often, [PETER])
    assert (opened.text, opened.signed_by) == (TEXT, (PETER,))
    many = f"{TEXT}\n{BY_PETER}{BY_ENOCH * 15}"
    assert open_note(many, [PETER]).signed_by == (PETER,)


def test_a_name_with_another_keys_id_is_another_key() -> None:
    misnamed = BY_PETER.replace("PeterNeumann", "CarmenSandiego")
    renumbered = BY_PETER.replace("x08g", "xxxx")
    for line in (misnamed, renumbered):
        assert open_note(f"{TEXT}\n{line}", [PETER]).signed_by == ()


@pytest.mark.parametrize(
    "note",
    [
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}\n{BY_PETER[:-1]}",
        f"\x01{TEXT}\n{BY_PETER}",
        f"a\tb\n{TEXT}\n{BY_PETER}",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann', 'Bad Name')}",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann', WIDE)}",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann', 'a+b')}",
        f"{TEXT}\n{BY_PETER.replace('PeterNeumann ', '')}",
        f"{TEXT}\n{BY_PETER}Unexpected line.\n",
        f"{TEXT}\n{BY_PETER.replace('— ', '- ')}",
        f"{TEXT}\n{BY_PETER[:60]}ABCD{BY_PETER[60:]}",
        f"{TEXT}\n{BY_PETER * (SIGNATURES_MAX + 1)}",
    ],
)
def test_what_the_reference_does_not_open_is_not_opened(note: str) -> None:
    with pytest.raises(NoteError):
        open_note(note, [PETER])


def test_no_part_of_a_key_is_one_and_none_with_a_character_changed() -> None:
    key = str(PETER)
    for first in range(len(key)):
        for last in range(first + 1, len(key) + 1):
            if (first, last) != (0, len(key)):
                with pytest.raises(NoteError):
                    Verifier.parse(key[first:last])
    for place, char in enumerate(key):
        with pytest.raises(NoteError):
            Verifier.parse(f"{key[:place]}{chr(ord(char) + 1)}{key[place + 1 :]}")


@pytest.mark.parametrize(
    "key",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        str(Verifier("a b", PETER.public)),
        str(Verifier("a\u00a0b", PETER.public)),
        str(Verifier("", PETER.public)),
    ],
)
def test_a_key_of_another_length_kind_or_name_is_refused(key: str) -> None:
    with pytest.raises(NoteError):
        Verifier.parse(key)


def test_the_example_of_tlog_checkpoint_is_read() -> None:
    note = (
        f"example.com/behind-the-sofa\n20852163\n{ROOT}\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
        "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    found = Checkpoint.parse(open_note(note, []).text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.text() == note.split("\n\n", maxsplit=1)[0] + "\n"


@pytest.mark.parametrize("more", ["Here's some associated data.\n", "lots\nof\nlines\n"])
def test_a_checkpoint_may_have_extension_lines(more: str) -> None:
    """transparency-dev/formats: log/checkpoint_test.go."""
    found = Checkpoint.parse(f"Log\n9944\n{ROOT}\n{more}")
    assert (found.origin, found.size) == ("Log", 9944)


@pytest.mark.parametrize(
    "text",
    [
        "Head\n9944\n",
        f"\n9944\n{ROOT}\n",
        f"Log\n123\n{ROOT}",
        f"Log\nbananas\n{ROOT}\n",
        f"Log\n-34\n{ROOT}\n",
        f"Log\n3438945738945739845734895735\n{ROOT}\n",
        "Log\n123\nThisIsn'tBase64\n",
        f"Log\n00\n{ROOT}\n",
        f"Log\n0123\n{ROOT}\n",
        f"Log\n+1\n{ROOT}\n",
        f"Log\n\u0661\n{ROOT}\n",
        f"Log\n{2**64}\n{ROOT}\n",
        f"Log\n1\n{ROOT[:-1]}\n",
        f"Log\n9944\n{ROOT}\n\n",
        f"Log\n9944\n{ROOT}\nmore\n\nmore\n",
    ],
)
def test_no_other_text_is_a_checkpoint(text: str) -> None:
    """transparency-dev/formats; empty extension lines, which it takes, are refused by C2SP."""
    with pytest.raises(ValueError, match="checkpoint"):
        Checkpoint.parse(text)


def test_the_empty_and_the_largest_tree_have_checkpoints() -> None:
    for size in (0, 2**64 - 1):
        assert Checkpoint.parse(f"Log\n{size}\n{ROOT}\n").size == size


@given(st.text())
def test_any_text_is_a_note_or_refused(text: str) -> None:
    for note in (text, f"{text}\n\n{BY_PETER}", f"{TEXT}\n{text}"):
        try:
            opened = open_note(note, [PETER])
        except NoteError:
            continue
        assert opened.signed_by == () or opened.text == TEXT
