"""The sandbox that `loop up` runs: where it is, what it is started with, whom it tells."""
# The supervisor imports it: nothing heavy.

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import click
import psycopg

from adapters.embedded.process import free_port
from adapters.migrations import OPTIONS
from gateway.verbs.sandbox_control import Control, healthy, told

if TYPE_CHECKING:
    from gateway.verbs.running import Shop

PORT: Final = 18_440
BASE_URLS: Final = {
    "stripe": "LOOP_STRIPE_BASE_URL",
    "razorpay": "LOOP_RAZORPAY_BASE_URL",
}
LIVE: Final = ("sk_live_", "rk_live_", "rzp_live_")
INSTEAD: Final = "take it away, or leave the sandbox out with --no-sandbox"


class RunningSandbox:
    """A sandbox server over the data folder; made by `beside`.

    Attributes:
        base_urls: of the vendors that it plays; the others are where the environment says.
    """

    def __init__(self, home: Path, port: int, base_urls: dict[str, str]) -> None:
        self._home = home
        self._port = port
        self.url = f"http://127.0.0.1:{port}"
        self.base_urls = base_urls

    @classmethod
    def beside(cls, home: Path, environment: Mapping[str, str]) -> Self:
        """Choose its port, the one of the last time if it is free: its links stay good.

        Raises:
            click.ClickException: the environment holds a live key.
        """
        for name, value in sorted(environment.items()):
            if any(mark in value for mark in LIVE):
                raise click.ClickException(
                    f"{name} holds a live key, and no sandbox runs beside live money: {INSTEAD}"
                )
        before = told(home)
        wanted = (urlsplit(before.url).port if before else None) or PORT
        port = free_port(preferred=wanted if _claims(wanted) else None)
        return cls(
            home,
            port,
            {
                vendor: f"http://127.0.0.1:{port}/{vendor}"
                for vendor, name in BASE_URLS.items()
                if not environment.get(name)
            },
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `loop` is started with."""
        return ("sandbox", "--data", str(self._home), "--port", str(self._port), "--json")

    def check_vault(self, database_url: str) -> None:
        """Refuse to run where somebody has configured a live account.

        Raises:
            click.ClickException: there is one.
        """
        with psycopg.connect(database_url, options=OPTIONS) as db:
            found = db.execute(
                "SELECT owner FROM secrets WHERE field = 'credentials'"
                " AND owner LIKE ANY(ARRAY['%:live:stripe:%', '%:live:razorpay:%']) LIMIT 1"
            ).fetchone()
        if found is not None:
            raise click.ClickException(
                f"{found[0].partition(':')[0]} has a live account, and no sandbox runs beside "
                "live money: leave it out with --no-sandbox"
            )

    def answers(self) -> bool:
        """Whether it is up."""
        return healthy(f"{self.url}/_sandbox")

    def delivers_to(self, url: str, shop: "Shop") -> bool:
        """Have the shop's webhooks sent to this address of Loop; whether it knows the shop.

        Raises:
            click.ClickException: it does not answer.
        """
        if not self.base_urls:
            return True
        control = Control.of(self._home, wait_s=5)
        ours = [
            one
            for one in control.ask("GET", "webhooks")["endpoints"]
            if one["url"].endswith(f"/{shop.merchant_id}") and "/webhooks/" in one["url"]
        ]
        for one in ours:
            moved = f"{url}/webhooks/{one['url'].partition('/webhooks/')[2]}"
            if one["url"] != moved:
                given = {name: one[name] for name in ("dialect", "account", "events")}
                control.ask("POST", "webhooks", **given, url=moved, secret=one["secrets"][0])
                control.ask("DELETE", f"webhooks/{one['id']}")
        return bool(ours)


def _claims(port: int) -> bool:
    """Claim a port until this process ends; False where another `loop up` has claimed it.

    Seconds lie between the look whether a port is free and its sandbox's start: of two that begin
    at one moment both would find it free. The name is abstract: nothing of it is left behind.
    """
    if sys.platform != "linux":
        return True
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0loop-sandbox-{port}")
        except OSError:
            return False
        claim.detach()
        return True
