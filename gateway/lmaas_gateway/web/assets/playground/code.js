// A call as code to paste: with our SDK, with the `openai` package, and with curl. The key is never in it.

// What both packages name as parameters of their own; whatever else an engine takes goes in `extra_body`.
const NAMED = new Set([
  "model", "messages", "input", "temperature", "top_p", "max_tokens", "seed", "stop", "frequency_penalty",
  "presence_penalty", "tools", "tool_choice", "response_format", "n", "logprobs", "top_logprobs", "logit_bias",
]);

const SHOWN = {
  "/chat/completions": "reply.choices[0].message.content",
  "/embeddings": "len(reply.data), len(reply.data[0].embedding)",
};
const SHOWN_WITH_TOOLS = "reply.choices[0].message.tool_calls or reply.choices[0].message.content";

// `path` is of the API, as "/chat/completions"; `baseUrl` ends in "/v1".
export function lmaasCode(baseUrl, path, body) {
  return [
    "from lmaas import LMaaS",
    "",
    "# The key is taken from LMAAS_API_KEY.",
    `with LMaaS(base_url=${python(baseUrl)}) as client:`,
    indented(pythonCall(path, body)),
    "",
  ].join("\n");
}

export function openaiCode(baseUrl, path, body) {
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${python(baseUrl)}, api_key=os.environ.get("LMAAS_API_KEY", "none"))`,
    pythonCall(path, body),
    "",
  ].join("\n");
}

export function curlCode(baseUrl, path, body) {
  return [
    `curl -sS ${shell(baseUrl + path)} \\`,
    '  -H "Authorization: Bearer $LMAAS_API_KEY" -H "Content-Type: application/json" \\',
    `  -d ${shell(JSON.stringify(body, null, 2))}`,
    "",
  ].join("\n");
}

// A value of JSON as a literal of Python. Strings of JSON are strings of Python; only the constants have other names.
export function python(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const items = Array.isArray(value)
    ? value.map((item) => python(item, indent + "    "))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, indent + "    ")}`);
  const line = open + items.join(", ") + close;
  if (line.length <= 72 && !line.includes("\n")) return line;
  return `${open}\n${items.map((item) => `${indent}    ${item},\n`).join("")}${indent}${close}`;
}

// Between single quotes a shell leaves everything alone but the quote itself.
export function shell(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function pythonCall(path, body) {
  const named = Object.entries(body).filter(([name]) => NAMED.has(name));
  const extra = Object.entries(body).filter(([name]) => !NAMED.has(name));
  const parameters = named.map(([name, value]) => `    ${name}=${python(value, "    ")},`);
  if (extra.length > 0) parameters.push(`    extra_body=${python(Object.fromEntries(extra), "    ")},`);
  const method = `client.${path.slice(1).replaceAll("/", ".")}.create`;
  const shown = body.tools ? SHOWN_WITH_TOOLS : SHOWN[path];
  return [`reply = ${method}(`, ...parameters, ")", `print(${shown})`].join("\n");
}

// Not by a pattern: `^` matches within strings too, after what Unicode calls a line separator.
function indented(text) {
  return text.split("\n").map((line) => (line ? `    ${line}` : line)).join("\n");
}
