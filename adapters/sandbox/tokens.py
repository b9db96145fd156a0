"""What each test token makes the bank do, and what then happens to the answer on its way."""

from typing import Final, Literal

import msgspec

Place = Literal["before", "after"]
Call = Literal["create", "confirm", "capture", "cancel", "refund"]
Damage = Literal["hang", "die", "unavailable", "error"]

APPROVE: Final = "sbx_approve"
PENDING_LOOKS: Final = 2
"""How often `sbx_pending` and `sbx_refund_pending` are seen unfinished."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Damage to a call, placed before or after its effect.

    Attributes:
        calls: which calls it hits.
        always: every try; otherwise the first try only, whatever its key.
    """

    calls: tuple[Call, ...]
    place: Place
    do: Damage
    always: bool = False


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """How the bank treats one token.

    Attributes:
        decline: the code with which the authorization is refused, after a challenge if any.
        challenge: the customer has to authenticate first.
        challenge_auto: the first lookup finds the challenge approved.
        pending: the authorization takes its time.
        wrong_amount: another amount than asked is held.
        lapses: the hold is gone when it is to be captured.
        capture: the code with which captures are refused; likewise `refund` and `cancel`.
        refund_pending: a refund takes its time.
    """

    decline: str | None = None
    challenge: bool = False
    challenge_auto: bool = False
    pending: bool = False
    wrong_amount: bool = False
    lapses: bool = False
    capture: str | None = None
    cancel: str | None = None
    refund: str | None = None
    refund_pending: bool = False
    fault: Fault | None = None


def _fault(call: Call, place: Place, do: Damage) -> Script:
    return Script(fault=Fault(calls=(call,), place=place, do=do))


SCRIPTS: Final = {
    APPROVE: Script(),
    "sbx_decline": Script(decline="generic_decline"),
    "sbx_decline_insufficient_funds": Script(decline="insufficient_funds"),
    "sbx_decline_lost_card": Script(decline="lost_card"),
    "sbx_decline_expired_card": Script(decline="expired_card"),
    "sbx_decline_processing_error": Script(decline="processing_error"),
    "sbx_challenge": Script(challenge=True),
    "sbx_challenge_decline": Script(challenge=True, decline="generic_decline"),
    "sbx_challenge_auto": Script(challenge=True, challenge_auto=True),
    "sbx_pending": Script(pending=True),
    "sbx_wrong_amount": Script(wrong_amount=True),
    "sbx_expire": Script(lapses=True),
    "sbx_hang_before": _fault("confirm", "before", "hang"),
    "sbx_hang_after": _fault("confirm", "after", "hang"),
    "sbx_die_before": _fault("confirm", "before", "die"),
    "sbx_die_after": _fault("confirm", "after", "die"),
    "sbx_unavailable": Script(
        fault=Fault(calls=("create", "confirm"), place="before", do="unavailable", always=True)
    ),
    "sbx_unavailable_once": _fault("create", "before", "unavailable"),
    "sbx_error_after": _fault("confirm", "after", "error"),
    "sbx_capture_decline": Script(capture="capture_declined"),
    "sbx_capture_error_after": _fault("capture", "after", "error"),
    "sbx_capture_hang_after": _fault("capture", "after", "hang"),
    "sbx_capture_die_after": _fault("capture", "after", "die"),
    "sbx_refund_decline": Script(refund="refund_declined"),
    "sbx_refund_pending": Script(refund_pending=True),
    "sbx_refund_error_after": _fault("refund", "after", "error"),
    "sbx_refund_die_after": _fault("refund", "after", "die"),
    "sbx_void_decline": Script(cancel="void_declined"),
}
"""Every token there is; an order without one pays with `sbx_approve`."""

UNKNOWN_TOKEN: Final = Script(decline="invalid_token")


def script_of(token: str) -> Script:
    """Give a token's script; a token that does not exist is declined."""
    return SCRIPTS.get(token, UNKNOWN_TOKEN)


def fault_of(token: str, call: Call, place: Place) -> Fault | None:
    """Give the fault that hits this call at this place, if the token has one."""
    fault = script_of(token).fault
    return fault if fault and call in fault.calls and fault.place == place else None
