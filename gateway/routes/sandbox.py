"""The sandbox's bank page, where the customer of a test payment completes or fails 3-D Secure."""

from html import escape
from typing import Any, Literal

from litestar import Request, Response, get, post
from litestar.params import FromPath

from domain.errors import NotFound
from domain.money import Money
from gateway.auth import deps_of
from gateway.deps import Bank, BankChallenge
from gateway.errors import invalid
from gateway.operation import HTML, Operation
from gateway.pages import page

CHALLENGE = Operation(
    id="showChallenge",
    tag="Sandbox",
    summary="The page where a test customer completes 3-D Secure",
    media=HTML,
    example="<!doctype html>…",
    codes=("not_found",),
)


def _decision(verb: str) -> Operation:
    return Operation(
        id=f"{verb}Challenge",
        tag="Sandbox",
        summary=f"The test customer's button: {verb}",
        description="Goes on to the attempt's return URL, or to a short page without one.",
        media=HTML,
        example="<!doctype html>…",
        also={303: (None, None)},
        codes=("not_found",),
    )


@get("/sandbox/challenge/{reference:str}", opt={"operation": CHALLENGE})
async def challenge(request: Request[Any, Any, Any], reference: FromPath[str]) -> Response[bytes]:
    """Show what the bank asks, or what was decided."""
    asked = await _bank(request).describe(reference)
    if asked is None:
        raise _none()
    return _done(asked.state) if asked.state != "open" else _ask(asked)


@post(
    "/sandbox/challenge/{reference:str}/approve",
    opt={"operation": _decision("approve")},
    status_code=200,
)
async def approve(request: Request[Any, Any, Any], reference: FromPath[str]) -> Response[bytes]:
    """Complete the authentication."""
    return await _decide(request, reference, "approved")


@post(
    "/sandbox/challenge/{reference:str}/fail",
    opt={"operation": _decision("fail")},
    status_code=200,
)
async def fail(request: Request[Any, Any, Any], reference: FromPath[str]) -> Response[bytes]:
    """Fail the authentication."""
    return await _decide(request, reference, "failed")


def _bank(request: Request[Any, Any, Any]) -> Bank:
    bank = deps_of(request).bank
    if bank is None:
        raise _none()
    return bank


def _none() -> NotFound:
    return NotFound("not_found", "There is no such challenge.")


async def _decide(
    request: Request[Any, Any, Any], reference: str, how: Literal["approved", "failed"]
) -> Response[bytes]:
    bank = _bank(request)
    if await bank.describe(reference) is None:
        raise _none()
    back = await bank.decide(reference, approve=how == "approved")
    if back is None:
        return _done(how)
    if not back.startswith(("http://", "https://")) or not back.isascii() or not back.isprintable():
        raise invalid("returnUrl", "is no http or https URL")
    return Response(b"", status_code=303, headers={"Location": back}, media_type=HTML)


def _ask(asked: BankChallenge) -> Response[bytes]:
    amount = escape(str(Money(asked.amount_minor, asked.currency)))
    path = f"/sandbox/challenge/{escape(asked.reference)}"
    body = f"""
<h1>Confirm your payment</h1>
<p class="soft">This is the sandbox's bank. No money moves.</p>
<div class="card">
<p class="sum">{amount}</p>
<p class="soft">Payment <code>{escape(asked.reference)}</code></p>
<form method="post" action="{path}/approve"><button>Approve payment</button></form>
<form method="post" action="{path}/fail"><button class="stop">Fail authentication</button></form>
</div>"""
    return page("Confirm your payment", body, narrow=True)


def _done(state: str) -> Response[bytes]:
    said = "The payment was approved." if state == "approved" else "The authentication failed."
    body = f'<h1>{said}</h1><p class="soft">You can close this page.</p>'
    return page(said, body, narrow=True)


ROUTES = (challenge, approve, fail)
