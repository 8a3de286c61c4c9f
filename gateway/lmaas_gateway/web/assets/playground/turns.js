// Turns of a conversation as articles. Whatever people or models wrote is shown as text.

import { element } from "./element.js";
import { show } from "./markdown.js";
import { rate, say, seconds } from "./words.js";

const THUMBS = { up: "helpful", down: "not_helpful" };

export function questionArticle({ role, content }) {
  const label = say(role === "tool" ? "tool_result" : "you");
  return element("article", { className: `turn ${role}`, "aria-label": label },
    element("p", { className: "speaker" }, label), element("div", { className: "text plain" }, content));
}

// An answer that grows. `actions` are what the reader can do with it: `rate(turn, thumbs)` and `sendResults(results)`;
// `callsPath` is where calls are explained, empty where they are not.
export class AnswerArticle {
  #text = element("div", { className: "text" });
  #reasoning = element("details", { className: "reasoning", hidden: true },
    element("summary", {}, say("reasoning")), element("div", { className: "text plain" }));
  #foot = element("footer", {});
  #model;
  #actions;
  #callsPath;

  constructor(model, actions, callsPath) {
    this.#model = model;
    this.#actions = actions;
    this.#callsPath = callsPath;
    this.root = element("article", { className: "turn assistant", "aria-label": say("answer") },
      element("p", { className: "speaker" }, model), this.#reasoning, this.#text, this.#foot);
  }

  update(content, reasoning = "") {
    show(this.#text, content);
    if (!reasoning) return;
    this.#reasoning.hidden = false;
    this.#reasoning.lastChild.textContent = reasoning;
  }

  // Shows a turn as it ended; `isLast` lets its calls of tools be answered.
  finish(turn, isLast) {
    this.update(turn.content, turn.reasoning);
    const calls = (turn.tool_calls ?? []).map(callElement);
    const results = isLast && calls.length > 0 ? [this.#resultsForm(turn.tool_calls)] : [];
    this.#foot.replaceChildren(...calls, ...results, ...notesOf(turn), this.#readingLine(turn));
    this.root.classList.toggle("broken", Boolean(turn.is_broken));
  }

  #readingLine(turn) {
    const parts = readingWords(turn.reading ?? {}).map((text) => element("span", {}, text));
    if (turn.request_id) parts.push(requestElement(turn.request_id, this.#callsPath));
    const isRatable = turn.request_id && !turn.is_broken;
    return element("div", { className: "reading" }, ...parts, isRatable ? this.#ratings(turn) : null);
  }

  #ratings(turn) {
    const buttons = Object.entries(THUMBS).map(([thumbs, key]) =>
      element("button", { type: "button", className: "small", "aria-pressed": String(turn.rated === thumbs),
        dataset: { thumbs }, onclick: () => this.#rate(turn, thumbs, buttons) }, say(key)));
    return element("span", { className: "ratings", role: "group", "aria-label": say("rate") }, ...buttons);
  }

  async #rate(turn, thumbs, buttons) {
    if (!(await this.#actions.rate(turn, thumbs))) return;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.thumbs === thumbs));
  }

  #resultsForm(calls) {
    const fields = calls.map(() => element("textarea", { rows: 2, required: true, spellcheck: false }));
    const labels = calls.map(({ function: { name } }, index) =>
      element("label", {}, say("result_of", { name }), fields[index]));
    return element("form", { className: "results", onsubmit: (event) => {
      event.preventDefault();
      this.#actions.sendResults(calls.map(({ id }, index) => ({ role: "tool", tool_call_id: id, content: fields[index].value })));
    } }, ...labels, element("button", {}, say("send_results")));
  }
}

function callElement({ function: { name, arguments: given } }) {
  return element("div", { className: "call" }, element("p", {}, say("calls"), " ", element("code", {}, name)),
    element("pre", { tabIndex: 0 }, element("code", {}, given)));
}

function notesOf({ finish_reason, is_stopped, is_broken, is_json }) {
  const notes = [];
  if (is_stopped) notes.push("stopped");
  if (is_broken) notes.push("broken_off");
  if (finish_reason === "length") notes.push("cut_off");
  if (is_json !== undefined) notes.push(is_json ? "json_valid" : "json_invalid");
  return notes.map((key) => element("p", { className: `note ${key}` }, say(key)));
}

// The id of a call, which leads to its explanation where there are any: `callsPath` is where, or empty.
export function requestElement(id, callsPath) {
  if (!callsPath) return element("code", { className: "request" }, id);
  const title = say("explain");
  return element("a", { className: "request", href: callsPath + encodeURIComponent(id), title }, id);
}

export function readingWords({ ttft_ms, tokens_per_s, prompt_tokens, completion_tokens, cached_tokens, duration_ms }) {
  const words = [];
  if (ttft_ms != null) words.push(say("ttft", { time: seconds(ttft_ms) }));
  if (tokens_per_s != null) words.push(say("tokens_per_s", { rate: rate(tokens_per_s) }));
  if (prompt_tokens != null) words.push(say("tokens", { input: prompt_tokens, output: completion_tokens }));
  if (cached_tokens) words.push(say("cached", { n: cached_tokens }));
  if (duration_ms != null) words.push(say("total", { time: seconds(duration_ms) }));
  return words;
}
