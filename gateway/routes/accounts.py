"""Accounts of people: register, log in and out, and what a merchant says of themselves."""

from typing import Any

from litestar import Request, Response, get, post, put

from commands.accounts import Tokens
from commands.caller import Caller
from commands.change_merchant import load_merchant
from commands.change_profile import ProfileChange, change_profile
from commands.open_account import EmailTaken, NewAccount, open_account
from commands.ports import Ports
from commands.read_profile import open_profile, webhook_url
from domain.errors import Rejected
from domain.merchant import Merchant
from domain.metadata import Mode
from gateway import account_views as views
from gateway.account_bodies import LoginRequest, ProfileRequest, RefreshRequest, RegisterRequest
from gateway.auth import authenticated, deps_of
from gateway.decode import as_struct, json_body, no_query
from gateway.edge import ids_of
from gateway.errors import Refused
from gateway.limits import count_login, forgive_login
from gateway.operation import Operation, answer

_ENGINE = ("overloaded", "database_unavailable")

REGISTER = Operation(
    id="register",
    tag="Accounts",
    summary="Open an account",
    description="Makes a merchant whose test mode can use the sandbox at once, and logs in.",
    status=201,
    answer=views.LoginView,
    example=views.LOGIN,
    body=RegisterRequest,
    body_required=True,
    body_example={
        "name": "Tea shop", "email": "owner@tea.example", "password": "correct horse battery",
    },
    codes=("email_exists", *_ENGINE),
)  # fmt: skip
LOGIN = Operation(
    id="login",
    tag="Accounts",
    summary="Log in",
    description="An address that nobody has is answered as a wrong password, and as slowly.",
    answer=views.LoginView,
    example=views.LOGIN,
    body=LoginRequest,
    body_required=True,
    body_example={"email": "owner@tea.example", "password": "correct horse battery"},
    codes=("invalid_credentials", *_ENGINE),
)
REFRESH = Operation(
    id="refresh",
    tag="Accounts",
    summary="Get the next pair of tokens",
    description="A refresh token is good once; one that comes again ends its session.",
    answer=views.TokensView,
    example=views.TOKENS,
    body=RefreshRequest,
    body_required=True,
    body_example={"refreshToken": views.TOKENS["refreshToken"]},
    codes=("invalid_refresh_token", *_ENGINE),
)
LOGOUT = Operation(
    id="logout",
    tag="Accounts",
    summary="Log out",
    description="Ends the session at once: its access tokens do not work any more either.",
    status=204,
    body=RefreshRequest,
    body_required=True,
    body_example={"refreshToken": views.TOKENS["refreshToken"]},
    codes=_ENGINE,
)


def _me(name: str) -> Operation:
    return Operation(
        id=name,
        tag="Accounts",
        summary="Read the merchant",
        scope="account:admin",
        answer=views.MerchantView,
        example=views.MERCHANT,
    )


def _change(name: str) -> Operation:
    return Operation(
        id=name,
        tag="Accounts",
        summary="Change the merchant",
        description=(
            "`webhookUrl` is a shorthand for one webhook endpoint of this mode that gets every "
            "event; its secret is read and rotated there."
        ),
        scope="account:admin",
        answer=views.MerchantView,
        example={**views.MERCHANT, "webhookUrl": "https://tea.example/hooks"},
        body=ProfileRequest,
        body_required=True,
        body_example={"webhookUrl": "https://tea.example/hooks"},
        codes=("url_not_allowed", "endpoint_limit", "concurrent_change"),
    )


