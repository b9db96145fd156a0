"""What every processor must do, so that the ledger can rely on it without knowing which it is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from commands.observed import Absent, Listed, ListedPage, ListedPayment, Observed
from commands.outcomes import (
    Challenged,
    Declined,
    Fact,
    NotSent,
    Outcome,
    Pending,
    Referenced,
    Succeeded,
    Unknown,
)
from commands.processor import AttemptCall, Credentials, MoneyCall, Window
from domain.money import Money
from tests.contracts.rigs import RIGS, Rig, Vendors
from tests.sandbox_server import SandboxServer, sandbox_server

AMOUNT = 10_000
SETTLED_S = 40.0
"""After so long a processor has decided what it had left open."""
LAPSED_S = 7 * 86_400 + 60.0


@dataclass
class Payer:
    """One order's attempt at a processor, step by step, with a key for every operation."""

    rig: Rig
    role: str = "approve"
    attempt: str = "att_1"
    reference: str = ""
    payment_id: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def call(self) -> AttemptCall:
        if self.role not in self.rig.tokens:
            pytest.skip(f"{self.rig.processor.name} has no token for {self.role!r}")
        return AttemptCall(
            order_id="ord_1",
            attempt_id=self.attempt,
            merchant_id="mer_1",
            mode="test",
            amount=Money(self.amount, "EUR"),
            idempotency_key=f"pay:{self.attempt}",
            correlation_id="corr-1",
            token=self.rig.tokens[self.role],
        )

    @property
    def amount(self) -> int:
        return self.rig.amounts.get(self.role, AMOUNT)

    def money(self, minor: int | None = None, *, final: bool = True) -> MoneyCall:
        """Make a call with a key that was never used."""
        subject = f"subject_{next(self.numbers)}"
        return MoneyCall(
            order_id="ord_1",
            attempt_id=self.attempt,
            merchant_id="mer_1",
            mode="test",
            subject=subject,
            reference=self.reference,
            payment_id=self.payment_id or self.reference,
            amount=Money(self.amount if minor is None else minor, "EUR"),
            idempotency_key=f"key:{subject}",
            correlation_id="corr-1",
            final=final,
        )

    async def prepare(self) -> str:
        referenced = await self.rig.processor.prepare(self.call, self.rig.credentials)
        assert isinstance(referenced, Referenced)
        self.reference = referenced.reference
        return self.reference

    async def authorize(self, key: str | None = None) -> Outcome:
        call = replace(self.call, idempotency_key=key) if key else self.call
        outcome = await self.rig.processor.authorize(call, self.reference, self.rig.credentials)
        if self.rig.checkout and isinstance(outcome, Challenged) and self.role != "challenge":
            self.rig.answer_challenge(self.reference, approve=True)
            outcome = await self.rig.processor.authorize(call, self.reference, self.rig.credentials)
        if isinstance(outcome, Succeeded):
            self.payment_id = outcome.fact.payment_id
        return outcome

    async def authorized(self) -> Fact:
        await self.prepare()
        return happened(await self.authorize())

    async def capture(self, call: MoneyCall) -> Outcome:
        return await self.rig.processor.capture(call, self.rig.credentials)

    async def captured(self) -> MoneyCall:
        await self.authorized()
        call = self.money()
        happened(await self.capture(call))
        return call

    async def void(self, call: MoneyCall) -> Outcome:
        return await self.rig.processor.void(call, self.rig.credentials)

    async def refund(self, call: MoneyCall) -> Outcome:
        return await self.rig.processor.refund(call, self.rig.credentials)

    async def seen(self) -> Observed:
        observed = await self.rig.processor.lookup(
            self.reference, "authorize", self.rig.credentials
        )
        assert isinstance(observed, Observed)
        return observed


def happened(outcome: Outcome) -> Fact:
    assert isinstance(outcome, Succeeded), outcome
    return outcome.fact


def refused(outcome: Outcome) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return outcome


def needs_void(rig: Rig) -> None:
    if not rig.processor.capabilities.void:
        pytest.skip("gives nothing back on request")


