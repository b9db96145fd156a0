"""The schemas of the OpenAPI document: what msgspec says of our structs, as clients may see it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from gateway.operation import Operation

Json: TypeAlias = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"


class Shapes:
    """All structs as schemas, under their public names: those of the operations, and `more`."""

    def __init__(self, operations: Iterable[Operation], *more: Any) -> None:
        self._types: list[Any] = [*more]
        for op in operations:
            self._types += [t for t in (op.answer, op.body, op.query) if t is not None]
            self._types += [t for t, _ in op.also.values() if t is not None]
        schemas, components = msgspec.json.schema_components(self._types, ref_template=_REF)
        self._schemas = [_public(schema) for schema in schemas]
        names = {name.removesuffix("View") for name in components}
        assert len(names) == len(components), "two structs have one public name"
        queries = {t.__name__ for t in self._types if getattr(t, "__name__", "").endswith("String")}
        self.components = {
            name.removesuffix("View"): _public(schema)
            for name, schema in sorted(components.items())
            if name not in queries
        }
        self._queries = {name: _public(components[name]) for name in queries}

    def of(self, shape: Any) -> Json:
        """Return the schema, or a reference to it."""
        return self._schemas[self._types.index(shape)]

    def parameters(self, shape: type[msgspec.Struct]) -> Iterator[Json]:
        """Yield the parameters of a query struct."""
        for name, schema in self._queries[shape.__name__]["properties"].items():
            branches = [b for b in schema.get("anyOf", [schema]) if b.get("type") != "null"]
            given = dict(branches[0]) if len(branches) == 1 else {"anyOf": branches}
            parameter = {"name": name, "in": "query", "required": False}
            if description := given.pop("description", schema.get("description")):
                parameter["description"] = description
            if schema.get("default") is not None:
                given["default"] = schema["default"]
            yield {**parameter, "schema": given}


def _public(schema: Any) -> Any:
    """Adapt what msgspec writes: names without `View`, patterns as ECMA-262 writes them."""
    if isinstance(schema, list):
        return [_public(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    adapted = {key: _public(value) for key, value in schema.items()}
    if isinstance(ref := adapted.get("$ref"), str):
        adapted["$ref"] = ref.removesuffix("View")
    if isinstance(pattern := adapted.get("pattern"), str):
        adapted["pattern"] = re.sub(r"\\Z$", "$", pattern)
    if isinstance(title := adapted.get("title"), str):
        adapted["title"] = title.removesuffix("View")
    if "enum" in adapted and "type" not in adapted:
        adapted["type"] = "string"
    return adapted
