"""`expand[]`: ids replaced by the objects that they name, up to four levels deep."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.stripe_dialect.errors import invalid
from adapters.sandbox_server.stripe_dialect.objects import public
from adapters.sandbox_server.wire import Json

DEPTH_MAX: Final = 4
KINDS: Final = {
    "pi": "stripe.payment_intent",
    "ch": "stripe.charge",
    "re": "stripe.refund",
    "du": "stripe.dispute",
    "txn": "stripe.txn",
    "po": "stripe.payout",
    "pm": "stripe.payment_method",
    "cus": "stripe.customer",
}
"""Where an object is kept, by its id's prefix."""


def rendered(call: Call, thing: Json) -> Json:
    """Give an object as the API shows it.

    Raises:
        StripeError: a member that cannot be expanded.
    """
    shown: Json = public(thing)
    asked = call.params.get("expand") or []
    paths = asked if isinstance(asked, list) else [asked]
    for path in sorted(map(str, paths), key=len):
        steps = path.split(".")
        if len(steps) > DEPTH_MAX:
            raise invalid("You can only expand up to 4 levels deep.", param="expand")
        _expand(call, shown, steps)
    return shown


def _expand(call: Call, at: Any, steps: list[str]) -> None:
    if isinstance(at, list):
        for item in at:
            _expand(call, item, steps)
        return
    if not isinstance(at, dict) or not steps:
        return
    name = steps[0]
    if name == "refunds" and at.get("object") == "charge":
        at[name] = _refunds(call, at)
    if name not in at:
        message = f"This property cannot be expanded ({name})."
        raise invalid(message, param="expand")
    value = at[name]
    if isinstance(value, str) and value.partition("_")[0] in KINDS:
        found = call.store.get(KINDS[value.partition("_")[0]], value)
        at[name] = public(found) if found else value
    _expand(call, at[name], steps[1:])


def _refunds(call: Call, charge: Json) -> Json:
    """Give a charge's refunds, newest first."""
    found = call.store.children(KINDS["re"], charge["payment_intent"])[::-1]
    url = f"/v1/charges/{charge['id']}/refunds"
    data = [public(one) for one in found if one["charge"] == charge["id"]]
    return {"object": "list", "data": data, "has_more": False, "url": url}
