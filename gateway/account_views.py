"""What answers about accounts say: merchants, API keys, processor accounts, and their examples."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from commands.processor import Processor
from domain.merchant import ApiKey, Merchant
from domain.metadata import Mode
from domain.personal import Profile
from domain.routing import Account
from gateway.account_bodies import ScopeName
from gateway.views import Time, View, iso


class MerchantView(View, frozen=True, kw_only=True):
    """A merchant; `webhookUrl` is that of the request's mode."""

    id: str
    name: str
    email: str | None
    webhook_url: str | None
    created_at: Time
    updated_at: Time


class TokensView(View, frozen=True, kw_only=True):
    """The next pair of a session."""

    token: str
    refresh_token: str


class LoginView(View, frozen=True, kw_only=True):
    """A session and whose it is; `token` goes into `Authorization: Bearer`."""

    token: str
    refresh_token: str
    merchant: MerchantView


class ApiKeyView(View, frozen=True, kw_only=True):
    """An API key; the secret is nowhere."""

    id: str
    name: str
    prefix: str
    scopes: list[ScopeName]
    last_used_at: Time | None
    expires_at: Time | None
    created_at: Time
    livemode: bool


class NewApiKeyView(View, frozen=True, kw_only=True):
    """A new API key; the secret is shown this once, and is null when the request is repeated."""

    api_key: ApiKeyView
    secret: str | None


class ProcessorView(View, frozen=True, kw_only=True):
    """A processor account; `webhookUrl` is what to enter at the processor, if it has webhooks."""

    id: str
    processor: str
    enabled: bool
    priority: int
    test_mode: bool
    created_at: Time
    webhook_url: str | None
    livemode: bool


def merchant_view(merchant: Merchant, profile: Profile, webhook_url: str | None) -> MerchantView:
    """Render a merchant with the opened profile."""
    return MerchantView(
        id=merchant.id,
        name=profile.name,
        email=profile.email,
        webhook_url=webhook_url,
        created_at=iso(merchant.created_at),
        updated_at=iso(merchant.updated_at),
    )


def api_key_view(key: ApiKey, last_used: Mapping[str, datetime]) -> ApiKeyView:
    """Render an API key."""
    used = last_used.get(key.id)
    return ApiKeyView(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=list(key.scopes),  # type: ignore[arg-type] - checked when it was issued
        last_used_at=iso(used) if used else None,
        expires_at=iso(key.expires_at) if key.expires_at else None,
        created_at=iso(key.created_at),
        livemode=key.mode == "live",
    )


def processor_view(
    merchant: Merchant, mode: Mode, account: Account, processor: Processor | None, public_url: str
) -> ProcessorView:
    """Render a merchant's account at a processor."""
    since = {place[:2]: place[2] for place in merchant.accounts_since}
    hooked = processor is not None and any(f.name == "webhook_secret" for f in processor.fields)
    url = f"{public_url}/webhooks/{account.processor}/{merchant.id}"
    return ProcessorView(
        id=f"{account.processor}_{mode}",
        processor=account.processor,
        enabled=account.enabled,
        priority=account.priority,
        test_mode=mode == "test",
        created_at=iso(since[mode, account.processor]),
        webhook_url=url if hooked else None,
        livemode=mode == "live",
    )


_ID: Final = "mer_01jd3v8x2sfy3t6q9m4n7p0r5w"
MERCHANT: Final[dict[str, Any]] = {
    "id": _ID,
    "name": "Tea shop",
    "email": "owner@tea.example",
    "webhookUrl": None,
    "createdAt": "2026-11-20T10:00:00.000Z",
    "updatedAt": "2026-11-20T10:00:00.000Z",
}
TOKENS: Final[dict[str, Any]] = {
    "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl",
    "refreshToken": "rt_Zp3vQm8yT1sK5wN7xB2cD4fG6hJ9kL0aQ",
}
LOGIN: Final[dict[str, Any]] = {**TOKENS, "merchant": MERCHANT}
API_KEY: Final[dict[str, Any]] = {
    "id": "key_01jd3v8x2sfy3t6q9m4n7p0r5w",
    "name": "Server",
    "prefix": "sk_test_Zp3v",
    "scopes": ["payments:write", "payments:read"],
    "lastUsedAt": None,
    "expiresAt": None,
    "createdAt": "2026-11-20T10:00:00.000Z",
    "livemode": False,
}
PROCESSOR: Final[dict[str, Any]] = {
    "id": "stripe_test",
    "processor": "stripe",
    "enabled": True,
    "priority": 1,
    "testMode": True,
    "createdAt": "2026-11-20T10:00:00.000Z",
    "webhookUrl": f"https://loop.example/webhooks/stripe/{_ID}",
    "livemode": False,
}
