"""The merchant: keys, accounts per mode, routing versions, endpoints."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain import events as e
from domain import merchant as m
from domain.errors import Conflict, NotFound, Rejected
from domain.metadata import Actor, Metadata, Sealed
from domain.routing import RoutingPolicy

AT = datetime(2026, 3, 1, tzinfo=UTC)
META = Metadata(
    event_id="evt_1",
    merchant_id="mer_1",
    mode=None,
    occurred_at=AT,
    actor=Actor("user", "u"),
    correlation_id="c",
)
URL = Sealed("k", b"url")


def after(*events: e.MerchantEvent) -> m.Merchant:
    merchant = m.evolve(None, e.MerchantRegistered(profile=URL), META, stream_id="mer_1")
    for event in events:
        merchant = m.evolve(merchant, event, META)
    return merchant


def done(merchant: m.Merchant, command: m.MerchantCommand) -> m.Merchant:
    for event in m.decide(merchant, command):
        merchant = m.evolve(merchant, event, META)
    return merchant


def issue(**fields: Any) -> m.IssueKey:
    values: dict[str, Any] = {
        "key_id": "key_1",
        "name": "Server",
        "prefix": "sk_test_abcd",
        "mode": "test",
    }
    return m.IssueKey(**(values | fields))


def configure(version: int = 1, mode: Any = "test", **fields: Any) -> m.ConfigureProcessor:
    return m.ConfigureProcessor(
        processor="stripe", mode=mode, account="acct_1", credential_version=version, **fields
    )


def test_a_merchant_registers_once() -> None:
    (registered,) = m.decide(None, m.Register(profile=URL))
    assert registered == e.MerchantRegistered(profile=URL)
    with pytest.raises(AssertionError):
        m.decide(after(), m.Register())
    with pytest.raises(AssertionError):
        m.decide(None, issue())
    assert m.fold([]) is None


def test_a_key_is_issued_with_the_payment_scopes_and_revoked_once() -> None:
    merchant = done(after(), issue())
    assert [(k.id, k.scopes, k.revoked) for k in merchant.keys] == [
        ("key_1", ("payments:write", "payments:read"), False)
    ]
    merchant = done(merchant, m.RevokeKey(key_id="key_1"))
    assert merchant.keys[0].revoked
    assert m.decide(merchant, m.RevokeKey(key_id="key_1")) == ()


def test_what_does_not_exist_is_not_found() -> None:
    for command in (
        m.RevokeKey(key_id="key_9"),
        m.RemoveProcessor(processor="stripe", mode="live"),
    ):
        with pytest.raises(NotFound, match=r"."):
            m.decide(done(after(), configure()), command)


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(Rejected, match="money:all"):
        m.decide(after(), issue(scopes=("payments:read", "money:all")))


def test_an_account_is_per_mode_and_the_newest_counts() -> None:
    merchant = done(done(done(after(), configure()), configure(2)), configure(7, "live"))
    (test,) = merchant.accounts_of("test")
    (live,) = merchant.accounts_of("live")
    assert (test.credential_version, live.credential_version) == (2, 7)
    merchant = done(merchant, m.RemoveProcessor(processor="stripe", mode="test"))
    assert (merchant.accounts_of("test"), merchant.accounts_of("live")) == ((), (live,))


def test_routing_is_versioned_per_mode() -> None:
    merchant = after()
    assert merchant.policy_of("test") == RoutingPolicy()
    for version, fallback in ((1, "stripe"), (2, "razorpay")):
        policy = RoutingPolicy(version=99, fallback=fallback)
        merchant = done(merchant, m.SetRouting(mode="test", policy=policy))
        assert merchant.policy_of("test").version == version
    assert merchant.policy_of("live").version == 0


def test_the_same_rules_again_are_no_version_and_others_than_meant_are_not_replaced() -> None:
    rules = RoutingPolicy(fallback="stripe")
    merchant = done(after(), m.SetRouting(mode="test", policy=rules))
    for replaces in (None, 0, 1):
        command = m.SetRouting(mode="test", policy=rules, replaces=replaces)
        assert m.decide(merchant, command) == ()
    other = m.SetRouting(mode="test", policy=RoutingPolicy(), replaces=0)
    with pytest.raises(Conflict) as refused:
        m.decide(merchant, other)
    assert refused.value.code == "concurrent_change"


def test_an_endpoint_is_changed_where_something_is_said() -> None:
    added = e.EndpointAdded(
        endpoint_id="whe_1", mode="test", url=URL, events=("*",), api_version="2026-01-01"
    )
    failing = e.EndpointChanged(endpoint_id="whe_1", status="failing", disabled_reason="down")
    other = e.EndpointChanged(endpoint_id="whe_2", status="disabled")
    (endpoint,) = after(added, failing, other).endpoints
    assert (endpoint.status, endpoint.url, endpoint.events) == ("failing", URL, ("*",))
    assert after(added, e.EndpointRemoved(endpoint_id="whe_1")).endpoints == ()


def test_every_event_counts_a_version() -> None:
    erased = e.CustomerErased(subject="5f", mode="test")
    changed = e.ProfileChanged(profile=Sealed("k", b"new"))
    merchant = after(changed, erased)
    assert (merchant.version, merchant.profile) == (3, Sealed("k", b"new"))
