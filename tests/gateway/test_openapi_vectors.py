"""The document against the schemas of its own standards, and every example that it shows."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
from jsonschema_rs import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

Json = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
# RFC 9110, 5.1: tokens; OpenAPI 3.1 forbids these three as parameters.
NOT_PARAMETERS = {"accept", "content-type", "authorization"}


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> Json:
    answer = client.get("/schema/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def schemas(part: Any) -> Iterator[Json]:
    """Yield what is called a schema, anywhere, and what has a default."""
    if isinstance(part, dict):
        for name, inner in part.items():
            if name == "schema":
                yield inner
            yield from schemas(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from schemas(inner)


def operations(document: Json) -> Iterator[Json]:
    for where in ("paths", "webhooks"):
        for methods in document[where].values():
            yield from methods.values()


def fits(document: Json, schema: Json, value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole, validate_formats=True).validate(value)


def test_the_document_is_what_the_schema_of_openapi_3_1_describes(document: Json) -> None:
    """https://spec.openapis.org/oas/3.1/schema, as schemathesis brings it."""
    OPENAPI_31_VALIDATOR.validate(document)


def test_every_schema_is_one_of_draft_2020_12(document: Json) -> None:
    found = [*document["components"]["schemas"].values(), *schemas(document)]
    assert len(found) > 500
    for schema in found:
        jsonschema_rs.meta.validate({"$schema": DRAFT, **schema})


def test_every_reference_leads_somewhere(document: Json) -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for inner in part.values():
                yield from references(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from references(inner)

    for reference in set(references(document)):
        part: Any = document
        assert reference.startswith("#/")
        for name in reference.removeprefix("#/").split("/"):
            part = part[name.replace("~1", "/").replace("~0", "~")]


def test_what_webhooks_send_is_shown_as_its_schema_says(document: Json) -> None:
    assert len(document["webhooks"]) > 15
    for kind, methods in document["webhooks"].items():
        content = methods["post"]["requestBody"]["content"]["application/json"]
        fits(document, content["schema"], content["example"])
        assert content["example"]["type"] == content["example"]["eventType"] == kind


def test_examples_and_defaults_of_parameters_and_headers_fit(document: Json) -> None:
    shown = [p for operation in operations(document) for p in operation["parameters"]]
    shown += document["components"]["headers"].values()
    checked = 0
    for one in shown:
        for value in (one.get("example"), one["schema"].get("default")):
            if value is not None:
                fits(document, one["schema"], value)
                checked += 1
    assert checked > 100


def test_parameters_are_named_once_and_path_parameters_are_those_of_the_path(
    document: Json,
) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            names = [(p["in"], p["name"].lower()) for p in operation["parameters"]]
            assert len(names) == len(set(names)), path
            assert not {name for where, name in names if where == "header"} & NOT_PARAMETERS
            in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_names_of_components_and_operations_are_those_that_generators_take(document: Json) -> None:
    for group in document["components"].values():
        assert all(name.replace("-", "").replace("_", "").isalnum() for name in group)
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))
    assert {tag["name"] for tag in document["tags"]} >= {
        tag for operation in operations(document) for tag in operation["tags"]
    }
