"""One request's way: faults before, the effect in its database transaction, faults after."""

from typing import Any, Final

import msgspec

from adapters.sandbox_server.box import Box, Call
from adapters.sandbox_server.faults import Decision, Faults
from adapters.sandbox_server.razorpay_dialect import dialect as razorpay
from adapters.sandbox_server.stripe_dialect import dialect as stripe
from adapters.sandbox_server.stripe_dialect import errors as stripe_errors
from adapters.sandbox_server.wire import Answer, Damage, Json, Request

DIALECTS: Final[dict[str, Any]] = {"stripe": stripe, "razorpay": razorpay}
LATE: Final = "late"
EFFECTLESS: Final = b'{"sandbox": "this answer tells of nothing that happened"}'


class Desk:
    """Answers requests of both dialects."""

    def __init__(self, box: Box, faults: Faults) -> None:
        self._box = box
        self._faults = faults
        self._under_way: set[str] = set()
        box.jobs |= {**stripe.JOBS, **razorpay.JOBS, LATE: self._late}

    async def answer(self, request: Request) -> Answer:
        """Answer one request; the damage in the answer is still to be done."""
        box = self._box
        box.run_due()
        decisions = self._faults.decide(request)
        dialect = DIALECTS[request.dialect]
        key = dialect.key_of(request)
        if key and (key in self._under_way or box.is_scheduled(LATE, key)):
            answer: Answer = dialect.busy(request)
            self._note(request, answer, "", decisions, done="no")
            return answer
        if key:
            self._under_way.add(key)
        try:
            return await self._struck(request, key, decisions)
        finally:
            self._under_way.discard(key or "")

    async def _struck(self, request: Request, key: str | None, decisions: list[Decision]) -> Answer:
        for decision in decisions:
            if decision.place == "after":
                continue
            if decision.damage.do == "delay":
                await self._box.clock.sleep(decision.damage.seconds)
                continue
            answer = undone(request, decision.damage)
            late = decision.place == "late"
            with self._box.store.transaction():
                self._note(request, answer, "", decisions, done="late" if late else "no")
                if late:
                    self._later(request, key, decision.late_s)
            return answer
        answer = self._execute(request, decisions, waited=False)
        if answer.again_after_s:
            await self._box.clock.sleep(answer.again_after_s)
            answer = self._execute(request, decisions, waited=True)
        for decision in decisions:
            if decision.place == "after" and answer.damage is None:
                answer.damage = decision.damage
        return answer

    def _execute(self, request: Request, decisions: list[Decision], *, waited: bool) -> Answer:
        """Do the effect and write it into the journal, in one database transaction."""
        answer: Answer
        with self._box.store.transaction():
            answer, account = DIALECTS[request.dialect].execute(self._box, request, waited=waited)
            if not answer.again_after_s:
                self._note(request, answer, account, decisions, done="yes")
        self._box.changed()
        return answer

    def _later(self, request: Request, key: str | None, after_s: float) -> None:
        call = Call(box=self._box, account="")
        stored: Json = msgspec.to_builtins(request)
        self._box.schedule(LATE, call, key or "", after_s, request=stored)

    def _late(self, _: Call, body: Json) -> None:
        """Do a request whose answer went out long before (timer)."""
        request = msgspec.convert(body["request"], Request)
        answer, account = DIALECTS[request.dialect].execute(self._box, request, waited=True)
        self._note(request, answer, account, [], done="yes")

    def _note(
        self,
        request: Request,
        answer: Answer,
        account: str,
        decisions: list[Decision],
        *,
        done: str,
    ) -> None:
        self._box.store.db.execute(
            "INSERT INTO requests (at, dialect, method, path, account, key, status, replayed, "
            "done, decisions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._box.clock.now(),
                request.dialect,
                request.method,
                request.path,
                account,
                request.headers.get("idempotency-key")
                or request.headers.get("x-refund-idempotency"),
                answer.status,
                answer.replayed,
                done,
                msgspec.json.encode(decisions) if decisions else None,
            ),
        )


def undone(request: Request, damage: Damage) -> Answer:
    """Give the answer to a request that has no effect, or none yet."""
    if damage.do == "status":
        return failed(request, damage)
    headers = {"content-type": "application/json"}
    return Answer(status=200, body=EFFECTLESS, headers=headers, damage=damage)


def failed(request: Request, damage: Damage) -> Answer:
    """Give what the vendor, or a proxy before it, says with the fault's status."""
    if request.dialect == "stripe":
        return stripe.finished(request, stripe_errors.failure(damage.status, html=damage.html))
    answer: Answer = razorpay.failure(damage.status, html=damage.html)
    return answer
