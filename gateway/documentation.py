"""The documentation page: operations with curl examples and a form that sends them; schemas, codes.

It reads without a script; with one (`try_it.js`) every operation can be tried. Nothing comes from
elsewhere.
"""

import json
import re
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Response

from gateway.errors import CODES
from gateway.operation import FORM
from gateway.pages import CSP, page

Json = dict[str, Any]

_LINKS: Final = """<p>Server <code>{server}</code> · <a href="/schema/openapi.json">OpenAPI 3.1</a>
· <a href="#errors">errors</a> · <a href="#schemas">schemas</a></p>"""

_KEY: Final = """<p class="card key" id="try" hidden><label for="credentials">API key</label>
<input id="credentials" type="password" autocomplete="off" spellcheck="false"
 placeholder="sk_test_… or a token; it stays on this page"></p>
<script src="/schema/try_it.js" defer></script>"""
_CSP: Final = f"{CSP}; script-src 'self'; connect-src 'self'"


def documentation_page(document: Json) -> Response[bytes]:
    """Render an OpenAPI document for people."""
    server = document["servers"][0]["url"]
    tags = [tag["name"] for tag in document["tags"]]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        f"<h1>{escape(document['info']['title'])} API</h1>",
        f"<p class='soft'>{_text(document['info']['description'])}</p>",
        _LINKS.format(server=escape(server)),
        _KEY,
    ]
    for tag in tags:
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(server, *op) for op in operations if tag in op[2]["tags"]]
    parts += [_errors(), _schemas(document["components"]["schemas"])]
    return page(f"{document['info']['title']} API", "\n".join(parts), csp=_CSP)


def _operation(server: str, method: str, path: str, operation: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td class='soft'>{escape(p['in'])}</td>"
        f"<td>{_text(p.get('description', ''))}</td></tr>"
        for p in operation["parameters"]
    )
    answers = "".join(
        f"<tr><td><code>{status}</code></td><td>{_text(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    text = "</p><p>".join(_text(operation["description"]).split("\n\n"))
    return f"""<details class="card" id="{operation["operationId"]}" data-method="{method}"
 data-path="{escape(path)}">
<summary><span class="verb">{method.upper()}</span> <code>{escape(path)}</code>
<span class="soft">{escape(operation["summary"])}</span></summary>
<p>{text}</p>
<pre>{escape(_curl(server, method, path, operation))}</pre>
<h3>Parameters</h3>{_table(("Name", "In", "Meaning"), rows)}
<h3>Answers</h3>{_table(("Status", "Meaning"), answers)}
{_example(operation)}</details>"""


def _text(plain: str) -> str:
    """Return a description as HTML; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(plain))


def _table(columns: tuple[str, ...], rows: str) -> str:
    head = "".join(f"<th scope='col'>{column}</th>" for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _curl(server: str, method: str, path: str, operation: Json) -> str:
    lines = [f"curl -X {method.upper()} {server}{path}"]
    if operation["security"]:
        lines.append("-H 'X-API-Key: sk_test_…'")
    if any(p["name"] == "Idempotency-Key" for p in operation["parameters"]):
        lines.append("-H 'Idempotency-Key: cart-1042-try-1'")
    if "requestBody" in operation:
        ((media, content),) = operation["requestBody"]["content"].items()
        example = content["example"]
        sent = urlencode(example) if media == FORM else json.dumps(example)
        lines += [f"-H 'Content-Type: {media}'", f"-d '{sent}'"]
    return " \\\n  ".join(lines)


def _example(operation: Json) -> str:
    first = next(iter(operation["responses"].values()))
    example = first.get("content", {}).get("application/json", {}).get("example")
    if example is None:
        return ""
    return f"<h3>Example</h3><pre>{escape(json.dumps(example, indent=2))}</pre>"


def _errors() -> str:
    rows = "".join(
        f"<tr id='{code}'><td><code>{status}</code></td><td><code>{code}</code></td>"
        f"<td>{escape(message)}</td></tr>"
        for code, (status, message) in CODES.items()
    )
    return f"<h2 id='errors'>Errors</h2>{_table(('Status', 'Code', 'Meaning'), rows)}"


def _schemas(schemas: Json) -> str:
    shown = "".join(
        f"<details class='card'><summary><code>{escape(name)}</code></summary>"
        f"<pre>{escape(json.dumps(schema, indent=2))}</pre></details>"
        for name, schema in schemas.items()
    )
    return f"<h2 id='schemas'>Schemas</h2>{shown}"
