"""`/v1/payment_intents`: what each call checks and answers."""

from typing import Final

from adapters.sandbox_server import currencies
from adapters.sandbox_server.box import Call, spoil, strike
from adapters.sandbox_server.outcomes import PLAIN, of_amount
from adapters.sandbox_server.stripe_dialect import authorize, intents, methods
from adapters.sandbox_server.stripe_dialect.errors import (
    envelope,
    failure,
    invalid,
    missing,
    refused,
    scope_of,
)
from adapters.sandbox_server.stripe_dialect.expand import rendered
from adapters.sandbox_server.stripe_dialect.forms import (
    boolean,
    choice,
    integer,
    known,
    metadata,
    nested,
    text,
)
from adapters.sandbox_server.stripe_dialect.objects import public
from adapters.sandbox_server.wire import Answer, Json, json_answer, words

_CONFIRMING: Final = frozenset(
    words(
        "payment_method payment_method_data payment_method_options payment_method_types "
        "return_url off_session error_on_requires_action use_stripe_sdk setup_future_usage "
        "receipt_email shipping mandate mandate_data capture_method client_secret"
    )
)
_CREATING: Final = _CONFIRMING | frozenset(
    words(
        "amount currency confirm confirmation_method automatic_payment_methods customer "
        "metadata description statement_descriptor statement_descriptor_suffix transfer_group "
        "application_fee_amount on_behalf_of transfer_data"
    )
)
_CAPTURING: Final = frozenset(
    words(
        "amount_to_capture final_capture metadata statement_descriptor "
        "statement_descriptor_suffix application_fee_amount transfer_data"
    )
)
_UPDATING: Final = frozenset(
    words(
        "metadata description receipt_email shipping customer statement_descriptor "
        "statement_descriptor_suffix transfer_group setup_future_usage"
    )
)
_UPDATING_EARLY: Final = frozenset(
    words("amount currency payment_method payment_method_types payment_method_options")
)
"""What can be changed until it is confirmed."""
_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
_CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_METHODS: Final = ("automatic", "automatic_async", "manual")


def create(call: Call) -> Answer:
    """Answer `POST /v1/payment_intents`."""
    params = call.params
    known(params, _CREATING)
    amount, currency = _amount(params)
    confirm = boolean(params, "confirm")
    for name in ("return_url", "off_session", "error_on_requires_action"):
        if name in params and not confirm:
            raise invalid(f"`{name}` can only be used with `confirm=true`.", param=name)
    _customer(call)
    automatic = nested(params, "automatic_payment_methods")
    redirects = choice(automatic, "allow_redirects", ("always", "never"), "always")
    enabled = boolean(automatic, "enabled", default="payment_method_types" not in params)
    pi = intents.new(
        call,
        amount=amount,
        currency=currency,
        capture_method=choice(params, "capture_method", _METHODS, "automatic_async"),
        confirmation_method=choice(
            params, "confirmation_method", ("automatic", "manual"), "automatic"
        ),
        automatic_payment_methods={"allow_redirects": redirects, "enabled": True}
        if enabled
        else None,
        metadata=metadata(params),
        **{name: params[name] for name in ("customer", "description", "receipt_email", "shipping")
           if name in params},
    )  # fmt: skip
    if confirm:
        return _confirmed(call, pi, new=True)
    if _named(params):
        method = _method(call, pi)
        pi.update(payment_method=method["id"], status="requires_confirmation")
    _add(call, pi)
    return _whole(call, pi)


def retrieve(call: Call) -> Json:
    """Answer `GET /v1/payment_intents/:id`."""
    return intents.load(call, call.id)


def update(call: Call) -> Json:
    """Answer `POST /v1/payment_intents/:id`."""
    known(call.params, _UPDATING | _UPDATING_EARLY)
    pi = intents.load(call, call.id)
    early = _UPDATING_EARLY & call.params.keys()
    if early and pi["status"] not in _CONFIRMABLE:
        raise intents.unexpected(pi, "updated", _CONFIRMABLE)
    if early & {"amount", "currency"}:
        asked = {"amount": str(pi["amount"]), "currency": pi["currency"], **call.params}
        pi["amount"], pi["currency"] = _amount(asked)
        intents.money(call, pi, "opened", pi["amount"])
    if "payment_method" in early:
        pi.update(payment_method=_method(call, pi)["id"], status="requires_confirmation")
    _customer(call)
    pi["metadata"] = metadata(call.params, pi["metadata"])
    pi.update({name: call.params[name] for name in _UPDATING - {"metadata"} if name in call.params})
    intents.save(call, pi)
    return pi


def confirm(call: Call) -> Answer:
    """Answer `POST /v1/payment_intents/:id/confirm`."""
    known(call.params, _CONFIRMING)
    pi = intents.load(call, call.id)
    if pi["status"] not in _CONFIRMABLE:
        raise intents.unexpected(pi, "confirmed", _CONFIRMABLE)
    return _confirmed(call, pi, new=False)


def capture(call: Call) -> Answer:
    """Answer `POST /v1/payment_intents/:id/capture`."""
    known(call.params, _CAPTURING)
    pi = intents.load(call, call.id)
    asked = integer(call.params, "amount_to_capture")
    final = boolean(call.params, "final_capture", default=True)
    if pi["status"] != "requires_capture":
        raise intents.unexpected(pi, "captured", ("requires_capture",))
    amount = pi["amount_capturable"] if asked is None else asked
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount_to_capture")
    if amount > pi["amount_capturable"]:
        message = (
            f"The amount to capture {amount} is greater than the remaining amount that can be "
            f"captured, {pi['amount_capturable']}."
        )
        raise refused(message, code="amount_too_large", param="amount_to_capture")
    if not final and not pi["_multicapture"]:
        raise refused("Multicapture is not available for this PaymentIntent.",
                      param="final_capture")  # fmt: skip
    coded = of_amount(amount) if amount != pi["amount"] else PLAIN
    stored = strike(call, coded, scope_of(pi["id"], amount), failure)
    if stored:
        return stored
    pi["metadata"] = metadata(call.params, pi["metadata"])
    intents.take(call, pi, amount, final=final)
    return spoil(coded, _whole(call, pi), failure)


