// Makes every operation of the documentation page something that can be sent from it.
// The key stays in its field: it is neither stored nor put into an address.
"use strict";

const document_ = fetch("/schema/openapi.json").then((answer) => answer.json());

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function field(operationId, parameter) {
  const id = `${operationId}-${parameter.in}-${parameter.name}`;
  const input = element("input", { id, autocomplete: "off", spellcheck: "false" });
  input.required = Boolean(parameter.required);
  if (parameter.name === "Idempotency-Key") input.value = crypto.randomUUID();
  return { parameter, input, row: element("p", {}, element("label", { for: id }, parameter.name), input) };
}

function address(path, fields) {
  const query = new URLSearchParams();
  let filled = path;
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    if (parameter.in === "query" && input.value) query.set(parameter.name, input.value);
  }
  return query.size ? `${filled}?${query}` : filled;
}

function headers(operation, fields) {
  const sent = new Headers();
  const key = document.getElementById("credentials").value.trim();
  if (key && operation.security.length) {
    if (key.startsWith("sk_")) sent.set("X-API-Key", key);
    else sent.set("Authorization", `Bearer ${key}`);
  }
  for (const { parameter, input } of fields) {
    if (parameter.in === "header" && input.value) sent.set(parameter.name, input.value);
  }
  return sent;
}

async function shown(answer) {
  const text = await answer.text();
  let body = text;
  try {
    body = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON: shown as it is.
  }
  const request = answer.headers.get("X-Request-ID") ?? "";
  return `${answer.status} ${answer.statusText}   ${request}\n\n${body}`;
}

function form(method, path, operation) {
  const id = operation.operationId;
  const fields = operation.parameters.map((parameter) => field(id, parameter));
  const output = element("pre", { "aria-live": "polite", "aria-label": "Answer" });
  output.hidden = true;
  const made = element("form", { class: "try", "aria-label": `Send ${id}` }, ...fields.map((one) => one.row));
  const json = operation.requestBody?.content["application/json"];
  const body = json && element("textarea", { id: `${id}-body`, rows: "8", spellcheck: "false" });
  if (body) {
    body.value = JSON.stringify(json.example ?? {}, null, 2);
    made.append(element("label", { for: body.id }, "Body"), body);
  }
  made.append(element("button", {}, "Send"), output);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const sent = headers(operation, fields);
    if (body) sent.set("Content-Type", "application/json");
    output.hidden = false;
    output.textContent = "…";
    try {
      const request = { method: method.toUpperCase(), headers: sent, body: body?.value };
      output.textContent = await shown(await fetch(address(path, fields), request));
    } catch (error) {
      output.textContent = `Not sent: ${error.message}`;
    }
  });
  return made;
}

for (const details of document.querySelectorAll("details[data-path]")) {
  details.addEventListener("toggle", async () => {
    if (!details.open || details.querySelector("form")) return;
    const { method, path } = details.dataset;
    details.append(form(method, path, (await document_).paths[path][method]));
  });
}
document.getElementById("try").hidden = false;
