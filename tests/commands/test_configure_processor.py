"""Processor accounts of a merchant: what is accepted, where it is kept, and what shows of it."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from adapters.wiring import Application
from commands.caller import Caller
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.processor import Credentials
from commands.remove_processor import remove_processor
from domain.errors import NotFound, Rejected

SECRET = "sk_test_51HidDeN"
STRIPE = Credentials({"secret_key": SECRET, "publishable_key": "pk_test_1"})
RAZORPAY = Credentials({"key_id": "rzp_test_1", "key_secret": "hidden"})


@pytest.fixture
async def caller(register: Callable[[], Awaitable[Caller]]) -> Caller:
    return await register()


def stripe(credentials: Credentials | None = STRIPE, **more: object) -> ProcessorAccount:
    return ProcessorAccount(processor="stripe", credentials=credentials, **more)  # type: ignore[arg-type]


async def test_every_set_of_credentials_is_a_version_and_old_ones_stay(
    app: Application, caller: Caller
) -> None:
    other = Credentials({"secret_key": "sk_test_other"})
    first = await configure_processor(app.ports, caller, stripe())
    second = await configure_processor(app.ports, caller, stripe(other))
    assert (first.credential_version, second.credential_version) == (1, 2)
    assert first.fingerprint != second.fingerprint
    kept = [
        await app.ports.vault.credentials(caller.merchant_id, "test", "stripe", version)
        for version in (1, 2, 3)
    ]
    assert kept == [STRIPE, other, Credentials({})]


async def test_a_version_is_not_used_again_after_the_processor_was_removed(
    app: Application, caller: Caller
) -> None:
    await configure_processor(app.ports, caller, stripe())
    await remove_processor(app.ports, caller, "stripe")
    again = await configure_processor(app.ports, caller, stripe())
    assert again.credential_version == 2


async def test_two_operators_at_once_overwrite_nothing(app: Application, caller: Caller) -> None:
    keys = [Credentials({"secret_key": f"sk_test_{n}"}) for n in range(4)]
    made = await asyncio.gather(
        *(configure_processor(app.ports, caller, stripe(key)) for key in keys)
    )
    stored = [
        await app.ports.vault.credentials(caller.merchant_id, "test", "stripe", version)
        for version in range(1, 5)
    ]
    assert sorted(str(c.values) for c in stored) == sorted(str(c.values) for c in keys)
    assert {a.credential_version for a in made} <= {1, 2, 3, 4}


async def test_no_secret_is_in_the_log_or_in_a_repr(app: Application, caller: Caller) -> None:
    await configure_processor(app.ports, caller, stripe())
    rows = (await app.ports.store.load([caller.merchant_id]))[caller.merchant_id]
    assert SECRET not in str(msgspec.json.encode([row.data for row in rows]))
    assert SECRET not in repr(stripe())


async def test_priority_and_state_change_without_new_credentials(
    app: Application, caller: Caller
) -> None:
    first = await configure_processor(app.ports, caller, stripe())
    second = await configure_processor(app.ports, caller, stripe(None, enabled=False, priority=7))
    assert second == msgspec.structs.replace(first, enabled=False, priority=7)


@pytest.mark.parametrize(
    ("account", "code", "words"),
    [
        (stripe(None), "credentials_required", "no credentials"),
        (stripe(Credentials({})), "credentials_refused", "secret_key"),
        (stripe(Credentials({"secret_key": "sk_live_1"})), "credentials_refused", "sk_test_"),
        (stripe(Credentials({"secret_key": SECRET, "x": "y"})), "credentials_refused", "only"),
        (ProcessorAccount(processor="paypal"), "unknown_processor", "paypal"),
        (
            ProcessorAccount(
                processor="razorpay",
                credentials=Credentials({"key_id": "rzp_live_1", "key_secret": "x"}),
            ),
            "credentials_refused",
            "rzp_test_",
        ),
    ],
)
async def test_what_does_not_fit_is_refused_and_changes_nothing(
    app: Application, caller: Caller, account: ProcessorAccount, code: str, words: str
) -> None:
    before = (await app.ports.store.load([caller.merchant_id]))[caller.merchant_id]
    with pytest.raises(Rejected, match=words) as refused:
        await configure_processor(app.ports, caller, account)
    assert refused.value.code == code
    assert SECRET not in str(refused.value)
    assert (await app.ports.store.load([caller.merchant_id]))[caller.merchant_id] == before


async def test_live_credentials_and_the_sandbox_never_meet(
    app: Application, caller: Caller
) -> None:
    live = msgspec.structs.replace(caller, mode="live")
    key = Credentials({"secret_key": "sk_live_1"})
    made = await configure_processor(app.ports, live, stripe(key))
    assert made.fingerprint.startswith("stripe_")
    with pytest.raises(Rejected, match="no live mode"):
        await configure_processor(
            app.ports, live, ProcessorAccount(processor="sandbox", credentials=Credentials({}))
        )
    with pytest.raises(NotFound):
        await remove_processor(app.ports, live, "razorpay")


async def test_razorpay_is_configured_by_its_key_id(app: Application, caller: Caller) -> None:
    account = ProcessorAccount(processor="razorpay", credentials=RAZORPAY)
    made = await configure_processor(app.ports, caller, account)
    assert made.fingerprint == "razorpay_rzp_test_1"
