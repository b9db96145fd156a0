"""Payouts of every kind over orders of every kind: the books say what the reports say."""

from collections import Counter
from random import Random
from typing import get_args

import pytest
from msgspec.structs import replace

from domain import events as e
from domain import settlement as s
from domain.errors import Rejected
from domain.ids import is_id, named_id
from domain.money import Money
from domain.settlement_facts import Fact, facts
from tests.domain import story
from tests.domain.payouts import Payouts
from tests.domain.story import START

ENOUGH = 20
EVENTS_MAX = 60_000


def report(*lines: e.Line, amount: Money | None = None) -> s.Report:
    total = Money(sum(line.net.minor for line in lines), "USD")
    return s.Report(
        processor="stripe",
        payout_id="po_1",
        amount=amount or total,
        arrived_at=START,
        entries=tuple(s.Entry(line=line) for line in lines),
    )


def line(reference: str | None = "ch_1", minor: int = 1000, **fields: object) -> e.Line:
    values: dict[str, object] = {
        "id": f"txn_{reference}",
        "kind": "capture",
        "reference": reference,
        "gross": Money(minor, "USD"),
        "settled": Money(minor, "USD"),
        "fee": Money(59, "USD"),
        "at": START,
    }
    return e.Line(**(values | fields))  # type: ignore[arg-type]


def fact(**fields: object) -> Fact:
    values: dict[str, object] = {
        "order_id": "ord_1",
        "attempt_id": "att_1",
        "kind": "capture",
        "subject": "cap_1",
        "reference": "ch_1",
        "amount": Money(1000, "USD"),
        "of": "capture",
        "fee": Money(59, "USD"),
    }
    return Fact(**(values | fields))  # type: ignore[arg-type]


def test_the_books_of_every_payout_are_what_its_report_says() -> None:
    """Every event is posted and compared by `tests.domain.payouts`, order and payout alike."""
    seen: Counter[str] = Counter()
    events, seed = 0, 0
    while events < EVENTS_MAX and _rare(seen):
        payouts, seed = Payouts(Random(seed)), seed + 1
        for _ in range(12):
            payouts.order()
            payouts.order()
            payouts.pay_out()
            for _ in range(3):
                payouts.operate()
        events += payouts.events
        seen.update(payouts.seen)
    print(f"{events} events", *(f"{n} {what}" for what, n in sorted(seen.items())), sep="\n")
    assert _rare(seen) == {}


def _rare(seen: Counter[str]) -> dict[str, int]:
    kinds = get_args(e.LineKind)
    wanted = {f"{kind} exactly" for kind in kinds if kind != "other"}
    wanted |= {"capture stray", "refund stray", "capture off", "refund off", "other outside"}
    wanted |= {"capture outside", "converted", "refused currency_differs"}
    wanted |= set(get_args(e.Mismatch))
    return {what: seen[what] for what in wanted if seen[what] < ENOUGH}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ([], "unknown_payment"),
        ([fact(reference="ch_2")], "unknown_payment"),
        ([fact(kind="refund")], "unknown_payment"),
        ([fact(amount=Money(999, "USD"))], "amount_differs"),
        ([fact(amount=Money(1000, "EUR"))], "currency_differs"),
        ([fact(fee=Money(58, "USD"))], "fee_differs"),
        ([fact(fee=Money(59, "EUR"))], "fee_differs"),
        ([fact(subject="cap_taken")], "duplicate"),
    ],
)
def test_a_line_that_does_not_fit_says_why(facts: list[Fact], reason: str) -> None:
    found, _ = s.explain(line(), facts, {("ord_1", "capture", "cap_taken")})
    assert found == reason


def test_a_line_without_anything_it_is_about_is_not_ours() -> None:
    assert s.explain(line(kind="other", reference=None), [fact()], set())[0] == "not_ours"


