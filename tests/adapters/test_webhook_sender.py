"""One delivery over HTTP: signatures, limits, and what an answer means."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

from adapters import webhook_sender
from adapters.address_guard import AddressGuard
from adapters.webhook_sender import Sender, retry_after_s, signatures, signing_key
from tests.receiver import Receiver, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def attempt(receiver: Receiver, url: str | None = None) -> webhook_sender.Answer:
    sender = Sender(AddressGuard(LOOPBACK), connections=2)
    answer = await sender.send("whe_1", url or receiver.url, [], b"{}")
    await sender.aclose()
    return answer


def test_the_published_vector_of_standard_webhooks() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = dict(signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", body, [key], 1614265330))
    assert headers[b"webhook-signature"] == b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers[b"webhook-timestamp"] == b"1614265330"


def test_both_secrets_verify_while_one_is_replaced_by_the_other() -> None:
    texts = ["whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3", "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk"]
    now_s = datetime.now(UTC).timestamp()
    made = signatures("evt_1", b'{"a":1}', [signing_key(text) for text in texts], now_s)
    headers = {name.decode(): value.decode() for name, value in made}
    for text in texts:
        assert Webhook(text).verify(b'{"a":1}', headers) == {"a": 1}


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s("120", NOW) == 120
    assert retry_after_s(format_datetime(NOW + timedelta(hours=1), usegmt=True), NOW) == 3600
    assert retry_after_s(format_datetime(NOW - timedelta(hours=1), usegmt=True), NOW) == 0
    for nothing in (None, "soon", "-5", "1.5", ""):
        assert retry_after_s(nothing, NOW) is None


async def test_an_endless_answer_is_cut_off() -> None:
    async with receiving() as receiver:
        receiver.reply(200, b"x" * 1_000_000)
        answer = await attempt(receiver)
    assert (answer.delivered, answer.prefix) == (True, "x" * webhook_sender.PREFIX_CHARS)


async def test_an_attempt_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sender, "TIMEOUT_S", 0.05)
    async with receiving() as receiver:
        receiver.answer = lambda _: None
        answer = await attempt(receiver)
    assert (answer.status, answer.error) == (None, "timeout")


async def test_nobody_who_answers_is_a_failure_and_no_error() -> None:
    async with receiving() as receiver:
        url = receiver.url
    assert (await attempt(receiver, url)).error == "connect_failed"


async def test_what_is_no_http_is_a_failure() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"SSH-2.0-nonsense\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = await attempt(Receiver(), f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.error) == (None, "protocol_error")


async def test_connections_are_kept_between_deliveries() -> None:
    opened = 0

    async def count(_: str, __: int) -> list[str]:
        nonlocal opened
        opened += 1
        return ["127.0.0.1"]

    async with receiving() as receiver:
        sender = Sender(AddressGuard(LOOPBACK, count), connections=4)
        url = f"http://shop.example:{receiver.port}/"
        for _ in range(5):
            assert (await sender.send("whe_1", url, [], b"{}")).delivered
        await sender.aclose()
    assert opened == 1


async def test_tls_is_verified_by_name_although_the_address_is_pinned(tmp_path: Path) -> None:
    server, client = contexts(tmp_path, "shop.example")

    async def here(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        sender = Sender(AddressGuard(LOOPBACK, here), connections=1, tls=client)
        good = await sender.send("whe_1", f"https://shop.example:{port}/", [], b"{}")
        bad = await sender.send("whe_1", f"https://other.example:{port}/", [], b"{}")
        await sender.aclose()
    assert (good.status, good.error) == (204, None)
    assert (bad.status, bad.error) == (None, "tls_failed")


def contexts(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for the name, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "server.pem"
    file.write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pem.decode())
