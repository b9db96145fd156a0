"""The bank's counter: requests, each key once, from any number of threads and processes.

Like Stripe's PaymentIntents with manual capture: create, confirm, capture or cancel, refund. The
same key gives the same answer for ever; a new key is a new effect, as with any real processor.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from adapters.sandbox import rules
from adapters.sandbox.books import Books, RequestCount, read_books, read_requests
from adapters.sandbox.objects import Answer, Capture, Payment, Refund, View
from adapters.sandbox.store import BUSY_TIMEOUT_S, Param, Request, Store
from adapters.sandbox.tokens import APPROVE

HOLD_S: Final = 7 * 86_400
PAGE: Final = 100
_Effect: TypeAlias = Callable[[View, Answer | None, int], rules.Change]


def now_us() -> int:
    """Give microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Bank:
    """The sandbox bank on its SQLite file.

    Args:
        path: the SQLite file, made if missing.
        hold_s: how long money stays held.
        clock: microseconds since 1970, UTC.
        busy_timeout_s: how long to wait while another connection writes to the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        hold_s: int = HOLD_S,
        clock: Callable[[], int] = now_us,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self._store = Store(path, busy_timeout_s=busy_timeout_s)
        self._hold_us = hold_s * 1_000_000
        self._clock = clock

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def create(  # noqa: PLR0913 - all that a payment is made of
        self,
        *,
        key: str,
        order_id: str | None,
        attempt_id: str,
        merchant: str,
        mode: str,
        amount: int,
        currency: str,
        token: str | None = None,
        correlation_id: str = "",
    ) -> Answer:
        """Make a payment; moves no money."""
        now = self._clock()
        payment = Payment(
            reference=f"sbx_pay_{secrets.token_hex(12)}",
            order_id=order_id,
            attempt_id=attempt_id,
            merchant=merchant,
            mode=mode,
            amount=amount,
            currency=currency,
            token=token or APPROVE,
            hold_us=self._hold_us,
            status="open",
            changed_us=now,
        )
        placed: dict[str, Param] = {"order": order_id, "attempt": attempt_id, "merchant": merchant}
        params = placed | _asked(amount, currency, correlation_id, mode=mode, token=token)

        def effect(_: Answer | None) -> Answer:
            if amount < 1:
                return rules.refused(payment, now, "invalid_amount")
            self._store.add(payment)
            return rules.ok(payment, now)

        request = Request(operation="create", key=key, reference=None, params=params)
        return self._store.once(request, now, effect)

    def confirm(
        self, reference: str, *, key: str, return_url: str | None = None, correlation_id: str = ""
    ) -> Answer:
        """Hold the money, ask for a challenge, or decline."""
        params: dict[str, Param] = {"return_url": return_url, "correlation_id": correlation_id}
        request = Request(operation="confirm", key=key, reference=reference, params=params)
        return self._do(
            request,
            lambda view, before, now: rules.confirm(view, now, repeated=before is not None),
        )

    def capture(
        self,
        reference: str,
        *,
        key: str | None,
        amount: int,
        currency: str,
        final: bool = True,
        subject: str | None = None,
        correlation_id: str = "",
    ) -> Answer:
        """Take held money; `final` releases the rest. `subject` is the merchant's capture id."""
        params = _asked(amount, currency, correlation_id, subject=subject, final=final)

        def effect(view: View, _: Answer | None, now: int) -> rules.Change:
            new = Capture(
                id=f"sbx_cap_{secrets.token_hex(12)}",
                reference=reference,
                subject=subject,
                amount=amount,
                at_us=now,
            )
            return rules.capture(view, new, currency, final=final)

        request = Request(operation="capture", key=key, reference=reference, params=params)
        return self._do(request, effect)

    def cancel(self, reference: str, *, key: str | None, correlation_id: str = "") -> Answer:
        """Release what is held; without captures the payment is closed for ever."""
        params: dict[str, Param] = {"correlation_id": correlation_id}
        request = Request(operation="cancel", key=key, reference=reference, params=params)
        return self._do(request, lambda view, _, now: rules.cancel(view, now))

    def refund(
        self,
        reference: str,
        *,
        key: str | None,
        amount: int,
        currency: str,
        subject: str | None = None,
        correlation_id: str = "",
    ) -> Answer:
        """Send captured money back. `subject` is the merchant's refund id."""
        params = _asked(amount, currency, correlation_id, subject=subject)

        def effect(view: View, before: Answer | None, now: int) -> rules.Change:
            if before and before.object_id:
                return rules.refund_again(view, before.object_id, now)
            new = Refund(
                id=f"sbx_ref_{secrets.token_hex(12)}",
                reference=reference,
                subject=subject,
                amount=amount,
                status="succeeded",
                at_us=now,
            )
            return rules.refund(view, new, currency, by_merchant=key is not None)

        request = Request(operation="refund", key=key, reference=reference, params=params)
        return self._do(request, effect)

    def lookup(self, reference: str) -> View | None:
        """Read a payment whole; what only takes time goes on by being looked at."""
        found: list[View] = []

        def effect(view: View, _: Answer | None, now: int) -> rules.Change:
            found.append(rules.looked_at(view, now))
            return found[0], rules.ok(view.payment, now)

        self._do(Request(operation="lookup", key=None, reference=reference, params={}), effect)
        return found[0] if found else None

    def listed(
        self, *, merchant: str, mode: str, since_us: int, until_us: int, after: str | None
    ) -> list[View]:
        """Return at most `PAGE` of a merchant's payments, the one that changed last first.

        Args:
            merchant: as it was sent.
            mode: as it was sent.
            since_us: of the last change, included; so is `until_us`.
            until_us: as above.
            after: reference of the last payment of the page before.
        """
        with self._store.transaction("BEGIN"):
            last = self._store.view(after) if after else None
            top = (until_us + 1, "")
            below = (last.payment.changed_us, last.payment.reference) if last else top
            found = self._store.references(merchant, mode, since_us, below, PAGE)
            return [view for view in map(self._store.view, found) if view is not None]

    def challenge(self, reference: str, *, approve: bool) -> Answer:
        """Let the customer approve or fail the 3-D Secure page."""
        request = Request(operation="challenge", key=None, reference=reference, params={})
        return self._do(request, lambda view, _, now: rules.challenge(view, now, approve=approve))

    def refund_fail(self, reference: str, refund_id: str, *, code: str = "card_closed") -> Answer:
        """Let a refund that had succeeded come back; `refund_id` is the bank's."""
        request = Request(operation="refund_fail", key=None, reference=reference, params={})
        return self._do(
            request, lambda view, _, now: rules.refund_fails(view, refund_id, now, code)
        )

    def dashboard_capture(self, reference: str, *, amount: int, final: bool = True) -> Answer:
        """Capture in the bank's own dashboard: without key, intent and merchant's id."""
        currency = self._currency(reference)
        return self.capture(reference, key=None, amount=amount, currency=currency, final=final)

    def dashboard_refund(self, reference: str, *, amount: int) -> Answer:
        """Refund in the bank's own dashboard."""
        currency = self._currency(reference)
        return self.refund(reference, key=None, amount=amount, currency=currency)

    def dashboard_cancel(self, reference: str) -> Answer:
        """Cancel in the bank's own dashboard."""
        return self.cancel(reference, key=None)

    def claim(self, scope: str, fault: str) -> bool:
        """Tell whether this fault has its first time now; never again for the same scope."""
        return self._store.claim(scope, fault)

    def books(self) -> Books:
        """Add up what was authorized, captured and refunded, and list what must never be."""
        with self._store.transaction("BEGIN") as db:
            return read_books(db)

    def requests(self) -> tuple[RequestCount, ...]:
        """Count the requests that reached the bank."""
        with self._store.transaction("BEGIN") as db:
            return read_requests(db)

    def _currency(self, reference: str) -> str:
        with self._store.transaction("BEGIN"):
            view = self._store.view(reference)
        return view.payment.currency if view else ""

    def _do(self, request: Request, effect: _Effect) -> Answer:
        """Run an effect on a payment as it is now, once per key."""
        now = self._clock()

        def on_payment(before: Answer | None) -> Answer:
            stored = self._store.view(request.reference or "")
            if stored is None:
                return Answer(result="no_such_payment", reference=request.reference, at_us=now)
            view, answer = effect(rules.as_of(stored, now), before, now)
            self._store.save(stored, view)
            return answer

        return self._store.once(request, now, on_payment)


def _asked(amount: int, currency: str, correlation_id: str, **rest: Param) -> dict[str, Param]:
    """Name the parameters that money requests have in common."""
    return {"amount": amount, "currency": currency, "correlation_id": correlation_id, **rest}