def test_of_several_facts_the_one_with_the_lines_amount_explains_it() -> None:
    facts = [fact(subject="cap_0", amount=Money(400, "USD")), fact(), fact(subject="cap_2")]
    found, about = s.explain(line(), facts, set())
    assert found == e.Match(order_id="ord_1", subject="cap_1")
    assert about == facts[1]
    assert s.explain(line(), facts, {facts[1].key})[1] == facts[2]


def test_a_fee_that_nobody_recorded_is_no_difference() -> None:
    found, _ = s.explain(line(), [fact(fee=None)], set())
    assert isinstance(found, e.Match)


def test_what_an_operator_believes_is_the_difference_to_our_books() -> None:
    ours = fact(amount=Money(990, "USD"), fee=Money(60, "USD"))
    match = s.accepted(line(), ours)
    assert (match.gross_off, match.fee_off) == (Money(10, "USD"), Money(-1, "USD"))
    assert s.accepted(line(), fact()) == s.match_of(fact())
    assert s.accepted(line(), None) == e.Match(outside=True)
    for other in (fact(amount=Money(1000, "EUR")), fact(fee=Money(59, "EUR"))):
        with pytest.raises(Rejected) as refused:
            s.accepted(line(), other)
        assert refused.value.code == "currency_differs"


@pytest.mark.parametrize(
    "wrong",
    [
        report(line(), line()),
        report(line(), amount=Money(942, "USD")),
        report(line(settled=Money(1000, "GBP"), fee=Money(0, "GBP")), amount=Money(1000, "USD")),
    ],
    ids=["a line twice", "another sum", "another currency"],
)
def test_a_report_that_does_not_add_up_is_refused(wrong: s.Report) -> None:
    with pytest.raises((Rejected, TypeError)) as refused:
        s.reported(wrong, "acct_1")
    assert getattr(refused.value, "code", "invalid_report") == "invalid_report"


def test_what_was_converted_is_summed_up_per_currency() -> None:
    euros = {"gross": Money(100, "EUR"), "settled": Money(108, "USD")}
    yen = {"gross": Money(500, "JPY"), "settled": Money(335, "USD")}
    lines = (line("a", **euros), line("b"), line("c", **yen), line("d", **euros))
    assert s.reported(report(*lines), "acct_1").converted == (
        e.Conversion(Money(200, "EUR"), Money(216, "USD")),
        e.Conversion(Money(500, "JPY"), Money(335, "USD")),
    )


def test_a_payout_has_one_id_whoever_brings_its_report() -> None:
    names = ("mer_1", "test", "stripe", "acct_1", "po_1")
    assert named_id("set", *names) == named_id("set", *names) == ("set_714rwjhgdegsvrbsnyhwkk3bjh")
    assert is_id(named_id("set", *names), "set")
    others = {named_id("set", *names[:n], "x", *names[n + 1 :]) for n in range(5)}
    assert len(others | {named_id("set", *names)}) == 6
    assert named_id("set", "a", "bc") != named_id("set", "ab", "c")


def test_the_facts_of_an_order_are_what_moved_at_its_processor() -> None:
    life = story.taken().must(
        story.refund(300),
        story.refunded("ref_1", 300),
        replace(story.dispute(0, "won"), amount_minor=700, reinstated_minor=700),
    )
    rows = [
        e.Recorded(
            stream_id="ord_1",
            version=n,
            position=n,
            recorded_at=START,
            metadata=story.metadata(n),
            data=event,
        )
        for n, event in enumerate(life.history, 1)
    ]
    found = [(f.kind, f.subject, f.reference, f.amount.minor) for f in facts(rows)]
    assert found == [
        ("capture", "cap_of_att_1", "ch_cap_of_att_1_att_1", 1000),
        ("refund", "ref_1", "re_ref_1_300", -300),
        ("dispute", "dsp_1", "dp_1", -700),
        ("dispute_reversal", "dsp_1", "dp_1", 700),
    ]
