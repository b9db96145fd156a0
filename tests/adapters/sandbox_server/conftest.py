from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.sandbox_server import Listener, SandboxServer, sandbox_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_server(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    """An empty sandbox; its clock goes on from test to test."""
    server.control("POST", "reset")
    return server


@pytest.fixture
def shop(sandbox: SandboxServer) -> Iterator[Any]:
    """Stripe's SDK."""
    stripe.enable_telemetry = False
    with sandbox.stripe() as client:
        yield client.v1


@pytest.fixture
def dukan(sandbox: SandboxServer) -> Iterator[Any]:
    """Razorpay's SDK."""
    with sandbox.razorpay() as client:
        yield client


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.close()
