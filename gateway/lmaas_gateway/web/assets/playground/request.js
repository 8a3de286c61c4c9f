// From what stands in the form to the body of a call. Nothing that was left empty is sent: the engine's own defaults
// then hold.

export class FieldError extends Error {
  // `reason` is a key of the words; `detail` what the reader of JSON said.
  constructor(field, reason, detail = "") {
    super(`${field}: ${reason}`);
    this.field = field;
    this.reason = reason;
    this.detail = detail;
  }
}

const NUMBERS = {
  temperature: { least: 0, most: 2 },
  top_p: { least: 0, most: 1 },
  max_tokens: { least: 1, isWhole: true },
  seed: { isWhole: true },
  frequency_penalty: { least: -2, most: 2 },
  presence_penalty: { least: -2, most: 2 },
};

// `form` holds the text of each field; `messages` the conversation as the API has it.
export function chatBody(model, form, messages) {
  const system = form.system?.trim() ? [{ role: "system", content: form.system }] : [];
  return {
    model,
    messages: [...system, ...messages],
    ...numbersOf(form),
    ...stopsOf(form),
    ...toolsOf(form),
    ...formatOf(form),
    ...(readJson(form, "extra", isObject, "not_an_object") ?? {}),
  };
}

export function embeddingBody(model, text) {
  return { model, input: linesOf(text) };
}

export function linesOf(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

// Of a kept conversation, what is sent again: our own notes are left out, and so is each exchange that failed: half an
// answer would be taken for what the model meant to say.
export function sendable(turns) {
  const kept = [];
  for (const { role, content, tool_calls, tool_call_id, is_broken } of turns) {
    if (is_broken) {
      while (kept.length > 0 && kept.at(-1).role !== "assistant") kept.pop();
      continue;
    }
    kept.push({ role, content, ...(tool_calls && { tool_calls }), ...(tool_call_id && { tool_call_id }) });
  }
  return kept;
}

function numbersOf(form) {
  const found = {};
  for (const [name, rules] of Object.entries(NUMBERS)) {
    const text = form[name]?.trim();
    if (!text) continue;
    const value = Number(text);
    const { least = -Infinity, most = Infinity, isWhole = false } = rules;
    if (!Number.isFinite(value)) throw new FieldError(name, "not_a_number");
    if (isWhole && !Number.isSafeInteger(value)) throw new FieldError(name, "not_whole");
    if (value < least || value > most) throw new FieldError(name, "out_of_range");
    found[name] = value;
  }
  return found;
}

// One a line; `\n` and `\t` are what cannot be typed there.
function stopsOf(form) {
  const lines = (form.stop ?? "").split("\n").filter((line) => line !== "");
  const stop = lines.map((line) => line.replaceAll("\\n", "\n").replaceAll("\\t", "\t"));
  return stop.length > 0 ? { stop } : {};
}

function toolsOf(form) {
  const tools = readJson(form, "tools", isFilledArray, "not_an_array");
  return tools === undefined ? {} : { tools, tool_choice: form.tool_choice || "auto" };
}

function formatOf(form) {
  if (form.format === "json_object") return { response_format: { type: "json_object" } };
  if (form.format !== "json_schema") return {};
  const schema = readJson(form, "schema", isObject, "not_an_object");
  if (schema === undefined) throw new FieldError("schema", "schema_missing");
  return { response_format: { type: "json_schema", json_schema: { name: "answer", schema, strict: true } } };
}

function readJson(form, field, isRight, reason) {
  const text = form[field]?.trim();
  if (!text) return undefined;
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FieldError(field, "not_json", error.message);
  }
  if (!isRight(value)) throw new FieldError(field, reason);
  return value;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isFilledArray = (value) => Array.isArray(value) && value.length > 0 && value.every(isObject);
