"""A shop's day at both vendors, and an auditor with books of his own who sees only HTTP."""

import secrets
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from adapters.settings import Settings
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.processor import Credentials
from gateway.verbs.settlements_work import fetch_reports
from tests.gateway.auditor import Auditor, Json, shown, told_accounts, told_figures
from tests.gateway.conftest import Service
from tests.gateway.day import Day
from tests.gateway.test_ledger_http import Shop
from tests.sandbox_server import SandboxServer, sandbox_server

SECRET = "whsec_of_the_auditors_shop"
EVENTS = (
    "charge.dispute.created", "charge.dispute.closed", "refund.updated", "refund.failed",
)  # fmt: skip
"""That a shop would want of Stripe; of all else Loop has its answers."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_server(tmp_path_factory.mktemp("auditor")) as running:
        yield running


@pytest.fixture(scope="module")
def settings(settings: Settings, server: SandboxServer) -> Settings:
    return msgspec.structs.replace(
        settings,
        stripe_base_url=server.ready.stripe_url,
        razorpay_base_url=server.ready.razorpay_url,
    )


def opened(service: Service, server: SandboxServer, shop: Shop) -> str:
    """Give the shop an account at both vendors, whose webhooks come to it; return their key."""
    key, me = secrets.token_hex(6), shop.caller.merchant_id
    server.control("POST", "options", webhooks_in_real_time=True)
    for name, values in (
        ("stripe", {"secret_key": f"sk_test_{key}", "publishable_key": "pk_test_1"}),
        ("razorpay", {"key_id": f"rzp_test_{key}", "key_secret": "secret"}),
    ):
        credentials = Credentials(values | {"webhook_secret": SECRET})
        account = ProcessorAccount(processor=name, credentials=credentials)
        service.call(configure_processor(service.app.ports, shop.caller, account))
        url = f"{service.url}/webhooks/{name}/{me}"
        wanted = {"events": EVENTS} if name == "stripe" else {}
        server.control("POST", "webhooks", dialect=name, url=url, secret=SECRET, **wanted)
    return key


@pytest.fixture(scope="module")
def day(service: Service, server: SandboxServer) -> Iterator[Day]:
    with Shop(service) as shop:
        day = Day(shop, Auditor(shop, server, opened(service, server, shop)))
        sold(day)
        given_back(day)
        disputed(day)
        strayed(day)
        paid_out(day)
        yield day


def sold(day: Day) -> None:
    """Captures in four currencies, one of them settled in another; a hold, a part and a void."""
    day.order("dollars", 10_000)
    day.server.control("POST", "options", stripe_settlement_currency="usd")
    day.order("euros", 20_000, "EUR")
    day.comes("euros", "captured")
    day.server.control("POST", "options", stripe_settlement_currency="")
    day.order("yen", 5_000, "JPY")
    for name in ("rupees", "won"):
        day.order(name, 50_000, "INR")
        day.pay_at(day.checkout(name))
    for name, amount in (("held", 4_500), ("part", 9_000), ("void", 3_000)):
        day.order(name, amount, captureMethod="manual")
    for name in ("dollars", "euros", "yen", "rupees", "won"):
        day.comes(name, "captured")
    for name in ("held", "part", "void"):
        day.comes(name, "authorized")
    day.close("sold")
    day.post("part", "capture", amount=4_000)
    day.post("void", "cancel")
    day.comes("part", "captured")
    day.comes("void", "cancelled")
    day.close("captured in part and voided")


def given_back(day: Day) -> None:
    """Refunds in whole and in part, and one that comes back."""
    day.order("whole", 8_000)
    day.order("comes_back", 7_000)
    for name in ("whole", "comes_back"):
        day.comes(name, "captured")
        day.post(name, "refund")
    for name, amount in (("part", 1_500), ("euros", 5_000), ("rupees", 12_345)):
        day.post(name, "refund", amount=amount)
    for name in ("whole", "comes_back"):
        day.comes(name, "refunded")
    for name in ("part", "euros", "rupees"):
        day.comes(name, "partially_refunded")
    day.close("refunded")
    refund = day.movement("comes_back", "refund")["processorTransactionId"]
    day.server.trigger("refund_failed", refund=refund)
    day.comes("comes_back", "captured")
    day.close("a refund came back")


def disputed(day: Day) -> None:
    """Three disputes: one is lost, one is won, one stays open for a part."""
    day.order("lost", 6_000)
    day.order("open", 2_000)
    for name in ("lost", "open"):
        day.comes(name, "captured")
    found = {name: day.dispute(name, amount) for name, amount in (("lost", 6_000), ("won", 50_000))}
    day.dispute("open", 500)
    day.close("disputed")
    for name, status in (("lost", "success"), ("won", "failed")):
        ends = "lost" if name == "lost" else "won"
        day.server.trigger("dispute_ends", dispute=found[name], status=ends)
        day.disputed(name, status)
    day.close("decided")


def strayed(day: Day) -> None:
    """Somebody captures at the vendor what was cancelled here; it goes back by itself."""
    day.order("stray", 30_000, "INR", captureMethod="manual")
    checkout = day.checkout("stray")
    day.post("stray", "cancel")
    day.comes("stray", "cancelled")
    day.pay_at(checkout)
    day.server.trigger("dashboard_capture", payment=day.payment("stray"))

    def is_back() -> bool:
        book = day.server.books()["orders"][day.orders["stray"]]
        return book["captured"] == book["refunded"] == 30_000

    day.until(is_back)
    day.close("a stray went back")


def paid_out(day: Day) -> None:
    """Both vendors pay out, and Loop fetches it; then the shop goes on."""
    made = {
        payout["id"]
        for account in (f"acct_{day.auditor.key}", f"acc_{day.auditor.key}")
        for payout in day.server.trigger("payout", account=account)["payouts"]
    }
    service, me = day.shop.service, day.shop.caller.merchant_id
    for name in ("stripe", "razorpay"):
        service.call(fetch_reports(service.app, me, "test", processor=name, days=3))
    day.auditor.fetched += sorted(made)
    day.close("paid out")
    day.post("dollars", "refund", amount=2_500)
    day.comes("dollars", "partially_refunded")
    day.close("refunded after the payout")


NAMES = (
    "sold", "captured in part and voided", "refunded", "a refund came back", "disputed", "decided",
    "a stray went back", "paid out", "refunded after the payout",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_auditors_books_are_those_of_loop_whenever_they_are_closed(day: Day, name: str) -> None:
    kept = day.closes[name]
    assert kept.accounts == kept.own_accounts
    assert kept.figures == kept.own_figures


@pytest.mark.parametrize("name", NAMES)
def test_a_close_is_shown_again_by_its_position_when_the_day_is_over(day: Day, name: str) -> None:
    kept = day.closes[name]
    page = day.shop.get("/v1/ledger/accounts", asOf=kept.position, limit=100)
    assert page["asOfPosition"] == kept.position
    assert told_accounts(page) == kept.own_accounts
    assert told_figures(day.shop.get("/v1/balances", asOf=kept.position)) == kept.own_figures
    sums: Counter[tuple[str, str]] = Counter()
    for entry in day.shop.entries(asOf=kept.position, limit=100):
        assert entry["position"] <= kept.position
        sums[entry["account"], entry["currency"]] += signed(entry)
    assert {key: shown(key[0], n) for key, n in sums.items() if n} == kept.own_accounts


def signed(entry: Json) -> int:
    amount: int = entry["amount"]
    return amount if entry["direction"] == "debit" else -amount


def test_every_transfer_sums_to_zero_and_every_balance_runs_on(day: Day) -> None:
    transfers: dict[tuple[str, str], int] = {}
    running: Counter[tuple[str, str]] = Counter()
    for entry in reversed(day.shop.entries(limit=100)):
        transfer = (entry["transferId"], entry["currency"])
        transfers[transfer] = transfers.get(transfer, 0) + signed(entry)
        account = (entry["account"], entry["currency"])
        running[account] += signed(entry)
        assert entry["balanceAfter"] == shown(entry["account"], running[account]), entry
    assert set(transfers.values()) == {0}
    assert len(transfers) > 40


def test_each_order_alone_has_the_figures_of_the_auditor(day: Day) -> None:
    own = day.auditor.by_order()
    for name, order_id in day.orders.items():
        told = told_figures(day.shop.get("/v1/balances", orderId=order_id))
        assert told == own[order_id].figures("bank_contra"), name
    paid = [day.shop.get("/v1/balances", orderId=one)["balances"] for one in day.orders.values()]
    assert sum(row["paidOut"] != 0 for rows in paid for row in rows) > 5


def test_what_the_merchant_is_told_is_what_the_vendors_did(day: Day) -> None:
    assert day.server.books()["violations"] == []
    assert day.auditor.disagreements() == []
    owed = [key for key in day.closes["paid out"].accounts if key[0].startswith("receivable:")]
    assert owed == [], "everything was paid out"


def test_the_day_has_moved_every_kind_of_account(day: Day) -> None:
    moved = {entry["account"].partition(":")[0] for entry in day.shop.entries(limit=100)}
    assert moved == {
        "holds", "holds_contra", "receivable", "payable", "fees", "disputed", "suspense", "fx",
        "bank", "bank_contra",
    }  # fmt: skip
    assert {key[1] for key in day.closes["decided"].accounts} == {"USD", "EUR", "JPY", "INR"}
