"""The bank's memory: keys, processes, SIGKILL, and totals that never go wrong."""

import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapters.sandbox import rules
from adapters.sandbox.bank import Bank
from adapters.sandbox.objects import Capture, Payment, Refund, View
from adapters.sandbox.tokens import SCRIPTS
from tests.adapters.sandbox.customer import created, held, open_new_files, taken

DIES_AT = """
import os, signal, sys
from pathlib import Path
from adapters.sandbox.bank import Bank
path, statement, reference = sys.argv[1:]
bank = Bank(Path(path))
bank._store._db.set_trace_callback(
    lambda sql: os.kill(os.getpid(), signal.SIGKILL) if sql.startswith(statement) else None
)
bank.capture(reference, key="k", amount=4000, currency="EUR", final=False, subject="cap_1")
"""
PAYS = """
import sys
from pathlib import Path
from adapters.sandbox.bank import Bank
bank = Bank(Path(sys.argv[1]))
sys.stdin.readline()
for n in range(int(sys.argv[2])):
    reference = bank.create(
        key=f"{n}:create", order_id=f"ord_{n}", attempt_id=f"att_{n}", merchant="mer_1",
        mode="test", amount=100, currency="EUR",
    ).reference
    authorized = bank.confirm(reference, key=f"{n}:confirm")
    captured = bank.capture(reference, key=f"{n}:capture", amount=60, currency="EUR", final=False)
    print(authorized.result, authorized.at_us, captured.result, captured.object_id)
bank.close()
"""


def python(script: str, *args: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", script, *args], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.parametrize(
    "statement", ["UPDATE payments", "INSERT INTO captures", "INSERT INTO keys", "COMMIT"]
)
def test_a_kill_before_the_commit_leaves_neither_effect_nor_answer(
    bank: Bank, path: Path, statement: str
) -> None:
    reference = held(bank)
    child = python(DIES_AT, str(path), statement, reference)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    view = bank.lookup(reference)
    assert view is not None
    assert (view.payment.held, view.captures) == (10_000, ())
    for _ in range(2):
        bank.capture(reference, key="k", amount=4_000, currency="EUR", final=False, subject="cap_1")
    view = bank.lookup(reference)
    assert view is not None
    assert (view.payment.held, view.captured) == (6_000, 4_000)


def test_a_kill_after_the_commit_leaves_effect_and_answer(bank: Bank, path: Path) -> None:
    reference = held(bank)
    script = DIES_AT + "\nos.kill(os.getpid(), signal.SIGKILL)"
    child = python(script, str(path), "nothing like this", reference)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    before = bank.lookup(reference)
    assert before is not None
    answer = bank.capture(
        reference, key="k", amount=4_000, currency="EUR", final=False, subject="cap_1"
    )
    assert [answer.object_id] == [capture.id for capture in before.captures]
    assert bank.lookup(reference) == before


