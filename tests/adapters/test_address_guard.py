"""Where a merchant's URL may lead: the address is checked, and is the one that is connected to."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.address_guard import AddressGuard, NotAllowed, parsed, permitted
from adapters.webhook_sender import Sender
from tests.receiver import receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)

REFUSED = (
    "0.0.0.0",  # noqa: S104 - nothing binds to it
    "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254",
    "100.100.100.200", "127.0.0.1", "127.255.255.255", "169.254.0.1", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
)  # fmt: skip
PERMITTED = (
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
    "192.0.1.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "168.63.129.17",
    "2001:200::1", "2600::1", "2606:4700:4700::1111", "2a00:1450::1",
)  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert not permitted(ip_address(text), ())


@pytest.mark.parametrize("text", PERMITTED)
def test_an_address_of_the_public_internet_is_let_through(text: str) -> None:
    assert permitted(ip_address(text), ())


def test_a_mapped_address_is_not_what_was_allowed() -> None:
    assert permitted(ip_address("127.0.0.1"), LOOPBACK)
    assert not permitted(ip_address("::ffff:127.0.0.1"), LOOPBACK)
    assert not permitted(ip_address("10.0.0.1"), LOOPBACK)


@given(st.ip_addresses())
def test_whatever_python_calls_private_is_never_let_through(address: object) -> None:
    found = ip_address(str(address))
    if permitted(found, ()):
        assert found.is_global
        assert not found.is_multicast
        assert not found.is_reserved


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "javascript:alert(1)", "http:///path", "//example.com/", "",
        "http://user@example.com/", "http://user:word@example.com/", "http://:@example.com/",
        "http://example.com:0/", "http://example.com:99999/", "http://exa mple.com/",
        "http://exämple.com/", "http://[::1/", "http://example.com/\r\nX: y", "http://a\x00b/",
        "http://_L<f", "http://example.com/%zz", 'http://example.com/"', "http://example.com/#a#b",
        "http://example.com/a|b", "http://example.com\\@evil.example/", "http://exa%6dple.com/",
    ],
)  # fmt: skip
def test_a_url_that_is_no_plain_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(NotAllowed):
        parsed(url)


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "localhost", "[::1]"]
)
async def test_every_way_to_write_loopback_is_refused(host: str) -> None:
    assert await AddressGuard().refuses(f"http://{host}/") is not None


async def test_a_name_that_cannot_be_resolved_now_is_not_refused() -> None:
    async def fails(_: str, __: int) -> list[str]:
        raise OSError("no such name")

    assert await AddressGuard(resolve=fails).refuses("http://shop.example/") is None


async def test_one_address_that_is_not_public_spoils_the_name() -> None:
    async def both(_: str, __: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    assert await AddressGuard(resolve=both).refuses("http://shop.example/") is not None


async def test_a_name_that_leads_elsewhere_at_the_next_attempt_is_refused_then() -> None:
    """DNS rebinding: what was checked is what is connected to, every time."""
    answers = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(name: str, _: int) -> list[str]:
        assert name == "shop.example"
        return answers.pop(0)

    guard = AddressGuard(LOOPBACK, rebinding)
    async with receiving() as receiver:
        receiver.reply(200, b"ok", Connection="close")
        url = f"http://shop.example:{receiver.port}/hooks"
        assert await guard.refuses(url) is None
        sender = Sender(guard, connections=1)
        first = await sender.send("whe_1", url, [], b"{}")
        second = await sender.send("whe_1", url, [], b"{}")
        await sender.aclose()
    assert (first.status, first.delivered) == (200, True)
    assert receiver.received[0].headers["host"] == f"shop.example:{receiver.port}"
    assert (second.status, second.error) == (
        None, "url_not_allowed: it leads to an address that is not public",
    )  # fmt: skip
    assert len(receiver.received) == 1


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        sender = Sender(AddressGuard(LOOPBACK), connections=1)
        assert (await sender.send("whe_1", receiver.url, [], b"{}")).delivered
        await sender.aclose()
    assert (len(receiver.received), proxy.received) == (1, [])
