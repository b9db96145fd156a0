"""What the hosted page's routes refuse: a page for browsers, problem details for everybody else."""

from typing import Any, Final

from litestar import Request, Response

from commands.append import VersionTaken
from domain.errors import LoopError, NotFound, Unavailable
from gateway.checkout import screens
from gateway.checkout.frame import rendered
from gateway.errors import HANDLERS, Refused
from gateway.operation import HTML

_BACK: Final = "This is not possible right now. Please go back to the shop"


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer as `gateway/errors.py` does, for people: the same status and headers, in words."""
    kind = next(kind for kind in ON_ERROR if isinstance(kind, type) and isinstance(error, kind))
    answer: Response[bytes] = HANDLERS[kind](request, error)
    if HTML not in request.headers.get("accept", ""):
        return answer
    match error:
        case NotFound():
            text = "There is no such page"
        case Unavailable():
            text = "Something is not available right now. Please try again in a moment"
        case Refused(code="card_data_refused"):
            text = "Card numbers are never entered on this page. Nothing was stored or charged"
        case Refused():
            text = "This form cannot be used. Please go back and load the page again"
        case _:
            text = _BACK
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
    screen = screens.error(answer.status_code or 500, text, retry_after_s=retry_after_s)
    return rendered(screen, shop=None, test=False)


ON_ERROR: Final[dict[int | type[Exception], Any]] = {
    Refused: on_error,
    LoopError: on_error,
    VersionTaken: on_error,
}
"""For `exception_handlers` of a route."""
