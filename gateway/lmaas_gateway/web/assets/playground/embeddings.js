// The page of embeddings: how alike pasted lines are.

import { CodeDialog } from "./code_dialog.js";
import { at, element } from "./element.js";
import { Gateway } from "./gateway.js";
import { figureOf, similarities, stepOf } from "./matrix.js";
import { embeddingBody, linesOf } from "./request.js";
import { wordsOf } from "./side.js";
import { requestElement } from "./turns.js";
import { say, seconds } from "./words.js";

const MOST_LINES = 60;

const { dataset } = at("playground");
const gateway = new Gateway(dataset);
const code = new CodeDialog("/embeddings");
let isBusy = false;

at("lines").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!isBusy) compare();
});
at("show-code").addEventListener("click", () => code.open(embeddingBody(at("model").value, at("text").value)));
offerModels();

async function offerModels() {
  try {
    const models = await gateway.models("embedding");
    if (models.length === 0) tell(say("no_embedding_model"));
    at("model").replaceChildren(...models.map(({ id }) => new Option(id)));
  } catch (error) {
    tell(wordsOf(error));
  }
}

async function compare() {
  const lines = linesOf(at("text").value);
  if (lines.length < 2) return tell(say("two_lines"));
  if (lines.length > MOST_LINES) return tell(say("too_many_lines", { n: MOST_LINES }));
  tell("");
  isBusy = true;
  const began = performance.now();
  try {
    const reply = await gateway.embeddings(embeddingBody(at("model").value, at("text").value));
    show(lines, reply, performance.now() - began);
  } catch (error) {
    tell(wordsOf(error));
  } finally {
    isBusy = false;
  }
}

function show(lines, reply, duration_ms) {
  const vectors = reply.data.map(({ embedding }) => embedding);
  at("matrix").replaceChildren(table(lines, similarities(vectors)));
  at("reading").replaceChildren(
    element("span", {}, say("dimensions", { n: vectors[0].length })),
    element("span", {}, say("prompt_tokens", { n: reply.usage?.prompt_tokens ?? 0 })),
    element("span", {}, say("total", { time: seconds(duration_ms) })),
    ...(reply.requestId ? [requestElement(reply.requestId, dataset.calls)] : []),
  );
  at("result").hidden = false;
  at("status").textContent = say("compared", { n: lines.length });
}

function table(lines, matrix) {
  const numbers = lines.map((line, index) => element("th", { scope: "col", title: line }, String(index + 1)));
  const head = element("tr", {}, element("td", {}), ...numbers);
  const rows = matrix.map((row, index) =>
    element("tr", {}, element("th", { scope: "row", title: lines[index] }, `${index + 1}  ${lines[index]}`),
      ...row.map((value) => element("td", { className: `s${stepOf(value)}` }, figureOf(value)))));
  return element("table", { className: "similarity" },
    element("caption", {}, say("similarity")), element("thead", {}, head), element("tbody", {}, ...rows));
}

function tell(text) {
  at("error").textContent = text;
  at("status").textContent = "";
}
