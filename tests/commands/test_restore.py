"""S20: the database is ten minutes old again, and nothing else is: nobody pays a second time."""

import asyncio
import json
import secrets
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from psycopg import sql

from adapters import log
from adapters.orphans import orphans
from adapters.read_models import install
from adapters.reconciler import Reconciler
from adapters.settings import Settings
from adapters.wiring import application
from adapters.worker import work
from commands.caller import Caller
from commands.register_merchant import register_merchant
from commands.sagas.payment import PaymentSaga
from domain.errors import Rejected, Unavailable
from domain.ids import new_id
from domain.metadata import Actor
from domain.order.state import Order
from gateway.parts import PostgresReadModels
from gateway.verbs.migrate import migrate
from projections.orders import Filters
from tests.commands.market import CALL_LIMIT_S, Market
from tests.conftest import at_database
from tests.sandbox_server import SandboxServer, sandbox_server
from tests.shop import Shop
from tests.waiting import running, until

BASE = 10_000
OPERATOR = Caller(actor=Actor("operator", "tests"), merchant_id="", mode="test", correlation_id="t")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """A sandbox whose clock is the real one."""
    with sandbox_server(tmp_path_factory.mktemp("restore")) as running:
        yield running


@dataclass
class Site:
    """An installation whose database can be put back; the sandbox and NATS are not."""

    settings: Settings
    server: SandboxServer
    merchant_id: str = ""
    key: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Market]:
        """Run Loop: the relay and the projections work, the saga is run by hand."""
        await install(self.settings.database_url)
        async with application(self.settings, name="restore") as app:
            caller = replace(OPERATOR, merchant_id=self.merchant_id, correlation_id=new_id("req"))
            market = Market(Shop(app, caller), self.server, key=self.key)
            stop = asyncio.Event()
            working = asyncio.create_task(work(app, stop, ("relay", "projections")))
            try:
                yield market
            finally:
                stop.set()
                await working

    def copied(self, name: str) -> "Site":
        """Return this site on a copy of its database as it is now."""
        old = self.settings.database_url.rpartition("/")[2].partition("?")[0]
        admin = self.settings.database_url.replace(f"/{old}?", "/loop?")
        with psycopg.connect(admin, autocommit=True) as db:
            db.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(old)
                )
            )
        url = at_database(admin, name)
        return replace_site(self, url)

    async def restored(self) -> None:
        """Say that it was restored, as the operator has to."""
        url = self.settings.database_url
        urls = {"LOOP_DATABASE_URL": url, "LOOP_NATS_URL": self.settings.nats_url}
        env = urls | {"LOOP_MASTER_KEYS": self.settings.master_keys}
        run = CliRunner().invoke
        done = await asyncio.to_thread(run, migrate, ["--restored", "--json"], env=env)
        assert done.exit_code == 0, done.output
        assert set(json.loads(done.output)) == {"ran", "logId"}

    def drop(self) -> None:
        name = self.settings.database_url.rpartition("/")[2].partition("?")[0]
        admin = self.settings.database_url.replace(f"/{name}?", "/loop?")
        with psycopg.connect(admin, autocommit=True) as db:
            statement = "DROP DATABASE IF EXISTS {} WITH (FORCE)"
            db.execute(sql.SQL(statement).format(sql.Identifier(name)))


def replace_site(site: Site, url: str) -> Site:
    return Site(replace(site.settings, database_url=url), site.server, site.merchant_id, site.key)


@pytest.fixture
async def site(settings: Settings, server: SandboxServer) -> Site:
    settings.home.mkdir(parents=True, exist_ok=True)
    made = Site(
        replace(
            settings,
            stripe_base_url=server.ready.stripe_url,
            razorpay_base_url=server.ready.razorpay_url,
            lease_s=60,
        ),
        server,
        key=secrets.token_hex(6),
    )
    async with application(made.settings, name="restore") as app:
        made.merchant_id = (await register_merchant(app.ports, OPERATOR, name="Shop")).id
        caller = replace(OPERATOR, merchant_id=made.merchant_id)
        await Market(Shop(app, caller), server).configure(made.key)
    return made


async def reconcile(market: Market, *, only_restored: bool = False) -> None:
    ports, url = market.app.ports, market.app.settings.database_url
    saga = PaymentSaga(ports, worker=market.app.due.worker, call_limit_s=CALL_LIMIT_S)
    reconciler = Reconciler(ports, saga.look_at, url, every_s=300, call_limit_s=20)
    async with await log.connect(url, "test") as db:
        await reconciler.round(db, asyncio.Event(), only_restored=only_restored)


