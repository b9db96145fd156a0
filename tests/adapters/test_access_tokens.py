"""Access tokens against RFC 7515, RFC 7519 and what RFC 8725 warns of."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from adapters.access_tokens import LIFE_S, AccessTokens
from adapters.vault import MasterKeys
from domain.ids import new_id

MERCHANT, SESSION = new_id("mer"), new_id("ses")
# RFC 7519, 6.1 (unsecured) and 3.1, which is RFC 7515, A.1 (HS256), with the key of the latter.
UNSECURED = (
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"
    "LmNvbS9pc19yb290Ijp0cnVlfQ."
)
SIGNED = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
    "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
KEY = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture
def tokens() -> AccessTokens:
    return AccessTokens(MasterKeys(f"k1:{'5a' * 32}"))


def claims(**other: Any) -> dict[str, Any]:
    at = int(time.time())
    said = {
        "iss": "loop", "aud": "loop-api", "sub": MERCHANT, "sid": SESSION, "jti": new_id("tok"),
        "iat": at, "exp": at + LIFE_S,
    }  # fmt: skip
    return {**said, **other}


def made(tokens: AccessTokens, header: dict[str, Any] | None = None, **other: Any) -> str:
    return jwt.encode(claims(**other), tokens._key, algorithm="HS256", headers=header)


def test_what_was_signed_is_read(tokens: AccessTokens) -> None:
    for token in (tokens.signed(MERCHANT, SESSION), made(tokens)):
        found = tokens.read(token)
        assert found is not None
        assert (found.merchant_id, found.session_id) == (MERCHANT, SESSION)


def test_a_token_of_a_machine_whose_clock_runs_ahead_is_good_here(tokens: AccessTokens) -> None:
    assert tokens.read(tokens.signed(MERCHANT, SESSION, now=time.time() + 30)) is not None


def test_the_signature_is_that_of_the_rfc(tokens: AccessTokens) -> None:
    """Ours is computed as that of RFC 7515, A.1, and that token is not ours, whoever's key."""
    head, body, signature = SIGNED.split(".")
    raw = base64.urlsafe_b64decode(f"{KEY}==")
    assert jwt.get_algorithm_by_name("HS256").sign(f"{head}.{body}".encode(), raw) == (
        base64.urlsafe_b64decode(f"{signature}=")
    )
    tokens._key = raw
    assert tokens.read(SIGNED) is None
    head, body, signature = made(tokens).split(".")
    assert signature == b64(jwt.get_algorithm_by_name("HS256").sign(f"{head}.{body}".encode(), raw))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS384", "RS256", "ES256"])
def test_a_header_chooses_no_algorithm(tokens: AccessTokens, name: str) -> None:
    """RFC 8725, 2.1 and 3.1."""
    head, body, signature = made(tokens).split(".")
    other = b64(json.dumps({"alg": name, "typ": "JWT"}).encode())
    for token in (f"{other}.{body}.", f"{other}.{body}.{signature}", f"{head}.{body}.", UNSECURED):
        assert tokens.read(token) is None


def test_a_header_brings_no_key(tokens: AccessTokens) -> None:
    """RFC 8725, 3.10: `kid`, `jwk`, `jku`, `x5u`, `x5c` are the sender's own words."""
    theirs = b"their own key of 32 bytes or more"
    tricks: list[dict[str, Any]] = [
        {"kid": "../../../../dev/null"},
        {"kid": "' UNION SELECT 'their own key' -- "},
        {"jwk": {"kty": "oct", "k": b64(theirs)}},
        {"jku": "https://evil.example/keys.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["AAAA"]},
    ]
    for header in tricks:
        for key in (theirs, b"\0" * 32):
            token = jwt.encode(claims(), key, algorithm="HS256", headers=header)
            assert tokens.read(token) is None


def test_what_a_header_calls_critical_has_to_be_understood(tokens: AccessTokens) -> None:
    """RFC 7515, 4.1.11."""
    assert tokens.read(made(tokens, {"crit": ["exp-policy"], "exp-policy": 1})) is None


@pytest.mark.parametrize(
    "other",
    [
        {"exp": time.time() - 1},
        {"exp": "soon"},
        {"exp": -1},
        {"exp": None},
        {"nbf": time.time() + 3600},
        {"nbf": "later"},
        {"iat": "now"},
        {"iss": ["loop"]},
        {"iss": "loop "},
        {"aud": ["loop-api"]},
        {"aud": "LOOP-API"},
        {"aud": None},
        {"sub": 1},
        {"sub": [MERCHANT]},
        {"sid": 1},
        {"sid": None},
        {"jti": 1},
    ],
)
def test_a_claim_that_is_wrong_or_of_another_type_is_refused(
    tokens: AccessTokens, other: dict[str, Any]
) -> None:
    raw = jwt.api_jws.encode(json.dumps(claims(**other)).encode(), tokens._key, algorithm="HS256")
    assert tokens.read(raw) is None


@pytest.mark.parametrize("body", ["[]", "1", '"x"', "null", "{", "", '{"exp":1e999}', "\ufeff{}"])
def test_claims_that_are_no_object_are_refused(tokens: AccessTokens, body: str) -> None:
    raw = jwt.api_jws.encode(body.encode(), tokens._key, algorithm="HS256")
    assert tokens.read(raw) is None


def test_another_writing_of_a_token_is_refused(tokens: AccessTokens) -> None:
    token = made(tokens)
    head, body, signature = token.split(".")
    for other in (
        "", ".", "..", f"{head}.{body}", f"{token}.", f"{token}.{signature}", f".{token}",
        f"{head}.{body}.{signature[:-1]}", f"{body}.{head}.{signature}", f"{token}.AAAA.AAAA",
        token.replace(".", "。"), "x" * 2000, f"{head}.{b64(b'{}')}.{signature}",
    ):  # fmt: skip
        assert tokens.read(other) is None, other
