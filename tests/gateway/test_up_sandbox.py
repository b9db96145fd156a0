"""The sandbox of `loop up`: wired to the test merchant, asked by verbs, never beside a live key."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from gateway.verbs.running_sandbox import RunningSandbox
from gateway.verbs.sandbox_control import Control
from tests.gateway.loops import Up, folder, loop, up
from tests.waiting import until

CARD = "pm_card_visa"


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    with folder() as data, up(data) as found:
        yield found


@pytest.fixture(scope="module")
def order(running: Up) -> dict[str, Any]:
    return paid(running, 1999, "USD", CARD)


def home(running: Up) -> Path:
    return Path(running.ready["data"])


def paid(running: Up, amount: int, currency: str, token: str | None) -> dict[str, Any]:
    """Create an order and pay it as far as it goes at once; return it."""
    method = {"type": "card", "token": token} if token else {"type": "card"}
    with httpx.Client(base_url=running.url, headers=running.headers, timeout=60) as http:
        asked = {"amount": amount, "currency": currency}
        path = f"/v1/orders/{http.post('/v1/orders', json=asked).raise_for_status().json()['id']}"
        pay = http.post(
            f"{path}/pay", json={"paymentMethod": method}, headers={"Prefer": "wait=30"}
        )
        pay.raise_for_status()
        found: dict[str, Any] = http.get(path).raise_for_status().json()
    return found


def told(running: Up, *words: str, code: int = 0) -> Any:
    """Ask the running sandbox by a verb; return its JSON."""
    done = loop("sandbox", *words, "--data", home(running), "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def endpoints(running: Up) -> list[str]:
    found = Control.of(home(running)).ask("GET", "webhooks")["endpoints"]
    return sorted(one["url"] for one in found)


def test_dollars_go_to_stripe_and_rupees_to_razorpay(running: Up, order: dict[str, Any]) -> None:
    rupees = paid(running, 149_900, "INR", None)

    assert (order["status"], order["processor"]) == ("captured", "stripe")
    assert (rupees["status"], rupees["processor"]) == ("requires_action", "razorpay")
    assert rupees["nextAction"]["keyId"].startswith("rzp_test_")


def test_each_vendor_tells_loop_of_this_merchant_alone(running: Up) -> None:
    path = f"{running.url}/webhooks"
    merchant = running.ready["merchantId"]
    assert endpoints(running) == [f"{path}/razorpay/{merchant}", f"{path}/stripe/{merchant}"]
    found = Control.of(home(running)).ask("GET", "webhooks")["endpoints"]
    assert "*" not in {one["account"] for one in found}


def test_the_books_show_an_order_and_that_nothing_is_wrong(
    running: Up, order: dict[str, Any]
) -> None:
    books = told(running, "books", order["id"])

    assert books["violations"] == []
    assert books["orders"][order["id"]]["captured"] == 1999
    shown = loop("sandbox", "books", order["id"], "--data", home(running))
    assert "19.99 USD" in shown.stdout
    assert "no violation" in shown.stdout


def test_a_violation_is_shown_and_is_an_exit_code(running: Up) -> None:
    assert told(running, "books")["violations"] == []
    nobodys = {"amount": "500", "currency": "usd", "payment_method_types[]": "card"}
    made = httpx.post(
        f"{running.ready['sandboxUrl']}/stripe/v1/payment_intents",
        data=nobodys | {"confirm": "true", "payment_method": CARD},
        auth=("sk_test_other", ""),
        timeout=60,
    )
    assert made.status_code == 200, made.text

    (found,) = told(running, "books", code=1)["violations"]

    assert (found["kind"], found["payments"]) == ("no_order_reference", [made.json()["id"]])


def test_the_clock_goes_ahead_and_a_dispute_is_triggered(
    running: Up, order: dict[str, Any]
) -> None:
    before = told(running, "clock")["ahead"]
    assert told(running, "clock", "+6h")["ahead"] == before + 6 * 3600

    dispute = told(running, "trigger", "dispute", order["id"], "kind=open", "amount=500")

    assert (dispute["object"], dispute["amount"]) == ("dispute", 500)
    assert "dispute" in told(running, "trigger")
    told(running, "clock", "+8d")
    assert {one["object"] for one in told(running, "trigger", "payout")["payouts"]} == {"payout"}


def test_faults_are_added_listed_and_cleared(running: Up) -> None:
    made = told(running, "faults", "add", "status:503", "--path", "nothing", "--p", "0.5")
    (rule,) = told(running, "faults", "list")
    assert (rule["id"], rule["do"], rule["match"]["p"]) == (made["id"], "status:503", 0.5)
    assert len(told(running, "faults", "profile", "hostile", "--seed", "3")) > 5
    assert told(running, "faults", "clear") == []


@pytest.mark.parametrize(
    "words", [("clock", "soon"), ("trigger", "rain", "pi_1"), ("faults", "add", "dance")]
)
def test_what_it_cannot_do_it_says(running: Up, words: tuple[str, ...]) -> None:
    done = loop("sandbox", *words, "--data", home(running))

    assert done.returncode == 1
    assert "the sandbox says: " in done.stderr


def test_another_merchant_is_connected_by_a_verb(running: Up) -> None:
    made = loop(
        "keys", "create", "--new-merchant", "Tea", "--data", home(running), "--json"
    )  # fmt: skip
    merchant = json.loads(made.stdout)["merchantId"]
    before = endpoints(running)

    connected = told(running, "connect", "--merchant", merchant, "--loop-url", running.url)

    assert connected == {"merchantId": merchant, "processors": ["stripe", "razorpay"]}
    new = {f"{running.url}/webhooks/{name}/{merchant}" for name in ("stripe", "razorpay")}
    assert set(endpoints(running)) == {*before, *new}


async def test_killed_it_comes_back_with_its_books_at_the_same_place(
    running: Up, order: dict[str, Any]
) -> None:
    pid = running.ready["pids"]["sandbox"]
    assert pid in {process.pid for process in running.everybody()}
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(pid), 60)

    def back() -> bool:
        line = json.loads((home(running) / "up.json").read_bytes())
        return line["pids"]["sandbox"] not in (None, pid)

    await until(back, 60)
    control = Control.of(home(running), wait_s=60)
    assert control.url == running.ready["sandboxUrl"]
    assert control.ask("GET", f"books/{order['id']}")["orders"][order["id"]]["captured"] == 1999
    assert paid(running, 2100, "EUR", CARD)["status"] == "captured"


def test_started_again_elsewhere_it_tells_loop_there() -> None:
    with folder() as data:
        with up(data) as first:
            before = endpoints(first)
        with up(data) as second:
            assert endpoints(second) == [url.replace(first.url, second.url) for url in before]
            assert second.ready["sandboxUrl"] == first.ready["sandboxUrl"]
            assert paid(second, 900, "USD", CARD)["processor"] == "stripe"


def test_no_sandbox_runs_beside_a_live_key() -> None:
    with folder() as data:
        refused = loop("up", "--data", data, "--port", "0", STRIPE_SECRET_KEY="sk_live_x1")
        assert refused.returncode == 1
        assert "STRIPE_SECRET_KEY holds a live key" in refused.stderr
        assert "sk_live_x1" not in refused.stderr
        with up(data, "--no-sandbox", STRIPE_SECRET_KEY="sk_live_x1") as without:
            assert without.ready["sandboxUrl"] is None
            assert without.ready["pids"]["sandbox"] is None
            configured = loop(
                "processors", "set", "stripe", "--mode", "live", "--data", data,
                "--merchant", without.ready["merchantId"], STRIPE_SECRET_KEY="sk_live_x1",
            )  # fmt: skip
            assert configured.returncode == 0, configured.stderr
        refused = loop("up", "--data", data, "--port", "0")
        assert refused.returncode == 1
        assert "has a live account" in refused.stderr


def test_base_urls_of_ones_own_stay(tmp_path: Path) -> None:
    beside = RunningSandbox.beside(tmp_path, {"LOOP_STRIPE_BASE_URL": "http://127.0.0.1:9"})

    assert beside.base_urls == {"razorpay": f"{beside.url}/razorpay"}


def test_without_a_sandbox_the_verbs_say_so(tmp_path: Path) -> None:
    done = loop("sandbox", "books", "--data", tmp_path)

    assert done.returncode == 1
    assert "no sandbox runs over" in done.stderr
