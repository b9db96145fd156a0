"""Processor accounts: which ones a merchant uses, and with which credentials."""

from typing import Any

from litestar import Request, Response, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET
from msgspec.structs import replace

from commands.caller import Caller
from commands.change_merchant import Answered, load_merchant, once_of_merchant
from commands.configure_processor import ProcessorAccount, account_of, configure_processor
from commands.ports import Ports
from commands.processor import CredentialField, Credentials, Processor
from commands.remove_processor import remove_processor
from domain.errors import NotFound, Rejected
from domain.merchant import Merchant
from domain.metadata import Mode
from domain.routing import Account
from gateway import account_views as views
from gateway.account_bodies import ProcessorChange, ProcessorQueryString, ProcessorRequest
from gateway.auth import authenticated, deps_of, reaches
from gateway.decode import as_struct, json_body, no_query, query
from gateway.errors import FieldError, Refused, invalid
from gateway.operation import Operation, answer
from gateway.read_command import read_command

_BODY: dict[str, Any] = {
    "credentials": {"secretKey": "sk_test_51Example", "webhookSecret": "whsec_example"},
    "enabled": True,
    "priority": 1,
    "testMode": True,
}
LIST = Operation(
    id="listProcessors",
    tag="Processors",
    summary="List processor accounts",
    description="Of both modes, in the order in which they are preferred.",
    scope="account:admin",
    answer=list[views.ProcessorView],
    example=[views.PROCESSOR],
)
CONFIGURE = Operation(
    id="configureProcessor",
    tag="Processors",
    summary="Configure a processor account",
    description=(
        "New attempts use it at once; those that were begun go on with the credentials that they "
        "were begun with. Fake keys are accepted in test mode. 200 where one was configured."
    ),
    scope="account:admin",
    status=201,
    answer=views.ProcessorView,
    example=views.PROCESSOR,
    also={200: (views.ProcessorView, views.PROCESSOR)},
    body=ProcessorRequest,
    body_required=True,
    body_example=_BODY,
    headers=("Idempotency-Key",),
)
CHANGE = Operation(
    id="changeProcessor",
    tag="Processors",
    summary="Change a processor account",
    description="What is left out stays, also members of the credentials.",
    scope="account:admin",
    answer=views.ProcessorView,
    example={**views.PROCESSOR, "priority": 2},
    body=ProcessorChange,
    body_required=True,
    body_example={"priority": 2},
    codes=("concurrent_change",),
)
REMOVE = Operation(
    id="removeProcessor",
    tag="Processors",
    summary="Remove a processor account",
    description=(
        "Stops new attempts; captures, refunds and lookups of what was begun go on. With "
        "`force=true` its credentials are destroyed at once, and what open orders still need of "
        "the processor is left to people."
    ),
    scope="account:admin",
    status=204,
    query=ProcessorQueryString,
    codes=("concurrent_change",),
)