@post("/api/auth/register", opt={"operation": REGISTER})
async def register(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Open an account and begin its first session."""
    no_query(request)
    body = as_struct(await json_body(request, required=True), RegisterRequest)
    deps, ids = deps_of(request), ids_of(request.scope)
    account = NewAccount(name=body.name, email=body.email, password=body.password)
    try:
        merchant = await open_account(
            deps.ports, deps.logins, account, correlation_id=ids.correlation_id, trace=ids.trace
        )
    except EmailTaken:
        raise Refused("email_exists") from None
    return await _logged_in(request, merchant, status=201)


@post("/api/auth/login", status_code=200, opt={"operation": LOGIN})
async def login(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Begin a session, if the password is right."""
    no_query(request)
    body = as_struct(await json_body(request, required=True), LoginRequest)
    deps = deps_of(request)
    who = deps.logins.subject(body.email)
    await count_login(request, deps.limits, who)
    merchant_id = await deps.logins.checked(body.email, body.password)
    if merchant_id is None:
        raise Refused("invalid_credentials")
    await forgive_login(deps.limits, who)
    merchant = await load_merchant(deps.ports, merchant_id)
    return await _logged_in(request, merchant, status=200)


async def _logged_in(
    request: Request[Any, Any, Any], merchant: Merchant, *, status: int
) -> Response[bytes]:
    deps = deps_of(request)
    tokens = await deps.logins.begin(merchant.id)
    shown = await _merchant(deps.ports, merchant, "test")
    view = views.LoginView(token=tokens.access, refresh_token=tokens.refresh, merchant=shown)
    return answer(view, status=status)


@post("/api/auth/refresh", status_code=200, opt={"operation": REFRESH})
async def refresh(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Exchange a refresh token for the next pair."""
    no_query(request)
    body = as_struct(await json_body(request, required=True), RefreshRequest)
    tokens: Tokens | None = await deps_of(request).logins.renewed(body.refresh_token)
    if tokens is None:
        raise Refused("invalid_refresh_token")
    return answer(views.TokensView(token=tokens.access, refresh_token=tokens.refresh))


@post("/api/auth/logout", status_code=204, opt={"operation": LOGOUT})
async def logout(request: Request[Any, Any, Any]) -> Response[None]:
    """End the session of a refresh token; an unknown one ends nothing and is no error."""
    no_query(request)
    body = as_struct(await json_body(request, required=True), RefreshRequest)
    await deps_of(request).logins.end(body.refresh_token)
    return Response(None, status_code=204)


@get("/api/me", opt={"operation": _me("getMe")})
async def me(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the merchant."""
    return await _read(request)


@get("/api/merchants/me", opt={"operation": _me("getMerchant")})
async def merchant_me(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the merchant, under the older path."""
    return await _read(request)


@put("/api/me", opt={"operation": _change("changeMe")})
async def change_me(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Change the merchant."""
    return await _changed(request)


@put("/api/merchants/me", opt={"operation": _change("changeMerchant")})
async def change_merchant_me(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Change the merchant, under the older path."""
    return await _changed(request)


async def _read(request: Request[Any, Any, Any]) -> Response[bytes]:
    caller = await authenticated(request, "account:admin")
    no_query(request)
    ports = deps_of(request).ports
    merchant = await load_merchant(ports, caller.merchant_id)
    return answer(await _merchant(ports, merchant, caller.mode))


async def _changed(request: Request[Any, Any, Any]) -> Response[bytes]:
    caller: Caller = await authenticated(request, "account:admin")
    no_query(request)
    body = as_struct(await json_body(request, required=True), ProfileRequest)
    deps = deps_of(request)
    change = ProfileChange(name=body.name, webhook_url=body.webhook_url)
    try:
        changed = await change_profile(deps.ports, caller, change)
    except Rejected as error:
        if error.code == "url_not_allowed":
            raise Refused("url_not_allowed", error.message) from None
        raise
    return answer(await _merchant(deps.ports, changed, caller.mode))


async def _merchant(ports: Ports, merchant: Merchant, mode: Mode) -> views.MerchantView:
    profile = await open_profile(ports, merchant)
    return views.merchant_view(merchant, profile, await webhook_url(ports, merchant, profile, mode))


ROUTES = (register, login, refresh, logout, me, change_me, merchant_me, change_merchant_me)
