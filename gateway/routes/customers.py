"""Customers, of whom nothing is kept but what their orders say."""

from typing import Any

from litestar import Request, Response, delete
from litestar.params import FromPath

from commands.erase_customer import erase_customer
from gateway.auth import authenticated, deps_of
from gateway.decode import no_query
from gateway.operation import Operation

ERASE = Operation(
    id="eraseCustomer",
    tag="Customers",
    summary="Erase what is known of a customer",
    description=(
        "Destroys the key that the personal data of this customer's orders is sealed under, in "
        "the mode of the API key. It reads null from then on, everywhere; the orders, their "
        "amounts and every proof stay. It cannot be undone."
    ),
    scope="account:admin",
    status=204,
)


@delete("/api/customers/{customer_id:str}", opt={"operation": ERASE})
async def erase(request: Request[Any, Any, Any], customer_id: FromPath[str]) -> Response[None]:
    """Erase a customer; 404 where nothing is kept of them."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    await erase_customer(deps_of(request).ports, caller, customer_id=customer_id)
    return Response(None, status_code=204)


ROUTES = (erase,)
