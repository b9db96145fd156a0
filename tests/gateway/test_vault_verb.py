"""`loop vault`: master keys come and go, and what they wrapped stays readable."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from adapters import rewrap as rewrapping
from adapters.api_keys import key_hash
from adapters.migrations import OPTIONS
from adapters.settings import load_settings
from adapters.vault import MasterKeys
from adapters.wiring import Application, application
from commands.caller import Caller
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.create_order import NewOrder, create_order
from commands.execute import load_order
from commands.issue_key import issue_key
from commands.processor import Credentials
from commands.read_order import open_personal
from commands.register_merchant import register_merchant
from domain.metadata import Actor
from gateway.cli import cli

OLD, NEW = f"old:{secrets.token_hex(32)}", f"new:{secrets.token_hex(32)}"
STRIPE = Credentials({"secret_key": "sk_test_51HidDeN"})


class Keyring:
    """One database, whatever the master keys are."""

    def __init__(self, home: Path, database_url: str, nats_url: str) -> None:
        self.home, self.database_url, self.nats_url = home, database_url, nats_url

    async def with_keys(self, keys: str, work: Callable[[Application], Awaitable[Any]]) -> Any:
        settings = load_settings(
            {},
            home=str(self.home),
            database_url=self.database_url,
            nats_url=self.nats_url,
            master_keys=keys,
        )
        async with application(settings, name="vault-tests") as app:
            return await work(app)

    def loop(self, keys: str, *words: str) -> Result:
        environment = {
            "LOOP_HOME": str(self.home),
            "LOOP_DATABASE_URL": self.database_url,
            "LOOP_NATS_URL": self.nats_url,
            "LOOP_MASTER_KEYS": keys,
        }
        return CliRunner().invoke(cli, ["vault", *words], env=environment)

    def counted(self, keys: str) -> dict[str, int]:
        found = json.loads(self.loop(keys, "status", "--json").stdout)
        return {key["id"]: key["dataKeys"] + key["secrets"] for key in found["keys"]}


@pytest.fixture
def keyring(tmp_path: Path, database_url: str, nats_url: str) -> Keyring:
    (tmp_path / "sandbox").mkdir()
    return Keyring(tmp_path, database_url, nats_url)


async def filled(app: Application) -> tuple[Caller, str, str]:
    """A merchant with a key, credentials and an order that says something about a person."""
    nobody = Caller(
        actor=Actor("operator", "tests"), merchant_id="", mode="test", correlation_id="tests"
    )
    merchant = await register_merchant(app.ports, nobody, name="Tea shop")
    caller = Caller(
        actor=Actor("operator", "tests"),
        merchant_id=merchant.id,
        mode="test",
        correlation_id="tests",
    )
    issued = await issue_key(
        app.ports,
        caller,
        name="tests",
        mode="test",
        hash_secret=lambda secret: key_hash(app.master_keys, secret),
    )
    account = ProcessorAccount(processor="stripe", credentials=STRIPE)
    await configure_processor(app.ports, caller, account)
    new = NewOrder(amount_minor=1, currency="USD", customer_id="c-1", customer_email="a@b.c")
    done = await create_order(app.ports, caller, new, None)
    return caller, issued.secret, done.order.id


def everything_reads(caller: Caller, secret: str, order_id: str) -> Callable[[Application], Any]:
    async def check(app: Application) -> None:
        row = await app.api_keys.find(secret)
        assert row is not None
        assert row.merchant_id == caller.merchant_id
        order = await load_order(app.ports, caller, order_id)
        (personal,) = await open_personal(app.ports, [order])
        assert personal.customer_email == "a@b.c"
        subject = app.ports.vault.customer_subject(caller.merchant_id, "test", "c-1")
        assert await app.ports.vault.count_keys(caller.merchant_id, subject) == 1
        kept = await app.ports.vault.credentials(caller.merchant_id, "test", "stripe", 1)
        assert kept == STRIPE

    return check


async def rotated(keyring: Keyring, keys: str) -> Result:
    return await asyncio.to_thread(keyring.loop, keys, "rotate", "--json")


async def test_after_a_rotation_the_old_key_can_go(keyring: Keyring) -> None:
    found = await keyring.with_keys(OLD, filled)
    both = f"{NEW},{OLD}"
    await keyring.with_keys(both, everything_reads(*found))
    done = await rotated(keyring, both)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rewrapped"] > 2
    again = await rotated(keyring, both)
    assert json.loads(again.stdout) == {"rewrapped": 0}
    await keyring.with_keys(NEW, everything_reads(*found))
    with psycopg.connect(keyring.database_url, options=OPTIONS) as db:
        query = "SELECT wrapped FROM data_keys UNION ALL SELECT box FROM secrets"
        boxes = [bytes(box) for (box,) in db.execute(query).fetchall()]
    assert boxes
    assert all(box.startswith(b"new:") for box in boxes)


async def test_status_counts_what_each_key_wraps(keyring: Keyring) -> None:
    await keyring.with_keys(OLD, filled)
    both = f"{NEW},{OLD}"
    before = await asyncio.to_thread(keyring.counted, both)
    assert before["new"] == 0
    assert before["old"] > 2
    await rotated(keyring, both)
    assert await asyncio.to_thread(keyring.counted, both) == {"new": before["old"], "old": 0}
    words = (await asyncio.to_thread(keyring.loop, both, "status")).output
    assert "new  newest" in words
    missing = await asyncio.to_thread(keyring.loop, OLD, "status", "--json")
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["missing"] == ["new"]


async def test_a_rotation_that_was_stopped_goes_on(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await keyring.with_keys(OLD, filled)
    monkeypatch.setattr(rewrapping, "PAGE", 1)
    both = f"{NEW},{OLD}"
    steps: list[tuple[int, int]] = []

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        steps.append((done, total))
        if done == 2:
            raise Stopped

    async def half(app: Application) -> None:
        async with app.pool.connection() as db:
            with pytest.raises(Stopped):
                await rewrapping.rewrap(db, app.master_keys, stop)

    await keyring.with_keys(both, half)
    assert steps[0][0] == 0
    await keyring.with_keys(both, everything_reads(*found))
    done = await rotated(keyring, both)
    assert json.loads(done.stdout)["rewrapped"] == steps[0][1] - 2
    await keyring.with_keys(NEW, everything_reads(*found))


async def test_a_key_that_is_needed_and_missing_is_one_sentence(keyring: Keyring) -> None:
    await keyring.with_keys(OLD, filled)
    refused = await rotated(keyring, NEW)
    assert refused.exit_code == 1
    assert "a master key that is still in use is missing" in refused.output


def test_the_old_key_itself_is_kept_nowhere() -> None:
    keys = MasterKeys(OLD)
    assert keys.first_hash_key() != bytes.fromhex(OLD.partition(":")[2])
