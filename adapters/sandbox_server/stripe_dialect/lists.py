"""Stripe's lists and plain reads: cursors, `created` ranges and filters by member."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.stripe_dialect.errors import invalid, missing
from adapters.sandbox_server.stripe_dialect.forms import integer, known, text
from adapters.sandbox_server.wire import Json

LIMIT_MAX: Final = 100
LIMIT: Final = 10
_COMPARE: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PAGING: Final = ("limit", "starting_after", "ending_before", "created")


class Lister:
    """Answers `GET` of a list.

    Args:
        kind: where the objects are kept.
        parent: the member that names what they belong to, for which there is an index.
        what: what an error calls one.
        filters: members that the query may name.
    """

    def __init__(
        self,
        kind: str,
        what: str,
        path: str,
        filters: tuple[str, ...] = (),
        *,
        parent: str | None = None,
    ) -> None:
        self._kind, self._what, self._path, self._filters = kind, what, path, filters
        self._parent = parent

    def __call__(self, call: Call) -> Json:
        """Give one page, newest first."""
        return self.page(call)

    def page(self, call: Call, **only: str) -> Json:
        """Give one page of those whose members are as `only` says, newest first."""
        known(call.params, (*_PAGING, *self._filters, "types", "delivery_success"))
        asked = integer(call.params, "limit")
        limit = LIMIT if asked is None else asked
        if not isinstance(call.params.get("types", []), list):
            raise invalid("Invalid array", param="types")
        if not 1 <= limit <= LIMIT_MAX:
            raise invalid("Limit must be between 1 and 100.", param="limit")
        where, values = self._range(call)
        backwards = "ending_before" in call.params
        found: list[Json] = []
        for thing in call.store.newest(self._kind, call.account, where=where, values=values):
            if self._wanted(call, thing) and all(thing[n] == v for n, v in only.items()):
                found.append(thing)
            if len(found) > limit and not backwards:
                break
        page = found[-limit:] if backwards else found[:limit]
        return {
            "object": "list",
            "url": self._path,
            "has_more": len(found) > limit,
            "data": page,
        }

    def retrieve(self, call: Call) -> Json:
        """Give one object.

        Raises:
            StripeError: `resource_missing`.
        """
        found = call.store.get(self._kind, call.id, call.account)
        if found is None:
            raise missing(self._what, call.id, param="id")
        return found

    def _wanted(self, call: Call, thing: Json) -> bool:
        types = call.params.get("types")
        if types and thing.get("type") not in types:
            return False
        success = call.params.get("delivery_success")
        if success and _delivered(call, thing["id"]) != (success == "true"):
            return False
        return all(
            thing.get(name, thing.get(f"_{name}")) == call.params[name]
            for name in self._filters
            if name in call.params
        )

    def _range(self, call: Call) -> tuple[str, list[Any]]:
        parts: list[str] = []
        values: list[Any] = []
        if self._parent and self._parent in call.params:
            parts.append("AND parent = ?")
            values.append(text(call.params, self._parent))
        created = call.params.get("created")
        if isinstance(created, str):
            parts.append("AND created = ?")
            values.append(integer({"created": created}, "created"))
        elif isinstance(created, dict):
            known(created, _COMPARE)
            for name in created:
                parts.append(f"AND created {_COMPARE[name]} ?")
                values.append(integer(created, name))
        for name, sign in (("starting_after", "<"), ("ending_before", ">")):
            cursor = text(call.params, name)
            if cursor:
                place = call.store.sequence(self._kind, cursor)
                if place is None:
                    raise missing(self._what, cursor, param=name, status=400)
                parts.append(f"AND seq {sign} ?")
                values.append(place)
        return " ".join(parts), values


def _delivered(call: Call, event_id: str) -> bool:
    row = call.store.db.execute(
        "SELECT 1 FROM deliveries WHERE event_id = ? AND state <> 'delivered'", (event_id,)
    ).fetchone()
    return row is None
