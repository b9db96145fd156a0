"""An order's history as a person reads it, from the rows of its stream alone. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from domain import events as e
from domain.metadata import Actor, Sealed
from domain.money import Money
from domain.order.evolve import evolve
from domain.order.state import Order

Opened = Mapping[Sealed, bytes | None]
"""The JSON of each sealed box that was opened; None where its key was destroyed."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One event and what it made of the order.

    Attributes:
        words: the facts in a few words.
        after: the order's state right after the event.
    """

    row: e.Recorded
    words: str
    after: Order


def moments(rows: Sequence[e.Recorded], order: Order | None = None) -> list[Moment]:
    """Return the history of one order from its rows, in order; those before them gave `order`."""
    found: list[Moment] = []
    for row in rows:
        order = evolve(order, row.data, row.metadata, stream_id=row.stream_id)
        found.append(Moment(row=row, words=in_words(row.data), after=order))
    return found


def sealed_in(data: e.AnyEvent) -> Iterator[Sealed]:
    """Yield the sealed boxes of an event."""
    for name in data.__struct_fields__:
        value = getattr(data, name)
        if isinstance(value, Sealed):
            yield value


def as_json(rows: Sequence[e.Recorded], opened: Opened) -> list[dict[str, Any]]:
    """Return the rows as JSON-ready values, personal data opened, erased data None."""
    return [
        {
            "position": row.position,
            "version": row.version,
            "recordedAt": row.recorded_at,
            "tag": e.tag_of(type(row.data)),
            "metadata": msgspec.to_builtins(row.metadata),
            "data": _data(row.data, opened),
        }
        for row in rows
    ]


def _data(data: e.AnyEvent, opened: Opened) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(data)
    del plain["tag"]
    for name in data.__struct_fields__:
        value = getattr(data, name)
        if isinstance(value, Sealed):
            raw = opened.get(value)
            plain[name] = None if raw is None else msgspec.json.decode(raw)
    return plain


def actor_in_words(actor: Actor) -> str:
    """Return who it was, for example `api_key key_01…` or `saga payment`."""
    return f"{actor.kind} {actor.id}"


def amounts_in_words(order: Order) -> str:
    """Return what is held, captured and refunded of an order's amount."""
    currency = order.amount.currency
    parts = (
        ("authorized", order.amount_authorized),
        ("captured", order.amount_captured),
        ("refunded", order.amount_refunded),
    )
    said = [f"{name} {Money(minor, currency)}" for name, minor in parts if minor]
    return ", ".join((str(order.amount), *said))


def in_words(data: e.AnyEvent) -> str:  # noqa: C901, PLR0912 - one case per event
    """Return an event's facts in a few words; what has no case of its own shows its fields."""
    match data:
        case e.OrderCreated():
            return f"{data.amount}, captured {_how(data)}{_as(data.external_id)}"
        case e.OrderRouted():
            policy = data.decision.policy_version
            rule = f"rule {data.decision.rule}{f' of policy {policy}' if policy else ''}"
            token = f" with {data.token}" if data.token else ""
            return f"attempt {data.number} at {data.processor}{token}, by {rule}"
        case e.ProcessorReferenced():
            return f"{data.processor} knows it as {data.reference}"
        case e.OrderChallenged():
            return f"customer has to act ({data.kind}) until {data.deadline:%H:%M:%S}"
        case e.OrderAuthorized():
            return f"{data.amount} held at {data.processor} as {data.payment_id}"
        case e.OrderDeclined():
            return f"{data.processor} said no: {data.code} ({data.retry_class}), next: {data.next}"
        case e.OutcomeUnknown():
            return f"{data.operation} may or may not have happened: {data.cause}"
        case e.AttemptFenced():
            return f"proven that it can take no money: {data.proof}"
        case e.CaptureRequested():
            return f"permission to take {data.amount}, rest {data.remainder}"
        case e.OrderCaptured():
            return f"{data.amount} taken by {data.processor}{_rest(data)}"
        case e.CaptureFailed() | e.VoidFailed() | e.RefundFailed():
            return f"refused: {data.code}"
        case e.VoidRequested():
            return f"permission to give {data.amount} back at {data.processor}"
        case e.OrderVoided() | e.AuthorizationExpired():
            return f"{data.amount} no longer held at {data.processor}"
        case e.OrderFailed():
            return f"{data.code} ({data.retry_class}): {data.message}"
        case e.RefundRequested():
            stray = " (stray money)" if data.kind == "stray" else ""
            return f"permission to refund {data.amount} at {data.processor}{stray}"
        case e.OrderRefunded():
            return f"{data.amount} sent back by {data.processor}, {data.processor_id}"
        case e.RefundReversed():
            return f"{data.amount} came back: {data.code}"
        case e.DisputeOpened():
            return f"{data.amount} contested: {data.reason}"
        case e.FeeRecorded():
            return f"{data.amount} of {data.processor} for the {data.of}"
        case e.StrayPaymentFound():
            return f"{data.amount} {data.state} at {data.processor} against our will"
        case e.DiscrepancyFound():
            theirs = f"{data.theirs_minor} {data.theirs_currency} (minor units)"
            return f"{data.operation}: ours {data.ours}, theirs {theirs}"
        case e.SettlementReported():
            return f"{data.amount} paid out by {data.processor} as {data.payout_id}"
        case e.SettlementMatched():
            return f"{data.line.net} of {data.line.id} explained"
        case e.SettlementUnmatched():
            return f"{data.line.net} of {data.line.id} not explained: {data.reason}"
        case _:
            return _fields(data)


def _how(data: e.OrderCreated) -> str:
    return "by hand" if data.capture_method == "manual" else "automatically"


def _as(external_id: str | None) -> str:
    return f", externalId {external_id}" if external_id else ""


def _rest(data: e.OrderCaptured) -> str:
    released = f", {data.released} released" if data.released.minor else ""
    return f"{released}, {data.remaining} still held" if data.remaining.minor else released


def _fields(data: e.AnyEvent) -> str:
    """Return the plain fields of an event; sealed ones are only named."""
    said: list[str] = []
    for name in data.__struct_fields__:
        value = getattr(data, name)
        if isinstance(value, Sealed):
            said.append(f"{name} sealed")
        elif value is not None:
            said.append(f"{name} {value}")
    return ", ".join(said)
