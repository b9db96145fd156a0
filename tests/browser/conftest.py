"""A real browser on a real service; every name that a page may ask for is on this machine."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Playwright, Route, sync_playwright

from tests.gateway.conftest import Service, api_key, client, merchant, service, settings

__all__ = ["api_key", "client", "merchant", "service", "settings"]

CHROMIUM: Final = shutil.which("chromium") or "/usr/bin/chromium"
WAIT_MS: Final = 60_000


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    """The browser's driver; without a browser the tests are skipped, but never in CI."""
    if not Path(CHROMIUM).exists():
        assert not os.environ.get("CI"), "no chromium: .ci/run installs it"
        pytest.skip("no chromium on this machine (Debian: apt install chromium)")
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(driver: Playwright, service: Service) -> Iterator[Browser]:
    """Chromium that finds `loop.test` at the service and no other name anywhere.

    `shop.test` is there for redirects that no route of a test sees; it answers 404.
    """
    at = service.url.removeprefix("http://")
    rules = f"MAP loop.test {at}, MAP shop.test {at}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    browser = driver.chromium.launch(
        executable_path=CHROMIUM,
        args=[
            "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--host-resolver-rules={rules}",
        ],
    )  # fmt: skip
    yield browser
    browser.close()


def shop_page(route: Route) -> None:
    """Answer as a shop does: any page, and what it was asked for."""
    route.fulfill(
        status=200,
        content_type="text/html",
        body="<!doctype html><html lang=en><title>Shop</title><h1>The shop</h1></html>",
    )