def test_two_processes_on_one_new_file_make_each_keys_effect_once(path: Path) -> None:
    payments = 100
    children = [python(PAYS, str(path), str(payments)) for _ in range(2)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    (first, first_err), (second, second_err) = [child.communicate(timeout=60) for child in children]
    assert (first_err, second_err) == ("", "")
    assert first == second
    assert len(first.splitlines()) == payments
    bank = Bank(path)
    books = bank.books()
    bank.close()
    assert len(books.orders) == payments
    assert books.violations == ()
    totals = {(order.held, order.captured, len(order.payments)) for order in books.orders.values()}
    assert totals == {(40, 60, 1)}


def test_several_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(4)
    openers = [spawn.Process(target=open_new_files, args=(together, tmp_path)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(timeout=60)
    assert [opener.exitcode for opener in openers] == [0] * 4


def test_a_key_is_refused_with_other_parameters_for_another_operation_or_payment(
    bank: Bank,
) -> None:
    first, second = held(bank), held(bank, order="ord_2")
    bank.capture(first, key="k", amount=4_000, currency="EUR", final=False)
    before = bank.lookup(first), bank.lookup(second)
    answers = [
        bank.capture(first, key="k", amount=4_001, currency="EUR", final=False),
        bank.capture(first, key="k", amount=4_000, currency="EUR", final=True),
        bank.capture(first, key="k", amount=4_000, currency="USD", final=False),
        bank.capture(
            first, key="k", amount=4_000, currency="EUR", final=False, correlation_id="other"
        ),
        bank.capture(second, key="k", amount=4_000, currency="EUR", final=False),
        bank.refund(first, key="k", amount=4_000, currency="EUR"),
        bank.cancel(first, key="k"),
        bank.confirm(first, key="k"),
    ]
    assert {answer.result for answer in answers} == {"key_reused"}
    assert (bank.lookup(first), bank.lookup(second)) == before


def test_a_refusal_is_remembered_under_its_key(bank: Bank) -> None:
    reference = created(bank)
    refusal = bank.capture(reference, key="k", amount=1, currency="EUR")
    assert (refusal.result, refusal.code) == ("refused", "not_authorized")
    bank.confirm(reference, key="confirm")
    assert bank.capture(reference, key="k", amount=1, currency="EUR") == refusal
    assert bank.capture(reference, key="k2", amount=1, currency="EUR").result == "ok"


def test_a_new_key_makes_another_payment_and_another_capture(bank: Bank) -> None:
    references = {taken(bank, n=1), taken(bank, n=2)}
    assert len(references) == 2
    reference = held(bank, order="ord_2")
    for key in ("a", "b"):
        bank.capture(reference, key=key, amount=1, currency="EUR", final=False, subject="cap_1")
    assert bank.books().orders["ord_2"].captured == 2


def test_what_is_authorized_is_not_confirmed_again_under_a_new_key(bank: Bank) -> None:
    reference = held(bank)
    again = bank.confirm(reference, key="another")
    assert (again.result, again.code) == ("refused", "already_authorized")
    assert bank.confirm(reference, key="ord_1:1:confirm").result == "ok"


def test_a_hold_lapses_at_its_end_and_what_was_captured_stays(path: Path) -> None:
    now = [0]
    bank = Bank(path, hold_s=10, clock=lambda: now[0])
    whole, partly = held(bank, n=1), held(bank, n=2)
    bank.capture(partly, key="c", amount=4_000, currency="EUR", final=False)
    now[0] = 9_999_999
    assert bank.lookup(whole) is not None
    assert bank.books().orders["ord_1"].held == 16_000
    now[0] = 10_000_000
    for reference, status in ((whole, "expired"), (partly, "captured")):
        answer = bank.capture(reference, key=f"late {reference}", amount=1, currency="EUR")
        assert (answer.result, answer.hold_gone) == ("refused", True)
        view = bank.lookup(reference)
        assert view is not None
        assert (view.payment.status, view.payment.held) == (status, 0)
    assert bank.books().orders["ord_1"].captured == 4_000
    bank.close()


def test_the_dashboard_acts_without_our_ids(bank: Bank) -> None:
    captured, cancelled = held(bank, n=1, token="sbx_refund_decline"), held(bank, n=2)
    assert bank.dashboard_capture(captured, amount=6_000).result == "ok"
    assert bank.dashboard_refund(captured, amount=1_000).result == "ok"
    assert bank.dashboard_cancel(cancelled).amount == 10_000
    assert bank.dashboard_cancel("nobody").result == "no_such_payment"
    view = bank.lookup(captured)
    assert view is not None
    assert [(c.amount, c.subject) for c in view.captures] == [(6_000, None)]
    assert [(r.amount, r.subject) for r in view.refunds] == [(1_000, None)]


class BankRules(RuleBasedStateMachine):
    """Any requests in any order, with any token: the totals of a payment always make sense."""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = 0
        self.made = 0
        self.view: View | None = None

    @precondition(lambda self: self.view is None)
    @rule(token=st.sampled_from(sorted(SCRIPTS)), amount=st.integers(1, 50))
    def create(self, token: str, amount: int) -> None:
        payment = Payment(
            reference="p",
            order_id="o",
            attempt_id="a",
            merchant="m",
            mode="test",
            amount=amount,
            currency="EUR",
            token=token,
            hold_us=100,
            status="open",
            changed_us=0,
        )
        self.view = View(payment=payment)

    def current(self, after_us: int) -> View:
        assert self.view is not None
        self.now_us += after_us
        return rules.as_of(self.view, self.now_us)

    def next_id(self) -> str:
        self.made += 1
        return str(self.made)

    @precondition(lambda self: self.view)
    @rule(after_us=st.integers(0, 40), repeated=st.booleans())
    def confirm(self, *, after_us: int, repeated: bool) -> None:
        self.view, _ = rules.confirm(self.current(after_us), self.now_us, repeated=repeated)

    @precondition(lambda self: self.view)
    @rule(approve=st.booleans())
    def challenge(self, *, approve: bool) -> None:
        self.view, _ = rules.challenge(self.current(1), self.now_us, approve=approve)

    @precondition(lambda self: self.view)
    @rule(after_us=st.integers(0, 40), amount=st.integers(0, 60), final=st.booleans())
    def capture(self, *, after_us: int, amount: int, final: bool) -> None:
        view = self.current(after_us)
        new = Capture(
            id=self.next_id(), reference="p", subject=None, amount=amount, at_us=self.now_us
        )
        self.view, answer = rules.capture(view, new, "EUR", final=final)
        assert (answer.result == "ok") == (len(self.view.captures) > len(view.captures))

    @precondition(lambda self: self.view)
    @rule()
    def cancel(self) -> None:
        view = self.current(1)
        self.view, answer = rules.cancel(view, self.now_us)
        if answer.result == "ok":
            assert self.view.payment.held == 0
            assert answer.amount == view.payment.held

    @precondition(lambda self: self.view)
    @rule(amount=st.integers(0, 60), by_merchant=st.booleans())
    def refund(self, *, amount: int, by_merchant: bool) -> None:
        view = self.current(1)
        new = Refund(
            id=self.next_id(),
            reference="p",
            subject=None,
            amount=amount,
            status="succeeded",
            at_us=self.now_us,
        )
        self.view, _ = rules.refund(view, new, "EUR", by_merchant=by_merchant)

    @precondition(lambda self: self.view and self.view.refunds)
    @rule(code=st.sampled_from(["card_closed"]))
    def a_refund_fails(self, code: str) -> None:
        view = self.current(1)
        self.view, _ = rules.refund_fails(view, view.refunds[-1].id, self.now_us, code)

    @precondition(lambda self: self.view)
    @rule()
    def look(self) -> None:
        self.view = rules.looked_at(self.current(1), self.now_us)

    @invariant()
    def totals_make_sense(self) -> None:
        if self.view is None:
            return
        payment, captured = self.view.payment, self.view.captured
        sent_back = sum(r.amount for r in self.view.refunds if r.status != "failed")
        assert 0 <= sent_back <= captured
        assert captured + payment.held <= payment.authorized
        assert payment.held >= 0
        assert payment.held == 0 or payment.status in {"authorized", "captured"}
        assert bool(captured) == (payment.status == "captured")


BankRules.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
test_no_order_of_requests_makes_the_totals_wrong = BankRules.TestCase
