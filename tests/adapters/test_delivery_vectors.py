"""What deliveries rest on, against RFC 9110, Standard Webhooks and the registries of IANA."""

import base64
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from adapters.address_guard import AddressGuard, NotAllowed, parsed, permitted
from adapters.webhook_sender import Sender, retry_after_s, signatures, signing_key
from tests.receiver import receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)
# RFC 9110, 5.6.7: one moment in the three forms that a recipient has to read.
MOMENT = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
DATES = (
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
)
BEYOND = (
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 10000 00:00:00 GMT",
    "Mon, 01 Jan 2027 99999999999999999999:00:00 GMT",
    "Mon, 01 Jan 2027 00:00:00 +9999999999999",
    "Mon, 01 Jan 2027 00:00:00 -9999",
    "Mon, 99 Jan 2027 00:00:00 GMT",
    "Mon,",
    " ",
)

# IANA, special-purpose address registries of IPv4 and IPv6: what is not globally reachable, and
# multicast and reserved space, which are not in them.
SPECIAL = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "::1/128", "::/128", "::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "100:0:0:1::/64", "2001::/23", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28",
    "2001:30::/28", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7",
    "fe80::/10", "fec0::/10", "ff00::/8", "4000::/3", "8000::/2", "e000::/4",
)  # fmt: skip

# Ways to write an address that is not public: OWASP's cheat sheet on SSRF, and RFC 6943, 3.1.1.
WRITTEN = (
    "127.1", "127.0.1", "0", "00", "2130706433", "017700000001", "0x7f000001", "0x7f.1",
    "0x7F.0x0.0x0.0x1", "0177.0.0.01", "2852039166", "0xa9fea9fe", "169.254.43518",
    "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::127.0.0.1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1]", "[fd00:ec2::254]", "localhost",
    "LOCALHOST", "127.0.0.1#@shop.example", "127.0.0.1?@shop.example",
)  # fmt: skip
NO_HOST = (
    "[::1%25lo]", "[fe80::1%25eth0]", "[::1", "::1", "[v1.x]", "①②⑦.⓪.⓪.①", "127。0。0。1",
    "\uff11\uff12\uff17.0.0.1", "\uff4cocalhost", "127.0.0.1%00", "127.0.0.1%2f@shop.example",
    "user@127.0.0.1", "shop.example@127.0.0.1", "shop.example:80@127.0.0.1", "shop.example#a#b",
    "127.0.0.1\\@shop.example", "127.0.0.1 shop.example", "127.0.0.1\tshop.example",
    "exa\u200bmple",
)  # fmt: skip


@pytest.mark.parametrize("text", DATES)
def test_a_date_is_read_in_its_three_forms(text: str) -> None:
    assert retry_after_s(text, MOMENT) == 0
    assert retry_after_s(text, MOMENT.replace(hour=7)) == 3600


@pytest.mark.parametrize("text", BEYOND)
def test_a_date_that_cannot_be_is_none(text: str) -> None:
    assert retry_after_s(text, MOMENT) is None


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                [
                    "Mon,",
                    "06",
                    "Nov",
                    "06-Nov-94",
                    "1994",
                    "08:49:37",
                    "GMT",
                    "+0100",
                    "-",
                    "9" * 20,
                ]
            )
        ).map(" ".join),
    )
)
def test_whatever_a_receiver_asks_for_is_seconds_or_nothing(text: str) -> None:
    found = retry_after_s(text, MOMENT)
    assert found is None or found >= 0


async def test_a_senseless_retry_after_is_an_answer_like_any_other() -> None:
    async with receiving() as receiver:
        for text in BEYOND[:-1]:
            receiver.reply(503, b"", **{"Retry-After": text})
            sender = Sender(AddressGuard(LOOPBACK), connections=1)
            answer = await sender.send("whe_1", receiver.url, [], b"{}")
            await sender.aclose()
            assert (answer.status, answer.error, answer.retry_after_s) == (503, None, None)


@pytest.mark.parametrize("length", [24, 32, 64])
def test_secrets_of_every_length_that_the_specification_allows_sign(length: int) -> None:
    text = f"whsec_{base64.b64encode(bytes(range(length))).decode()}"
    body = '{"a":"ü\u2028"}'.encode()
    now_s = datetime.now(UTC).timestamp()
    made = signatures("evt_1", body, [signing_key(text)], now_s)
    headers = {name.decode(): value.decode() for name, value in made}
    assert Webhook(text).verify(body, headers) == {"a": "ü\u2028"}
    assert Webhook(text.removeprefix("whsec_")).verify(body, headers)


@pytest.mark.parametrize("block", SPECIAL)
def test_no_address_of_a_special_block_is_reached(block: str) -> None:
    network = ip_network(block)
    middle = network[network.num_addresses // 2]
    for address in (network[0], middle, network[-1]):
        assert not permitted(address, ())


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "9.9.9.9", "192.0.1.1", "198.20.0.1", "2606:4700:4700::1111", "2a00::1"],
)
def test_what_is_around_them_is_reached(text: str) -> None:
    assert permitted(ip_address(text), ())


@pytest.mark.parametrize("host", WRITTEN)
async def test_no_way_of_writing_leads_to_this_machine_or_its_network(host: str) -> None:
    sender = Sender(AddressGuard(), connections=1)
    for url in (f"http://{host}/", f"https://{host}:8443/x", f"http://{host}"):
        assert await AddressGuard().refuses(url) is not None
        answer = await sender.send("whe_1", url, [], b"{}")
        assert answer.error is not None
        assert answer.error.startswith("url_not_allowed")
    await sender.aclose()


@pytest.mark.parametrize("host", NO_HOST)
def test_what_readers_of_urls_disagree_about_is_no_url(host: str) -> None:
    with pytest.raises(NotAllowed):
        parsed(f"http://{host}/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    async with receiving() as receiver, receiving() as inside:
        receiver.reply(status, b"", Location=inside.url)
        sender = Sender(AddressGuard(LOOPBACK), connections=1)
        answer = await sender.send("whe_1", receiver.url, [], b"{}")
        await sender.aclose()
    assert (answer.status, answer.delivered) == (status, False)
    assert inside.received == []
