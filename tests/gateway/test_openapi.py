"""The documentation is complete, closed and true: its own examples fit it, and so does the API."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from gateway.errors import CODES, ProblemView
from tests.gateway.conftest import Service

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> Json:
    answer = client.get("/schema/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def operations(document: Json) -> Iterator[Json]:
    for methods in document["paths"].values():
        yield from methods.values()


def validator(document: Json, schema: Json) -> Draft202012Validator:
    whole = {**schema, "components": document["components"]}
    return Draft202012Validator(whole, validate_formats=True)


def test_document_is_openapi_3_1(document: Json) -> None:
    assert document["openapi"] == "3.1.0"
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))


def test_every_object_is_closed_and_every_field_typed(document: Json) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
        for field, shape in schema["properties"].items():
            assert {"type", "anyOf", "$ref"} & set(shape), f"{name}.{field}"


def test_no_default_answer_and_no_5xx_but_503(document: Json) -> None:
    for operation in operations(document):
        statuses = set(operation["responses"])
        assert "default" not in statuses
        assert not {s for s in statuses if s.startswith("5")} - {"503"}


def test_errors_are_problems_with_an_example_per_code(document: Json) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            for media, content in response.get("content", {}).items():
                assert "example" in content or "examples" in content
                if media != "application/problem+json":
                    continue
                for code, example in content["examples"].items():
                    assert example["value"]["code"] == code
                    assert example["value"]["status"] == int(status) == CODES[code][0]


def test_examples_fit_their_schemas(document: Json) -> None:
    contents = [
        content
        for operation in operations(document)
        for where in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in where.get("content", {}).values()
    ]
    assert len(contents) > 50
    for content in contents:
        check = validator(document, content["schema"])
        shown = [e["value"] for e in content.get("examples", {}).values()]
        for example in shown or [content["example"]]:
            check.validate(example)


def test_secured_operations_name_the_scheme_and_401_and_403(document: Json) -> None:
    scheme = document["components"]["securitySchemes"]["apiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    scheme = document["components"]["securitySchemes"]["accessToken"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    secured = [o for p, ms in document["paths"].items() for o in ms.values() if p.startswith("/v1")]
    assert secured
    for operation in secured:
        assert operation["security"] == [{"apiKey": []}, {"accessToken": []}]
        assert {"400", "401", "403", "429", "503"} <= set(operation["responses"])


def test_problem_members_are_documented_as_they_are_written() -> None:
    names = {"type", "title", "status", "detail", "instance", "code", "message", "requestId"}
    assert names | {"errors", "orderId", "candidates"} == set(ProblemView.__struct_fields__)


def test_patterns_are_those_of_json_schema(document: Json) -> None:
    assert r"\Z" not in str(document)


def test_page_lists_every_operation_with_curl_and_every_code(
    client: httpx.Client, document: Json
) -> None:
    text = client.get("/schema").text
    for operation in operations(document):
        assert f'id="{operation["operationId"]}"' in text
    for code in CODES:
        assert code in text
    assert "curl -X POST" in text


# A stream of events does not end by itself: tests/gateway/test_stream_http.py looks at it.
GROUPS = {
    "v1": "^/v1/",
    "api": "^/api/(?!events/stream)",
    "outside": "^/(?!v1/|api/)",
}
EXAMPLES = int(os.environ.get("LOOP_FUZZ_EXAMPLES", "0"))
"""Requests per operation of a long run, with every boundary of every schema; 0 is a short run."""

PHASES = "examples,coverage,fuzzing,stateful" if EXAMPLES else "examples,fuzzing,stateful"


def test_every_operation_but_the_stream_is_looked_at(document: Json) -> None:
    looked_at = [path for path in document["paths"] for g in GROUPS.values() if re.match(g, path)]
    assert sorted(looked_at) == sorted(set(document["paths"]) - {"/api/events/stream"})


@pytest.mark.timeout(3600 if EXAMPLES else 300)
@pytest.mark.parametrize("paths", GROUPS.values(), ids=GROUPS.keys())
def test_api_does_what_its_document_says(service: Service, tmp_path: Path, paths: str) -> None:
    """Schemathesis: valid and invalid requests made from the document.

    One check is left out: that whatever fits the schemas is accepted. An order's status may say
    no, and no schema can say that 45.0 is no integer here. It makes no credentials of its own,
    because an access token beside our key would be refused before anything else.
    """
    scopes = ("payments:read", "payments:write", "ledger:read", "account:admin", "webhooks:write")
    api_key, _ = service.key(service.merchant(), scopes=scopes)
    tool = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            tool, "run", f"{service.url}/schema/openapi.json", f"--url={service.url}",
            f"--header=X-API-Key: {api_key}", f"--phases={PHASES}",
            "--mode=all", "--checks=all", "--exclude-checks=positive_data_acceptance",
            f"--include-path-regex={paths}", "--generation-with-security-parameters=false",
            f"--max-examples={EXAMPLES or 2}", "--seed=1", "--no-color", "--no-shrink",
            "--generation-deterministic", "--suppress-health-check=all", "--continue-on-failure",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