def cancel(call: Call) -> Answer:
    """Answer `POST /v1/payment_intents/:id/cancel`."""
    known(call.params, ("cancellation_reason",))
    reason = choice(call.params, "cancellation_reason", _REASONS, None)
    pi = intents.load(call, call.id)
    if pi["status"] not in intents.OPEN:
        raise intents.unexpected(pi, "canceled", intents.OPEN)
    intents.close(call, pi, reason)
    return _whole(call, pi)


def _confirmed(call: Call, pi: Json, *, new: bool) -> Answer:
    """Confirm a PaymentIntent, with the faults that its amount asks for around the effect."""
    params = call.params
    off_session = params.get("off_session") in ("true", "one_off", "recurring")
    no_action = boolean(params, "error_on_requires_action")
    options = nested(nested(params, "payment_method_options"), "card")
    _check_return_url(pi, params, off_session=off_session)
    where = call.headers.get("idempotency-key", "") if new else pi["id"]
    coded = of_amount(pi["amount"])
    _check_method(call, pi)
    stored = strike(call, coded, scope_of(where, pi["amount"]), failure)
    if stored:
        return stored
    if new:
        _add(call, pi)
    method = _method(call, pi)
    pi["_multicapture"] = options.get("request_multicapture") == "if_available" or (
        pi["_multicapture"] and "request_multicapture" not in options
    )
    pi["_return_url"] = text(params, "return_url") or pi["_return_url"]
    error = authorize.authorize(call, pi, method, off_session=off_session, no_action=no_action)
    if error:
        return spoil(coded, envelope(402, error | {"payment_intent": public(pi)}), failure)
    return spoil(coded, _whole(call, pi), failure)


def _whole(call: Call, pi: Json) -> Answer:
    return json_answer(200, rendered(call, pi))


def _add(call: Call, pi: Json) -> None:
    options = nested(nested(call.params, "payment_method_options"), "card")
    pi["_multicapture"] = options.get("request_multicapture") == "if_available"
    call.store.add(intents.KIND, pi, account=call.account)
    intents.money(call, pi, "opened", pi["amount"])
    intents.tell(call, pi, "payment_intent.created", pi)


def _named(params: Json) -> bool:
    return bool(params.get("payment_method") or params.get("payment_method_data"))


def _check_method(call: Call, pi: Json) -> None:
    """Refuse a confirmation without a payment method, or with one that is not there."""
    if call.params.get("payment_method_data"):
        return
    method_id = text(call.params, "payment_method") or pi["payment_method"]
    if not method_id:
        message = (
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
            "either update the PaymentIntent with a payment method and then confirm it again, or "
            "confirm it again directly with a payment method or ConfirmationToken."
        )
        raise refused(message, code="payment_intent_unexpected_state", payment_intent=public(pi))
    methods.resolve(call, method_id, param="payment_method", keep=False)


def _method(call: Call, pi: Json) -> Json:
    data = nested(call.params, "payment_method_data")
    if data:
        return methods.of_data(call, data)
    method_id = text(call.params, "payment_method") or pi["payment_method"]
    return methods.resolve(call, method_id, param="payment_method")


def _check_return_url(pi: Json, params: Json, *, off_session: bool) -> None:
    """Refuse what Stripe refuses: methods that may redirect, and nowhere to come back to."""
    if params.get("return_url") or pi["_return_url"] or off_session:
        return
    automatic = pi["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] != "never" and not boolean(
        params, "use_stripe_sdk"
    ):  # fmt: skip
        message = (
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. "
            "Because some of these payment methods might redirect your customer off of your page, "
            "you must provide a `return_url`. If you don't want to accept redirect-based payment "
            "methods, set `automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents "
            "and Payment Intents."
        )
        raise invalid(message, param="return_url")


def _customer(call: Call) -> None:
    """Refuse a customer who is not there."""
    customer = text(call.params, "customer")
    if customer and call.store.get("stripe.customer", customer, call.account) is None:
        raise missing("customer", customer, param="customer", status=400)


def _amount(params: Json) -> tuple[int, str]:
    """Give amount and currency, as Stripe takes them."""
    for name in ("amount", "currency"):
        if not params.get(name):
            message = f"Missing required param: {name}."
            raise invalid(message, code="parameter_missing", param=name)
    amount = integer(params, "amount") or 0
    currency = str(params["currency"]).upper()
    if currency not in currencies.KNOWN:
        raise invalid(f"Invalid currency: {currency.lower()}", param="currency")
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, code="parameter_invalid_integer", param="amount")
    if amount > currencies.AMOUNT_MAX:
        message = "Amount must be no more than 99999999"
        raise invalid(message, code="amount_too_large", param="amount")
    if amount < currencies.MINIMA.get(currency, 1):
        message = "Amount must be at least the minimum charge amount of its currency."
        raise invalid(message, code="amount_too_small", param="amount")
    if amount % currencies.must_end_in(currency):
        message = "Invalid amount: the last digits must be 0 for this currency."
        raise invalid(message, code=_odd(currency), param="amount")
    return amount, currency.lower()


def _odd(currency: str) -> str | None:
    """Name the error of an amount that the currency cannot have."""
    whole = currency in currencies.WHOLE_UNITS
    return "invalid_charge_amount_no_decimal_compatible" if whole else None
