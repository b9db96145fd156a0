"""Webhook endpoints: limits, statuses, and secrets that overlap."""

from datetime import UTC, datetime, timedelta

import pytest

from domain import events as e
from domain.endpoints import (
    ENDPOINTS_MAX,
    FIRST_SECRET,
    OVERLAP,
    AddEndpoint,
    ChangeEndpoint,
    Endpoint,
    EndpointCommand,
    PingEndpoint,
    RemoveEndpoint,
    RotateSecret,
    decide,
    evolve,
)
from domain.errors import NotFound, Rejected
from domain.metadata import Actor, Metadata, Sealed

URL = Sealed("dk_1", b"url")
START = datetime(2026, 11, 20, tzinfo=UTC)


def after(
    *commands: EndpointCommand, at: datetime = START, before: tuple[Endpoint, ...] = ()
) -> tuple[Endpoint, ...]:
    meta = Metadata(
        event_id="evt_1",
        merchant_id="mer_1",
        mode=None,
        occurred_at=at,
        actor=Actor("api_key", "key_1"),
        correlation_id="c",
    )
    for command in commands:
        for event in decide(before, command):
            before = evolve(before, event, meta)
    return before


def add(endpoint_id: str = "whe_1") -> AddEndpoint:
    return AddEndpoint(
        endpoint_id=endpoint_id, mode="test", url=URL, events=("*",), api_version="2026-11-01"
    )


def test_there_is_a_limit_per_mode() -> None:
    full = after(*(add(f"whe_{n}") for n in range(ENDPOINTS_MAX)))
    with pytest.raises(Rejected) as refused:
        decide(full, add())
    assert refused.value.code == "endpoint_limit"


def test_what_says_nothing_new_gives_no_event() -> None:
    made = after(add())
    assert decide(made, ChangeEndpoint(endpoint_id="whe_1", status="enabled", events=("*",))) == ()
    failing = ChangeEndpoint(endpoint_id="whe_1", status="enabled", only_from="failing")
    disabled = after(ChangeEndpoint(endpoint_id="whe_1", status="disabled"), before=made)
    assert decide(disabled, failing) == ()


def test_a_reason_stays_with_its_status() -> None:
    gone = ChangeEndpoint(endpoint_id="whe_1", status="disabled", disabled_reason="gone")
    (endpoint,) = after(add(), gone, ChangeEndpoint(endpoint_id="whe_1", events=("test.ping",)))
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "gone")
    (endpoint,) = after(ChangeEndpoint(endpoint_id="whe_1", status="enabled"), before=(endpoint,))
    assert (endpoint.status, endpoint.disabled_reason) == ("enabled", None)


def test_a_replaced_secret_signs_for_a_day() -> None:
    made = after(add())
    first = after(RotateSecret(endpoint_id="whe_1", secret_id="b"), before=made)
    later = START + timedelta(hours=20)
    (twice,) = after(RotateSecret(endpoint_id="whe_1", secret_id="c"), at=later, before=first)
    assert made[0].signing(START) == (FIRST_SECRET,)
    assert twice.signing(later) == ("c", "b", FIRST_SECRET)
    assert twice.signing(START + OVERLAP) == ("c", "b")
    assert twice.signing(later + OVERLAP) == ("c",)


def test_a_disabled_endpoint_gets_no_ping_and_a_removed_one_is_unknown() -> None:
    made = after(add(), ChangeEndpoint(endpoint_id="whe_1", status="disabled"))
    with pytest.raises(Rejected) as refused:
        decide(made, PingEndpoint(endpoint_id="whe_1"))
    assert refused.value.code == "endpoint_disabled"
    assert decide(made, RemoveEndpoint(endpoint_id="whe_1")) == (
        e.EndpointRemoved(endpoint_id="whe_1"),
    )
    gone = after(RemoveEndpoint(endpoint_id="whe_1"), before=made)
    for command in (PingEndpoint(endpoint_id="whe_1"), RemoveEndpoint(endpoint_id="whe_1")):
        with pytest.raises(NotFound):
            decide(gone, command)