@get("/api/processors", opt={"operation": LIST})
async def list_processors(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the accounts of both modes."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    ports = deps_of(request).ports
    merchant = await load_merchant(ports, caller.merchant_id)
    accounts = sorted(merchant.accounts, key=lambda pair: (pair[0] == "live", pair[1].priority))
    return answer([_view(ports, merchant, mode, account) for mode, account in accounts])


@post("/api/processors/{processor:str}", opt={"operation": CONFIGURE})
async def configure(request: Request[Any, Any, Any], processor: FromPath[str]) -> Response[bytes]:
    """Configure an account, or replace the one that is configured."""
    caller = await authenticated(request, "account:admin")
    ports = deps_of(request).ports
    known = _known(ports, processor)
    body, once = await read_command(request, caller, ProcessorRequest, required=True)
    caller = _in_mode(caller, test_mode=body.test_mode)
    wanted = ProcessorAccount(
        processor=processor,
        credentials=_credentials(known, body.credentials, complete=True),
        enabled=body.enabled,
        priority=body.priority,
    )
    before = await load_merchant(ports, caller.merchant_id)
    status = 200 if account_of(before, caller.mode, processor) else 201

    async def attempt() -> Account:
        return await configure_processor(ports, caller, wanted, idempotency=once, status=status)

    done = await _allowed(once_of_merchant(ports, caller, once, attempt))
    if isinstance(done, Answered):
        view = _account_view(ports, done.merchant, caller.mode, processor)
        return answer(view, status=done.status, replayed=True)
    merchant = await load_merchant(ports, caller.merchant_id)
    return answer(_view(ports, merchant, caller.mode, done), status=status)


@patch("/api/processors/{processor:str}", opt={"operation": CHANGE})
async def change(request: Request[Any, Any, Any], processor: FromPath[str]) -> Response[bytes]:
    """Change an account that is configured."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    ports = deps_of(request).ports
    known = _known(ports, processor)
    body = as_struct(await json_body(request, required=True), ProcessorChange)
    caller = _in_mode(caller, test_mode=body.test_mode)
    merchant = await load_merchant(ports, caller.merchant_id)
    account = account_of(merchant, caller.mode, processor)
    if account is None:
        raise NotFound("not_found", "This processor is not configured.")
    added = None
    if body.credentials is not UNSET:
        added = _credentials(known, body.credentials, complete=False)
    wanted = ProcessorAccount(
        processor=processor,
        added=added,
        enabled=account.enabled if body.enabled is UNSET else body.enabled,
        priority=account.priority if body.priority is UNSET else body.priority,
    )
    changed = await _allowed(configure_processor(ports, caller, wanted))
    return answer(_view(ports, merchant, caller.mode, changed))


@delete("/api/processors/{processor:str}", opt={"operation": REMOVE})
async def remove(request: Request[Any, Any, Any], processor: FromPath[str]) -> Response[None]:
    """Let no new attempt use an account; with `force`, nothing at all."""
    caller = await authenticated(request, "account:admin")
    asked = query(request, ProcessorQueryString)
    ports = deps_of(request).ports
    _known(ports, processor)
    caller = _in_mode(caller, test_mode=asked.test_mode == "true")
    await remove_processor(ports, caller, processor, force=asked.force == "true")
    return Response(None, status_code=204)


def _known(ports: Ports, name: str) -> Processor:
    processor = ports.processors.get(name)
    if processor is None:
        raise NotFound("not_found", "There is no such processor.")
    return processor


def _in_mode(caller: Caller, *, test_mode: bool) -> Caller:
    mode: Mode = "test" if test_mode else "live"
    reaches(caller, mode)
    return replace(caller, mode=mode)


def _credentials(processor: Processor, given: dict[str, str], *, complete: bool) -> Credentials:
    """Turn `secretKey` into `secret_key`; what does not belong to the processor is a 400."""
    fields = {_camel(field): field for field in processor.fields}
    wrong = [
        FieldError(f"credentials.{name}", "is not a known field")
        for name in given
        if name not in fields
    ]
    if complete:
        wrong += [
            FieldError(f"credentials.{name}", "is required")
            for name, field in fields.items()
            if field.required and name not in given
        ]
    if wrong:
        first = wrong[0]
        raise Refused("invalid_request", f"{first.field}: {first.message}", tuple(wrong))
    return Credentials({fields[name].name: value for name, value in given.items()})


def _camel(field: CredentialField) -> str:
    first, *rest = field.name.split("_")
    return first + "".join(part.capitalize() for part in rest)


async def _allowed(work: Any) -> Any:
    """Answer credentials that cannot be used in this mode as what they are: a bad field."""
    try:
        return await work
    except Rejected as error:
        if error.code == "credentials_refused":
            raise invalid("credentials", error.message) from None
        raise


def _account_view(
    ports: Ports, merchant: Merchant, mode: Mode, processor: str
) -> views.ProcessorView:
    account = account_of(merchant, mode, processor)
    assert account is not None, "it was answered when it was configured"
    return _view(ports, merchant, mode, account)


def _view(ports: Ports, merchant: Merchant, mode: Mode, account: Account) -> views.ProcessorView:
    processor = ports.processors.get(account.processor)
    return views.processor_view(merchant, mode, account, processor, ports.public_url)


ROUTES = (list_processors, configure, change, remove)
