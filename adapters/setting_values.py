"""What the text of a setting stands for; a `ValueError` says what is expected instead."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from domain.endpoints import MISSED_DAYS

_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")


def port(text: str) -> int:
    """Read a port, from 1 to 65535."""
    value = int(text)
    if not 0 < value < 65_536:  # noqa: PLR2004 - ports
        raise ValueError("a port is from 1 to 65535")
    return value


def seconds(text: str) -> float:
    """Read a time in seconds, zero or more."""
    value = float(text)
    if not 0 <= value < 1e6:  # noqa: PLR2004 - also refuses nan and inf
        raise ValueError("seconds, zero or more")
    return value


def count(text: str) -> int:
    """Read a number from 1 to 1024."""
    value = int(text)
    if not 1 <= value <= 1024:  # noqa: PLR2004 - a sane bound
        raise ValueError("a number from 1 to 1024")
    return value


def limit(text: str) -> int:
    """Read a number from 0 to 1 000 000."""
    value = int(text)
    if not 0 <= value <= 1_000_000:  # noqa: PLR2004 - a sane bound
        raise ValueError("a number from 0 to 1000000")
    return value


def log_days(text: str) -> int:
    """Read a number of days from 30, for which missed webhooks are looked for, to 3650."""
    value = int(text)
    if not MISSED_DAYS <= value <= 3650:  # noqa: PLR2004 - ten years
        raise ValueError(f"a number of days from {MISSED_DAYS} to 3650")
    return value


def ratio(text: str) -> float:
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return value


def url(*schemes: str) -> Callable[[str], str]:
    """Return what reads a URL of one of these schemes; a slash at its end is left out."""

    def parse(text: str) -> str:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return text.rstrip("/")

    return parse


def address(text: str) -> str:
    """Read `host:port`."""
    host, _, number = text.rpartition(":")
    if not host or not number.isdecimal():
        raise ValueError("host:port")
    port(number)
    return text


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read networks, comma separated."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("networks such as 10.0.0.0/8, comma separated") from None


def origins(text: str) -> tuple[str, ...]:
    """Read origins of web pages, comma separated, or `*` for all."""
    found = tuple(part.strip() for part in text.split(","))
    if found != ("*",) and not all(_ORIGIN.fullmatch(origin) for origin in found):
        raise ValueError("origins such as https://shop.example, comma separated, or *")
    return found


def witness(text: str) -> str:
    """Read a file's path or an http(s) URL."""
    if "://" in text and not text.startswith(("http://", "https://")):
        raise ValueError("a file, or a URL that begins with http:// or https://")
    return text
