"""The verifier that auditors copy, against the notes of golang.org/x/mod/sumdb/note and C2SP."""

import pytest

from adapters.notes import Signer, Verifier
from replay.verify_export import Head, head_of, is_signed, parse_key, signed_by

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
BY_PETER = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngo"
    "tpRZb6KE6RyyBwJnAM="
)
BY_ENOCH = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWL"
    "ox33WWd1RvMc+QQ="
)
LOG = "example.com/behind-the-sofa"
CHECKPOINT = f"{LOG}\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_a_signature_of_the_reference_is_its_keys_and_of_its_text_only() -> None:
    for key, line, other in ((PETER, BY_PETER, BY_ENOCH), (ENOCH, BY_ENOCH, BY_PETER)):
        assert is_signed(TEXT, line, parse_key(key))
        assert not is_signed(TEXT, other, parse_key(key))
        assert not is_signed(TEXT.replace("don't", "do"), line, parse_key(key))
        assert not is_signed(TEXT, f"{line[:60]}ABCD{line[60:]}", parse_key(key))


@pytest.mark.parametrize(
    "key",
    [
        "",
        PETER[:-4],
        PETER.replace("c74f", "c74e"),
        PETER.replace("Peter", "Piter"),
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_another_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"C2SP|unpack"):
        parse_key(key)


def test_a_checkpoint_counts_when_the_log_itself_signed_it_beside_whomever() -> None:
    log, witness = Signer(LOG, bytes(32)), Signer("witness.example", b"\1" * 32)
    key = parse_key(str(log.verifier))
    by_log = log.sign(CHECKPOINT)
    by_both = f"{by_log}{witness.sign(CHECKPOINT).rpartition(chr(10) * 2)[2]}"
    by_witness = witness.sign(CHECKPOINT)
    assert head_of(by_both)[:2] == Head(LOG, 20852163, b"")[:2]
    assert signed_by(by_log, [key])
    assert signed_by(by_both, [key])
    assert not signed_by(by_witness, [key, parse_key(str(witness.verifier))])
    assert not signed_by(by_both.replace("20852163", "20852164"), [key])
    assert not signed_by(by_log, [parse_key(str(Verifier(LOG, witness.verifier.public)))])