async def shown(market: Market) -> dict[str, str]:
    """Return the orders of the read model by their status."""
    page = await PostgresReadModels(market.app.pool).orders_page(
        merchant_id=market.shop.caller.merchant_id,
        mode="test",
        filters=Filters(),
        after=None,
        before=None,
        limit=100,
    )
    return {row.order.id: row.order.status for row in page.rows}


async def paid(market: Market, order: Order) -> Order:
    (order,) = await market.settle([await market.shop.pay(order, "pm_card_visa")])
    return order


async def test_s20_after_a_restore_nobody_pays_before_the_processors_were_listed(
    site: Site,
) -> None:
    async with site.open() as market:
        waiting = await market.shop.created(amount_minor=BASE)
        other = await market.shop.created(amount_minor=BASE)
        before = await paid(market, await market.shop.created(amount_minor=BASE))
        await until(lambda: _is(market, before, "captured"))
    backup = site.copied(f"backup_{uuid.uuid4().hex[:8]}")
    try:
        async with site.open() as market:
            assert (await paid(market, waiting)).status == "captured"
            lost = await paid(market, await market.shop.created(amount_minor=BASE))
            await until(lambda: _is(market, lost, "captured"))
        await backup.restored()
        await _after_the_restore(backup, waiting, other, lost)
    finally:
        backup.drop()


async def _is(market: Market, order: Order, status: str) -> bool:
    return (await shown(market)).get(order.id) == status


async def _after_the_restore(backup: Site, waiting: Order, other: Order, lost: Order) -> None:
    async with backup.open() as market:
        shop = market.shop
        for order in (waiting, other):
            with pytest.raises(Unavailable) as caught:
                await shop.pay(order, "pm_card_visa")
            assert caught.value.code == "reconciling"
        await reconcile(market, only_restored=True)
        found = await orphans(market.app.pool)
        assert {(one.order_id, one.captured_minor) for one in found} == {
            (waiting.id, BASE),
            (lost.id, BASE),
        }
        with pytest.raises(Rejected) as refused:
            await shop.pay(waiting, "pm_card_visa")
        assert refused.value.code == "order_quarantined"
        assert (await paid(market, other)).status == "captured"
        for order in (waiting, other, lost):
            assert market.book(order)["captured"] == BASE
        # The bus still holds the other log's events: none of them is shown, and all new ones are.
        await until(lambda: _is(market, other, "captured"))
        statuses = await shown(market)
        assert statuses[waiting.id] == "pending"
        assert lost.id not in statuses
        await _unheld(market, waiting)


async def _unheld(market: Market, order: Order) -> None:
    """An operator sends the orphan's money back: then the order can be paid."""
    orphan = next(one for one in await orphans(market.app.pool) if one.order_id == order.id)
    market.server.trigger("dashboard_refund", payment=orphan.reference)
    async with market.app.pool.connection() as db:
        await db.execute("UPDATE orphans SET looked_at = looked_at - interval '2 hours'")
    await reconcile(market)
    assert (await paid(market, order)).status == "captured"


async def test_s20_an_account_that_cannot_be_listed_keeps_holding_its_merchant_back(
    site: Site,
) -> None:
    async with site.open() as market:
        order = await market.shop.created(amount_minor=BASE)
    await site.restored()
    async with site.open() as market:
        rule = site.server.fault("status:500", match={"method": "GET"})
        await reconcile(market, only_restored=True)
        with pytest.raises(Unavailable):
            await market.shop.pay(order, "pm_card_visa")
        newcomer = await register_merchant(market.app.ports, OPERATOR, name="New")
        held = market.app.ports.reconciliation.holds_back
        assert await held(newcomer.id, "test", new_id("ord")) is None
        site.server.control("DELETE", f"faults/{rule}")
        await reconcile(market, only_restored=True)
        assert (await paid(market, order)).status == "captured"


async def test_s20_the_running_reconciler_sees_the_restore_by_itself(site: Site) -> None:
    async with site.open() as market:
        ports, url = market.app.ports, market.app.settings.database_url
        saga = PaymentSaga(ports, worker=0, call_limit_s=20)
        roles = [
            Reconciler(ports, saga.look_at, url, every_s=3600, call_limit_s=20, poll_s=0.05)
            for _ in range(2)
        ]
        async with running(*roles):
            await until(lambda: _listed(market))
            await site.restored()
            held = ports.reconciliation.holds_back
            order_id = new_id("ord")

            async def released() -> bool:
                return await held(site.merchant_id, "test", order_id) is None

            await until(released, 60)
        async with market.app.pool.connection() as db:
            rows = await (await db.execute("SELECT mode FROM merchants_reconciled")).fetchall()
        assert {row[0] for row in rows} == {"test", "live"}


async def _listed(market: Market) -> bool:
    async with market.app.pool.connection() as db:
        return await (await db.execute("SELECT FROM reconciled")).fetchone() is not None
