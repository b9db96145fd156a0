"""What a merchant's own page brings back from Razorpay's checkout: verified, then looked up."""

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from msgspec.structs import replace

from adapters.settings import Settings
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.sandbox_server import SandboxServer, sandbox_server

NAMES: Final = ("razorpayPaymentId", "razorpayOrderId", "razorpaySignature")
WAIT: Final = {"Prefer": "wait=20"}


class Page:
    """A shop's page with Razorpay's checkout on it; no webhook tells Loop of anything."""

    def __init__(self, http: httpx.Client, sandbox: SandboxServer) -> None:
        self.http = http
        self._sandbox = sandbox

    def order(self) -> str:
        """Return the path of an order that waits for its customer."""
        made = self.http.post("/v1/orders", json={"amount": 5000, "currency": "INR"}).json()
        path = f"/v1/orders/{made['id']}"
        paid = self.http.post(f"{path}/pay", json={}, headers=WAIT).json()
        assert paid["nextAction"]["type"] == "razorpay_checkout"
        return path

    def triple(self, path: str) -> dict[str, str]:
        """Pay at the checkout and return what it hands over."""
        reference = self.http.get(path).json()["processorOrderId"]
        shown = self._sandbox.browser(
            "POST", f"/checkout/{reference}/pay", outcome="success", callback_url="http://shop.test"
        )
        found = dict(re.findall(r'name="razorpay_(\w+)" value="([^"]+)"', shown.text))
        given = [found[name] for name in ("payment_id", "order_id", "signature")]
        return dict(zip(NAMES, given, strict=True))

    def confirm(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return self.http.post(f"{path}/confirm", json=body, headers=WAIT | headers)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_server(tmp_path_factory.mktemp("vendors")) as running:
        yield running


@pytest.fixture(scope="module")
def service(settings: Settings, sandbox: SandboxServer) -> Iterator[Service]:
    """A service whose Razorpay is the sandbox."""
    with Service(replace(settings, razorpay_base_url=sandbox.ready.razorpay_url)) as running:
        yield running


@pytest.fixture(scope="module")
def page(service: Service, sandbox: SandboxServer) -> Iterator[Page]:
    scopes = ("payments:read", "payments:write", "account:admin")
    key, _ = service.key(service.merchant(), scopes=scopes)
    with service.client(key) as http:
        credentials = {"keyId": "rzp_test_1", "keySecret": "s3cret"}
        made = http.post("/api/processors/razorpay", json={"credentials": credentials})
        assert made.status_code == 201, made.text
        yield Page(http, sandbox)


def test_the_right_signature_is_looked_up(page: Page) -> None:
    path = page.order()
    triple = page.triple(path)
    assert page.http.get(path).json()["status"] == "requires_action"
    answer = page.confirm(path, triple)
    assert (answer.status_code, answer.json()["status"]) == (200, "captured")
    assert page.confirm(path, triple).json()["status"] == "captured"


def test_a_wrong_signature_is_refused_and_nothing_is_looked_up(page: Page) -> None:
    path, other = page.order(), page.order()
    triple, theirs = page.triple(path), page.triple(other)
    forged = [
        triple | {"razorpaySignature": "0" * 64},
        triple | {"razorpayPaymentId": theirs["razorpayPaymentId"]},
        triple | {"razorpayOrderId": theirs["razorpayOrderId"]},
        theirs,  # signed rightly, for another order of the same account
    ]
    before = page.http.get(path).json()
    for body in forged:
        is_problem(page.confirm(path, body), 400, "invalid_signature")
    assert page.http.get(path).json() == before


def test_a_part_of_the_three_is_a_mistake(page: Page) -> None:
    path = page.order()
    triple = page.triple(path)
    for name in NAMES:
        answer = page.confirm(path, {k: v for k, v in triple.items() if k != name})
        is_problem(answer, 400, "invalid_request")
        assert answer.json()["errors"][0]["field"] == name


def test_nobody_else_learns_whether_a_signature_fits(page: Page, client: httpx.Client) -> None:
    path = page.order()
    is_problem(client.post(f"{path}/confirm", json=page.triple(path)), 404, "not_found")


def test_an_order_of_another_processor_has_no_such_proof(client: httpx.Client) -> None:
    made = client.post("/v1/orders", json={"amount": 5000}).json()
    path = f"/v1/orders/{made['id']}"
    body = dict.fromkeys(NAMES, "x")
    is_problem(client.post(f"{path}/confirm", json=body), 422, "invalid_status")
    pay = {"paymentMethod": {"type": "card", "token": "sbx_challenge"}}
    client.post(f"{path}/pay", json=pay, headers=WAIT)
    is_problem(client.post(f"{path}/confirm", json=body), 400, "invalid_signature")
