"""What requests about accounts may say: log-ins, profiles, API keys, processor accounts."""

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from domain.metadata import Mode
from gateway.bodies import Body, Email, Query, Text255, Time, Url, form

PASSWORD_MIN: Final = 8
PASSWORD_MAX: Final = 128

Name: TypeAlias = Annotated[str, Meta(min_length=2, max_length=255), form("^[^\\u0000]*$")]
Password: TypeAlias = Annotated[
    str,
    Meta(min_length=PASSWORD_MIN, max_length=PASSWORD_MAX),
    Meta(extra_json_schema={"format": "password", "pattern": "^[^\\u0000]*$"}),
]
GivenPassword: TypeAlias = Annotated[
    str,
    Meta(min_length=1, max_length=PASSWORD_MAX),
    Meta(extra_json_schema={"format": "password", "pattern": "^[^\\u0000]*$"}),
]
RefreshToken: TypeAlias = Annotated[str, form("^rt_[A-Za-z0-9_-]{16,100}$")]
ScopeName: TypeAlias = Literal[
    "payments:write", "payments:read", "webhooks:write", "ledger:read", "account:admin"
]
Scopes: TypeAlias = Annotated[tuple[ScopeName, ...], Meta(min_length=1, max_length=5)]
Priority: TypeAlias = Annotated[
    int, Meta(ge=1, le=100, description="A lower one is preferred where no rule decides.")
]
CredentialName: TypeAlias = Annotated[str, form("^[a-z][A-Za-z]{0,31}$")]
Credential: TypeAlias = Annotated[str, form("^[!-~]{1,500}$")]
CredentialMap: TypeAlias = Annotated[
    dict[CredentialName, Credential],
    Meta(
        max_length=8,
        description=(
            "Stripe: secretKey, publishableKey?, webhookSecret?. Razorpay: keyId, keySecret, "
            "webhookSecret?. They never come back."
        ),
    ),
]


class RegisterRequest(Body, frozen=True, kw_only=True):
    """A new account."""

    name: Name
    email: Email
    password: Password


class LoginRequest(Body, frozen=True, kw_only=True):
    """A log-in."""

    email: Email
    password: GivenPassword


class RefreshRequest(Body, frozen=True, kw_only=True):
    """A refresh token: good once for the next pair, or to log out."""

    refresh_token: RefreshToken


class ProfileRequest(Body, frozen=True, kw_only=True):
    """What changes of a profile; `webhookUrl` null takes the shorthand's endpoint away."""

    name: Name | UnsetType = UNSET
    webhook_url: Url | UnsetType | None = UNSET


class ApiKeyRequest(Body, frozen=True, kw_only=True):
    """A new API key; it has at most the scopes of who makes it."""

    name: Text255
    expires_at: Time | None = None
    scopes: Scopes = ("payments:write", "payments:read")
    mode: Mode = "test"


class ProcessorRequest(Body, frozen=True, kw_only=True):
    """A processor account; it replaces the one that is configured."""

    credentials: CredentialMap
    enabled: bool = True
    priority: Priority = 1
    test_mode: bool = True


class ProcessorChange(Body, frozen=True, kw_only=True):
    """What changes of a processor account; `testMode` picks which one it is."""

    credentials: CredentialMap | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    test_mode: bool = True


class ProcessorQueryString(Query, frozen=True, kw_only=True):
    """Which account goes, and whether its credentials go at once."""

    test_mode: Literal["true", "false"] = "true"
    force: Literal["true", "false"] = "false"