@pytest.fixture(scope="session")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    with ExitStack() as stack:

        @cache
        def start() -> SandboxServer:
            return stack.enter_context(sandbox_server(tmp_path_factory.mktemp("vendors")))

        yield start


@pytest.fixture(params=RIGS)
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, vendors: Vendors
) -> AsyncIterator[Rig]:
    name: str = request.param
    with RIGS[name](tmp_path, vendors) as made:
        assert made.processor.name == name
        yield made
        await made.processor.aclose()


async def test_preparing_moves_no_money(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.prepare()
    seen = await payer.seen()
    assert seen.reference == payer.reference
    assert seen.status == ("challenged" if rig.checkout else "open")
    assert (seen.authorized_minor, seen.held_minor, seen.payment_id) == (0, 0, None)


async def test_the_same_key_prepares_the_same_object_and_a_new_key_another(rig: Rig) -> None:
    payer = Payer(rig)
    first = await payer.prepare()
    assert await payer.prepare() == first
    assert await Payer(rig, attempt="att_2").prepare() != first


@pytest.mark.parametrize("role", ["approve", "none"])
async def test_authorizing_holds_the_whole_amount(rig: Rig, role: str) -> None:
    payer = Payer(rig, role)
    fact = await payer.authorized()
    assert (fact.amount_minor, fact.currency) == (AMOUNT, "EUR")
    assert fact.at.tzinfo == UTC
    assert fact.capture_before is not None
    assert fact.capture_before > datetime.now(UTC)
    seen = await payer.seen()
    assert (seen.status, seen.held_minor, seen.authorized_minor) == ("authorized", AMOUNT, AMOUNT)
    assert (seen.payment_id, seen.currency) == (fact.payment_id, "EUR")
    assert seen.capture_before == fact.capture_before
    assert (seen.captures, seen.refunds, seen.decline, seen.challenge) == ((), (), None, None)


async def test_the_same_key_authorizes_once(rig: Rig) -> None:
    payer = Payer(rig)
    fact = await payer.authorized()
    assert happened(await payer.authorize()) == fact
    assert (await payer.seen()).authorized_minor == AMOUNT


async def test_what_is_authorized_is_never_called_declined(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.authorized()
    outcome = await payer.authorize(key="another")
    assert isinstance(outcome, Unknown | Succeeded)
    assert (await payer.seen()).authorized_minor == AMOUNT


@pytest.mark.parametrize("retry_class", ["failover", "later", "stop", "fix_input"])
async def test_a_decline_is_definite_and_has_its_class(rig: Rig, retry_class: str) -> None:
    payer = Payer(rig, f"decline {retry_class}")
    await payer.prepare()
    decline = refused(await payer.authorize())
    assert (decline.retry_class, decline.expired) == (retry_class, False)
    assert await payer.authorize() == decline
    seen = await payer.seen()
    assert (seen.status, seen.decline, seen.held_minor) == ("declined", decline, 0)


async def test_a_declined_attempt_can_be_closed_for_ever(rig: Rig) -> None:
    payer = Payer(rig, "decline failover")
    await payer.prepare()
    await payer.authorize()
    if rig.processor.capabilities.closes_declined or not rig.processor.capabilities.void:
        pytest.skip("nothing to close, or no way to")
    assert happened(await payer.void(payer.money())).amount_minor == 0
    assert (await payer.seen()).status == "cancelled"
    refused(await payer.authorize(key="another"))
    assert (await payer.seen()).held_minor == 0


async def test_an_attempt_that_was_never_authorized_can_be_closed_for_ever(rig: Rig) -> None:
    needs_void(rig)
    payer = Payer(rig)
    await payer.prepare()
    happened(await payer.void(payer.money()))
    refused(await payer.authorize())
    seen = await payer.seen()
    assert (seen.status, seen.authorized_minor) == ("cancelled", 0)


async def test_an_approved_challenge_holds_the_money(rig: Rig) -> None:
    payer = Payer(rig, "challenge")
    await payer.prepare()
    challenged = await payer.authorize()
    assert isinstance(challenged, Challenged)
    assert challenged.redirect_url or challenged.client_secret or challenged.key_id
    seen = await payer.seen()
    assert (seen.status, seen.held_minor, seen.challenge) == ("challenged", 0, challenged)
    rig.answer_challenge(payer.reference, approve=True)
    seen = await payer.seen()
    assert (seen.status, seen.held_minor, seen.challenge) == ("authorized", AMOUNT, None)


@pytest.mark.parametrize(
    ("role", "approve", "retry_class"),
    [("challenge", False, "authenticate"), ("challenge then decline", True, "failover")],
)
async def test_a_challenge_may_end_in_a_decline(
    *, rig: Rig, role: str, approve: bool, retry_class: str
) -> None:
    if rig.checkout:
        pytest.skip("after a refused card the customer may take another")
    payer = Payer(rig, role)
    await payer.prepare()
    assert isinstance(await payer.authorize(), Challenged)
    rig.answer_challenge(payer.reference, approve=approve)
    seen = await payer.seen()
    assert (seen.status, seen.held_minor, seen.challenge) == ("declined", 0, None)
    assert seen.decline is not None
    assert seen.decline.retry_class == retry_class


async def test_a_closed_challenge_cannot_be_approved(rig: Rig) -> None:
    needs_void(rig)
    payer = Payer(rig, "challenge")
    await payer.prepare()
    await payer.authorize()
    happened(await payer.void(payer.money()))
    rig.answer_challenge(payer.reference, approve=True)
    seen = await payer.seen()
    assert (seen.status, seen.held_minor) == ("cancelled", 0)


async def test_a_challenge_that_is_approved_by_itself_is_seen_at_the_lookup(rig: Rig) -> None:
    payer = Payer(rig, "challenge approved by itself")
    await payer.prepare()
    assert isinstance(await payer.authorize(), Challenged)
    assert (await payer.seen()).status == "authorized"


async def test_a_pending_authorization_is_neither_yes_nor_no(rig: Rig) -> None:
    payer = Payer(rig, "pending")
    await payer.prepare()
    assert isinstance(await payer.authorize(), Pending)
    seen = await payer.seen()
    assert (seen.status, seen.held_minor) == ("processing", 0)
    rig.time_passes(SETTLED_S)
    assert (await payer.seen()).status == "authorized"
    assert happened(await payer.authorize()).amount_minor == payer.amount


async def test_a_pending_authorization_can_be_asked_for_again_until_it_is_there(rig: Rig) -> None:
    payer = Payer(rig, "pending")
    await payer.prepare()
    assert isinstance(await payer.authorize(), Pending)
    assert isinstance(await payer.authorize(), Pending)
    rig.time_passes(SETTLED_S)
    assert happened(await payer.authorize()).amount_minor == payer.amount


async def test_a_pending_authorization_is_not_closed_before_it_is_decided(rig: Rig) -> None:
    needs_void(rig)
    payer = Payer(rig, "pending")
    await payer.prepare()
    assert isinstance(await payer.authorize(), Pending)
    call = payer.money()
    assert isinstance(await payer.void(call), Pending)
    rig.time_passes(SETTLED_S)
    assert happened(await payer.void(call)).amount_minor == payer.amount
    seen = await payer.seen()
    assert (seen.status, seen.held_minor) == ("cancelled", 0)


async def test_capturing_takes_the_money_once_per_key(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.authorized()
    call = payer.money()
    fact = happened(await payer.capture(call))
    assert (fact.payment_id, fact.amount_minor, fact.currency) == (payer.payment_id, AMOUNT, "EUR")
    assert fact.at.tzinfo == UTC
    assert happened(await payer.capture(call)) == fact
    seen = await payer.seen()
    assert (seen.status, seen.held_minor) == ("captured", 0)
    (capture,) = seen.captures
    ours = call.subject if rig.keeps_capture_ids else None
    assert (capture.processor_id, capture.capture_id) == (fact.processor_id, ours)
    assert (capture.amount_minor, capture.at) == (AMOUNT, fact.at)


async def test_a_second_capture_is_a_definite_no_and_no_lapsed_hold(rig: Rig) -> None:
    if not rig.keeps_capture_ids:
        pytest.skip("cannot tell a second capture from the first one repeated")
    payer = Payer(rig)
    await payer.captured()
    decline = refused(await payer.capture(payer.money()))
    assert (decline.code, decline.expired) == ("already_captured", False)
    assert len((await payer.seen()).captures) == 1


async def test_a_final_partial_capture_releases_the_rest(rig: Rig) -> None:
    if not rig.processor.capabilities.partial_capture:
        pytest.skip("captures whole amounts only")
    payer = Payer(rig)
    await payer.authorized()
    assert happened(await payer.capture(payer.money(4_000))).amount_minor == 4_000
    seen = await payer.seen()
    assert (seen.status, seen.held_minor, seen.authorized_minor) == ("captured", 0, AMOUNT)


async def test_a_kept_rest_can_be_captured_or_released(rig: Rig) -> None:
    if not rig.processor.capabilities.several_captures:
        pytest.skip("captures once only")
    payer = Payer(rig)
    await payer.authorized()
    happened(await payer.capture(payer.money(4_000, final=False)))
    assert (await payer.seen()).held_minor == 6_000
    refused(await payer.capture(payer.money(6_001)))
    happened(await payer.capture(payer.money(1_000, final=False)))
    assert happened(await payer.void(payer.money())).amount_minor == 5_000
    seen = await payer.seen()
    assert (seen.status, seen.held_minor) == ("captured", 0)
    assert [capture.amount_minor for capture in seen.captures] == [4_000, 1_000]
    assert refused(await payer.capture(payer.money(1))).expired


async def test_more_than_is_held_cannot_be_captured(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.authorized()
    assert not refused(await payer.capture(payer.money(AMOUNT + 1))).expired
    seen = await payer.seen()
    assert (seen.status, seen.held_minor, seen.captures) == ("authorized", AMOUNT, ())


async def test_what_is_not_authorized_cannot_be_captured(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.prepare()
    refused(await payer.capture(payer.money()))
    assert (await payer.seen()).captures == ()


async def test_a_void_releases_the_hold_for_ever(rig: Rig) -> None:
    needs_void(rig)
    payer = Payer(rig)
    await payer.authorized()
    call = payer.money()
    fact = happened(await payer.void(call))
    assert fact.amount_minor == AMOUNT
    assert happened(await payer.void(call)) == fact
    seen = await payer.seen()
    assert (seen.status, seen.held_minor) == ("cancelled", 0)
    assert refused(await payer.capture(payer.money())).expired
    refused(await payer.void(payer.money()))


async def test_what_is_captured_cannot_be_voided(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.captured()
    refused(await payer.void(payer.money()))
    assert (await payer.seen()).status == "captured"


async def test_a_refund_sends_money_back_once_per_key(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.captured()
    call = payer.money(3_000)
    fact = happened(await payer.refund(call))
    assert (fact.amount_minor, fact.payment_id) == (3_000, payer.payment_id)
    assert happened(await payer.refund(call)) == fact
    (refund,) = (await payer.seen()).refunds
    assert (refund.processor_id, refund.refund_id) == (fact.processor_id, call.subject)
    assert (refund.amount_minor, refund.status) == (3_000, "succeeded")


async def test_a_refund_under_a_new_key_is_another_refund_up_to_what_was_captured(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.captured()
    happened(await payer.refund(payer.money(6_000)))
    refused(await payer.refund(payer.money(4_001)))
    happened(await payer.refund(payer.money(4_000)))
    refused(await payer.refund(payer.money(1)))
    assert [r.amount_minor for r in (await payer.seen()).refunds] == [6_000, 4_000]


async def test_what_is_not_captured_cannot_be_refunded(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.authorized()
    refused(await payer.refund(payer.money(1)))
    assert (await payer.seen()).refunds == ()


async def test_a_pending_refund_is_asked_for_again_and_made_once(rig: Rig) -> None:
    payer = Payer(rig, "refund pending")
    await payer.captured()
    call = payer.money()
    assert isinstance(await payer.refund(call), Pending)
    assert isinstance(await payer.refund(call), Pending)
    refused(await payer.refund(payer.money(1)))
    rig.time_passes(SETTLED_S)
    assert happened(await payer.refund(call)).amount_minor == payer.amount
    (refund,) = (await payer.seen()).refunds
    assert (refund.status, refund.refund_id) == ("succeeded", call.subject)


async def test_a_pending_refund_is_seen_pending_then_succeeded(rig: Rig) -> None:
    payer = Payer(rig, "refund pending")
    await payer.captured()
    assert isinstance(await payer.refund(payer.money()), Pending)
    assert (await payer.seen()).refunds[0].status == "pending"
    rig.time_passes(SETTLED_S)
    assert (await payer.seen()).refunds[0].status == "succeeded"


@pytest.mark.parametrize("operation", ["capture", "refund"])
async def test_a_known_key_with_another_amount_is_a_doubt_and_does_nothing(
    rig: Rig, operation: str
) -> None:
    payer = Payer(rig)
    await payer.authorized()
    can = rig.processor.capabilities
    part = 5_000 if can.partial_capture else AMOUNT
    verb, call = payer.capture, payer.money(part, final=not can.several_captures)
    if operation == "refund":
        await payer.capture(payer.money())
        verb = payer.refund
    happened(await verb(call))
    before = await payer.seen()
    assert isinstance(await verb(replace(call, amount=Money(part + 1, "EUR"))), Unknown)
    assert await payer.seen() == before


async def test_an_attempt_whose_parameters_changed_is_a_doubt(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.prepare()
    changed = replace(payer.call, amount=Money(1, "EUR"))
    assert isinstance(await rig.processor.prepare(changed, rig.credentials), Unknown)


async def test_what_the_processor_does_not_know_is_absent_and_any_call_on_it_a_doubt(
    rig: Rig,
) -> None:
    payer = Payer(rig, reference="no_such_reference")
    lookup = await rig.processor.lookup(payer.reference, "capture", rig.credentials)
    assert isinstance(lookup, Absent)
    assert isinstance(await payer.authorize(), Unknown)
    for verb in (payer.capture, payer.void, payer.refund):
        if verb != payer.void or rig.processor.capabilities.void:
            assert isinstance(await verb(payer.money()), Unknown)


async def test_a_lost_answer_to_an_authorization_is_a_doubt_that_a_lookup_ends(rig: Rig) -> None:
    payer = Payer(rig, "authorize, answer lost")
    await payer.prepare()
    assert isinstance(await payer.authorize(), Unknown)
    assert (await payer.seen()).held_minor == payer.amount
    assert happened(await payer.authorize()).amount_minor == payer.amount


@pytest.mark.parametrize("operation", ["capture", "refund"])
async def test_a_lost_answer_about_money_is_a_doubt_and_the_same_key_ends_it(
    rig: Rig, operation: str
) -> None:
    payer = Payer(rig, f"{operation}, answer lost")
    await payer.authorized()
    verb = payer.capture
    if operation == "refund":
        happened(await payer.capture(payer.money()))
        verb = payer.refund
    call = payer.money()
    assert isinstance(await verb(call), Unknown)
    seen = await payer.seen()
    ours = [r.refund_id for r in seen.refunds] or [c.capture_id for c in seen.captures]
    known = operation == "refund" or rig.keeps_capture_ids
    assert ours == [call.subject if known else None]
    assert happened(await verb(call)).amount_minor == payer.amount
    assert await payer.seen() == seen


async def test_a_processor_that_is_down_was_never_sent_anything(rig: Rig) -> None:
    call = Payer(rig, "unavailable").call
    for _ in range(2):
        assert isinstance(await rig.processor.prepare(call, rig.credentials), NotSent)


async def test_a_processor_that_was_down_once_takes_the_payment_then(rig: Rig) -> None:
    payer = Payer(rig, "unavailable once")
    assert isinstance(await rig.processor.prepare(payer.call, rig.credentials), NotSent)
    assert (await payer.authorized()).amount_minor == AMOUNT


async def test_a_refused_capture_leaves_the_hold(rig: Rig) -> None:
    payer = Payer(rig, "capture refused")
    await payer.authorized()
    assert not refused(await payer.capture(payer.money())).expired
    seen = await payer.seen()
    assert (seen.status, seen.held_minor, seen.captures) == ("authorized", AMOUNT, ())


async def test_a_refused_void_leaves_the_hold(rig: Rig) -> None:
    payer = Payer(rig, "void refused")
    await payer.authorized()
    refused(await payer.void(payer.money()))
    assert (await payer.seen()).held_minor == AMOUNT


async def test_a_refused_refund_leaves_the_money_where_it_is(rig: Rig) -> None:
    payer = Payer(rig, "refund refused")
    await payer.captured()
    refused(await payer.refund(payer.money()))
    assert [r for r in (await payer.seen()).refunds if r.status != "failed"] == []


async def test_another_amount_than_asked_is_told_as_it_is(rig: Rig) -> None:
    payer = Payer(rig, "wrong amount")
    fact = await payer.authorized()
    assert fact.amount_minor == AMOUNT - 1
    assert (await payer.seen()).authorized_minor == AMOUNT - 1


async def test_a_lapsed_hold_is_told_apart_from_a_refused_capture(rig: Rig) -> None:
    payer = Payer(rig, "hold lapses")
    await payer.authorized()
    rig.time_passes(LAPSED_S)
    assert refused(await payer.capture(payer.money())).expired
    seen = await payer.seen()
    assert (seen.held_minor, seen.captures) == (0, ())
    assert seen.status == ("expired" if rig.processor.capabilities.void else "cancelled")


def test_a_webhook_that_does_not_verify_is_refused(rig: Rig) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        rig.processor.parse_webhook(b"{}", {}, ["whsec_none"])


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)
"""The sandbox's clock is far ahead where other tests let time pass."""


async def listed(rig: Rig, since: datetime = LONG_AGO, until: datetime = FAR_AHEAD) -> list[Listed]:
    """Read page after page."""
    window = Window(merchant_id="mer_1", mode="test", since=since, until=until)
    found: list[Listed] = []
    while True:
        page = await rig.processor.listed(window, rig.credentials)
        assert isinstance(page, ListedPage), page
        assert len(page.items) <= 100
        found.extend(page.items)
        if page.after is None:
            return found
        window = replace(window, after=page.after)


async def test_a_list_says_whose_each_object_is_and_what_it_took(rig: Rig) -> None:
    bare, held, taken = Payer(rig, attempt="att_1"), Payer(rig, attempt="att_2"), Payer(rig)
    taken.attempt = "att_3"
    await bare.prepare()
    await held.authorized()
    await taken.captured()
    happened(await taken.refund(taken.money(4_000)))
    found = {item.attempt_id: item for item in await listed(rig)}
    assert {name: item.reference for name, item in found.items()} == {
        payer.attempt: payer.reference for payer in (bare, held, taken)
    }
    assert {(item.merchant_id, item.order_id) for item in found.values()} == {("mer_1", "ord_1")}
    assert found["att_1"].payments == ()
    assert found["att_2"].payments == (
        ListedPayment(payment_id=held.payment_id, held=True, captured_minor=0, refunded_minor=0),
    )
    assert found["att_3"].payments == (
        ListedPayment(
            payment_id=taken.payment_id, held=False, captured_minor=AMOUNT, refunded_minor=4_000
        ),
    )


async def test_a_list_is_of_its_time_only(rig: Rig) -> None:
    payer = Payer(rig)
    await payer.prepare()
    (item,) = await listed(rig)
    second = timedelta(seconds=1)
    assert await listed(rig, item.at - second, item.at + second) == [item]
    assert await listed(rig, LONG_AGO, item.at - second) == []
    assert await listed(rig, item.at + second) == []


async def test_a_long_list_comes_whole_in_pages(rig: Rig) -> None:
    payers = [Payer(rig, attempt=f"att_{n}") for n in range(101)]
    made = await asyncio.gather(*(payer.prepare() for payer in payers))
    assert sorted(item.reference for item in await listed(rig)) == sorted(made)


async def test_a_list_that_cannot_be_read_is_a_doubt(rig: Rig) -> None:
    window = Window(merchant_id="mer_1", mode="test", since=LONG_AGO, until=FAR_AHEAD)
    if not rig.credentials.values:
        pytest.skip("needs no credentials")
    found = await rig.processor.listed(window, Credentials({}))
    assert isinstance(found, Unknown)
