"""The verb: take a processor's webhook into the inbox, once it is proven whose it is."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from commands.ports import Arrival, Ports
from commands.processor import Credentials, Hint, Processor
from domain.events import ProcessorConfigured, Recorded
from domain.ids import is_id
from domain.metadata import Mode
from domain.order.evolve import fold

SECRET_FIELD: Final = "webhook_secret"  # noqa: S105 - the name of a field
REPLACED_FOR: Final = timedelta(hours=72)
"""For how long a replaced secret is still good: processors go on signing retries with it."""
VERSIONS_MAX: Final = 16
"""Credential versions per mode whose secrets are tried, the newest first."""
MERCHANTS_MAX: Final = 4
TEXT_MAX: Final = 255


class NotVerified(Exception):
    """It is not proven whose webhook this is; nothing was kept.

    Attributes:
        code: `no_config` where there is no secret to check it with.
    """

    def __init__(self, code: Literal["no_config", "invalid_signature"]) -> None:
        super().__init__(code)
        self.code = code


class Secret(msgspec.Struct, frozen=True):
    """A signing secret and every `mode:account` that was configured with it, newest first."""

    text: str
    accounts: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Secret(***, {self.accounts})"


async def receive_webhook(
    ports: Ports,
    name: str,
    raw: bytes,
    headers: Mapping[str, str],
    *,
    merchant_id: str | None = None,
) -> None:
    """Verify a webhook with the merchant's secrets and commit what it points at.

    Without a merchant the body is read unverified, to choose whose secrets to try.

    Raises:
        NotVerified: `no_config`, `invalid_signature`.
        domain.errors.Unavailable: the database is away; the processor has to send again.
    """
    processor = ports.processors[name]
    named = [merchant_id] if merchant_id else await _named(ports, processor, raw)
    configured = False
    for one in named[:MERCHANTS_MAX]:
        secrets = await active_secrets(ports, one, name) if is_id(one, "mer") else []
        configured |= bool(secrets)
        found = _verified(processor, raw, headers, secrets)
        if found is not None:
            await ports.inbox.receive(_arrivals(name, one, raw, *found))
            return
    raise NotVerified("invalid_signature" if configured else "no_config")


async def _named(ports: Ports, processor: Processor, raw: bytes) -> list[str]:
    """Return the merchants whose order an unverified body names."""
    try:
        hints = [_checked(hint) for hint in processor.unverified(raw)]
    except ValueError:
        raise NotVerified("invalid_signature") from None
    ids: dict[str, None] = {}
    for hint in hints:
        ids.update(dict.fromkeys(await ports.inbox.orders_of(hint.reference)))
        if hint.order_id is not None and is_id(hint.order_id, "ord"):
            ids[hint.order_id] = None
    streams = await ports.store.load(list(ids)) if ids else {}
    orders = [order for rows in streams.values() if (order := fold(rows)) is not None]
    return list(dict.fromkeys(order.merchant_id for order in orders))


async def active_secrets(ports: Ports, merchant_id: str, processor: str) -> list[Secret]:
    """Return the signing secrets of a merchant at a processor that are good now, in both modes.

    Good is the newest one, also of a processor that was removed, and one that was replaced less
    than 72 h ago.
    """
    rows = (await ports.store.load([merchant_id]))[merchant_id]
    versions = [*_versions(rows, processor, "test"), *_versions(rows, processor, "live")]
    kept: list[Credentials] = await asyncio.gather(
        *(ports.vault.credentials(merchant_id, v.mode, processor, v.number) for v in versions)
    )
    now = ports.now()
    accounts: dict[str, dict[str, None]] = {}
    active: set[str] = set()
    for version, credentials in zip(versions, kept, strict=True):
        text = credentials.values.get(SECRET_FIELD)
        if not text:
            continue
        accounts.setdefault(text, {})[f"{version.mode}:{version.account}"] = None
        if version.replaced_at is None or now - version.replaced_at < REPLACED_FOR:
            active.add(text)
    return [Secret(text, tuple(of)) for text, of in accounts.items() if text in active]


class _Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of credentials; `replaced_at` is None for the newest."""

    mode: Mode
    account: str
    number: int
    replaced_at: datetime | None


def _versions(rows: Sequence[Recorded], processor: str, mode: Mode) -> list[_Version]:
    """Return the versions of one mode, newest first."""
    found: dict[int, _Version] = {}
    current: int | None = None
    for row in rows:
        event = row.data
        if not isinstance(event, ProcessorConfigured):
            continue
        if (event.processor, event.mode) != (processor, mode):
            continue
        number = event.credential_version
        if current is not None and current != number:
            found[current] = replace(found[current], replaced_at=row.recorded_at)
        found.pop(number, None)
        found[number] = _Version(mode=mode, account=event.account, number=number, replaced_at=None)
        current = number
    return list(reversed(found.values()))[:VERSIONS_MAX]


def _verified(
    processor: Processor, raw: bytes, headers: Mapping[str, str], secrets: Sequence[Secret]
) -> tuple[list[Hint], tuple[str, ...]] | None:
    """Return what the body points at and whose secrets signed it; every secret is tried."""
    hints: list[Hint] | None = None
    accounts: dict[str, None] = {}
    for secret in secrets:
        try:
            hints = [
                _checked(hint) for hint in processor.parse_webhook(raw, headers, [secret.text])
            ]
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with it, it does not verify
            continue
        accounts.update(dict.fromkeys(secret.accounts))
    return None if hints is None else (hints, tuple(accounts))


def _checked(hint: Hint) -> Hint:
    """Return a hint whose texts can be kept; ids of ours that are none are dropped.

    Raises:
        ValueError: the processor's own ids are not texts as ids are.
    """
    if not all(map(_is_text, (hint.reference, hint.event_id, hint.kind))):
        raise ValueError("no ids")
    return replace(
        hint,
        order_id=hint.order_id if _is_text(hint.order_id) else None,
        attempt_id=hint.attempt_id if _is_text(hint.attempt_id) else None,
        payment_id=hint.payment_id if _is_text(hint.payment_id) else None,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MAX and value.isprintable()


def _arrivals(
    processor: str, merchant_id: str, raw: bytes, hints: Sequence[Hint], accounts: tuple[str, ...]
) -> list[Arrival]:
    digest = hashlib.sha256(raw)
    nothing = Hint(reference="", attempt_id=None, event_id=digest.hexdigest(), kind="other")
    return [
        Arrival(
            processor=processor,
            merchant_id=merchant_id,
            accounts=accounts,
            digest=digest.digest(),
            hint=hint,
        )
        for hint in hints or [nothing]
    ]
