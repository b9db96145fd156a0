"""What each magic amount makes the sandbox do, in both dialects, whatever the token.

The code is the amount modulo 10000, in minor units.
"""

from typing import Final, Literal

import msgspec

from adapters.sandbox_server.wire import Damage, Place

Challenge = Literal["pass", "decline", "error", "never", "optional", "off_session"]
Delivery = Literal[
    "thrice", "reversed", "first", "late", "never", "bad_signature", "old_secret", "two_events"
]


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of the transport, placed before or after the money effect.

    Attributes:
        stored: the idempotency layer remembers the answer.
        times: strikes so often and then no more; 0 is every time.
        for_s: strikes so many virtual seconds from the first time on.
    """

    place: Place
    damage: Damage
    stored: bool = False
    times: int = 0
    for_s: float = 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a payment goes; what is None goes well.

    Attributes:
        decline: a code of the dialect's table of declines.
        settles: the authorization takes its time and then succeeds or fails.
        refund: refunds take their time, or succeed and then fail.
        dispute: a dispute follows, and ends so.
        late_s: Razorpay: it fails, and is authorized so many seconds later.
        expires_s: Razorpay: so long an uncaptured payment waits for its automatic refund.
    """

    decline: str | None = None
    challenge: Challenge | None = None
    settles: Literal["succeeds", "fails"] | None = None
    transport: Transport | None = None
    delivery: Delivery | None = None
    refund: Literal["pending", "fails"] | None = None
    dispute: Literal["open", "inquiry", "not_received", "lost", "won"] | None = None
    late_s: int | None = None
    expires_s: int | None = None


def _struck(place: Place, damage: Damage, *, times: int = 0) -> Outcome:
    return Outcome(transport=Transport(place=place, damage=damage, times=times))


def _stored(place: Place) -> Outcome:
    failure = Damage(do="status", status=500)
    return Outcome(transport=Transport(place=place, damage=failure, stored=True))


SETTLE_S: Final = 30
HANG_S: Final = 3600
CODES: Final = 10_000

AMOUNTS: Final = {
    2001: _struck("before", Damage(do="delay", seconds=8)),
    2002: Outcome(settles="succeeds"),
    2003: Outcome(settles="fails"),
    3001: Outcome(challenge="pass"),
    3002: Outcome(challenge="decline"),
    3003: Outcome(challenge="never"),
    4001: Outcome(decline="generic_decline"),
    4002: Outcome(decline="insufficient_funds"),
    4003: Outcome(decline="fraudulent"),
    4004: Outcome(decline="expired_card"),
    4005: Outcome(decline="processing_error"),
    4006: Outcome(decline="do_not_honor"),
    4007: Outcome(decline="lost_card"),
    4010: _struck("before", Damage(do="status", status=401)),
    4090: Outcome(
        transport=Transport(place="before", damage=Damage(do="status", status=409), for_s=5)
    ),
    4290: _struck("before", Damage(do="status", status=429), times=2),
    5001: _stored("before"),
    5002: _stored("after"),
    5003: _struck("before", Damage(do="status", status=502, html=True)),
    5004: _struck("after", Damage(do="close")),
    5005: _struck("before", Damage(do="close")),
    5006: _struck("after", Damage(do="hang", seconds=HANG_S)),
    5007: _struck("after", Damage(do="truncate")),
    5008: _struck("before", Damage(do="close"), times=1),
    7001: Outcome(delivery="thrice"),
    7002: Outcome(delivery="reversed"),
    7003: Outcome(delivery="first"),
    7004: Outcome(delivery="late"),
    7005: Outcome(delivery="never"),
    7006: Outcome(delivery="bad_signature"),
    7007: Outcome(delivery="old_secret"),
    7008: Outcome(delivery="two_events"),
    8001: Outcome(refund="pending"),
    8002: Outcome(refund="fails"),
    8003: Outcome(dispute="lost"),
    8004: Outcome(dispute="won"),
    9001: Outcome(late_s=360),
    9002: Outcome(late_s=2 * 86_400),
    9003: Outcome(expires_s=600),
}
PLAIN: Final = Outcome()


def of_amount(amount: int) -> Outcome:
    """Give what an amount asks for."""
    return AMOUNTS.get(amount % CODES, PLAIN)


def together(token: Outcome, amount: int) -> Outcome:
    """Give what a token and an amount ask for; where both do, the token has its way."""
    coded = of_amount(amount)
    if token is PLAIN or coded is PLAIN:
        return coded if token is PLAIN else token
    chosen = {
        name: value if value is not None else getattr(coded, name)
        for name, value in msgspec.structs.asdict(token).items()
    }
    return Outcome(**chosen)
