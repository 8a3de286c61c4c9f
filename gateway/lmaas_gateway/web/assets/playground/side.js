// One model's side of the page: what it is asked, what it answers.

import { Answer, Refusal } from "./answer.js";
import { chatBody, sendable } from "./request.js";
import { AnswerArticle, questionArticle } from "./turns.js";
import { say } from "./words.js";

const AT_END_PX = 60;

export class Side {
  turns = [];
  #log;
  #picker;
  #page;
  #stopper = null;

  // `root` holds a picker of models and a log; `page` is { gateway, callsPath, form(), changed(), tell(error, id), rate() }.
  constructor(root, page) {
    this.root = root;
    this.#log = root.querySelector("[role=log]");
    this.#picker = root.querySelector("select");
    this.#page = page;
    this.#picker.addEventListener("change", () => page.changed());
  }

  get model() {
    return this.#picker.value;
  }

  get isAnswering() {
    return this.#stopper !== null;
  }

  offer(models, wanted) {
    const names = models.map(({ id }) => id);
    // One that was taken, and is not served now, is not silently another one.
    if (wanted && !names.includes(wanted)) names.unshift(wanted);
    this.#picker.replaceChildren(...names.map((name) => new Option(name, name, false, name === wanted)));
  }

  // Shows a conversation in the place of what is shown.
  show(turns) {
    this.turns = turns;
    this.#log.replaceChildren(...turns.map((turn, index) => this.#articleOf(turn, index === turns.length - 1)));
    this.#scroll();
  }

  body(form) {
    return chatBody(this.model, form, sendable(this.turns));
  }

  // Adds what people, or their tools, say, and lets the model answer; tells whether anything came.
  async ask(turns) {
    const form = this.#page.form();
    const before = this.turns;
    const asked = [...before, ...turns];
    const body = chatBody(this.model, form, sendable(asked));
    this.show(asked);
    const article = this.#newAnswer();
    this.#log.append(article.root);
    this.#scroll();
    this.#begin();
    const turn = await this.#answer(body, article);
    const isWhole = !turn.is_broken && !turn.is_stopped;
    const isAnswered = isWhole || Boolean(turn.content || turn.reasoning || turn.tool_calls);
    // What was cleared meanwhile does not come back.
    if (this.turns === asked) {
      if (isAnswered) this.#add(turn, article, form);
      else this.show(before); // as if it had not been asked
    }
    this.#end();
    return isAnswered;
  }

  #add(turn, article, { format = "text" }) {
    if (format !== "text" && !turn.is_broken && !turn.tool_calls) turn.is_json = isJson(turn.content);
    this.turns.push(turn);
    article.finish(turn, true);
  }

  stop() {
    this.#stopper?.abort();
  }

  #begin() {
    this.#stopper = new AbortController();
    this.#log.setAttribute("aria-busy", "true");
    this.#page.changed();
  }

  #end() {
    this.#stopper = null;
    this.#log.removeAttribute("aria-busy");
    this.#scroll();
    this.#page.changed();
  }

  async #answer(body, article) {
    const answer = new Answer();
    const { signal } = this.#stopper;
    const turn = { model: this.model };
    const paint = coalesced(() => this.#grow(article, answer));
    try {
      const { requestId, chunks } = await this.#page.gateway.chat(body, signal);
      turn.request_id = requestId;
      for await (const chunk of chunks) {
        answer.take(chunk);
        paint();
      }
    } catch (error) {
      this.#note(turn, error, signal.aborted);
    }
    const { message, reasoning, finishReason, reading } = answer;
    return { ...turn, ...message, reasoning, finish_reason: finishReason, reading };
  }

  #note(turn, error, isStopped) {
    if (isStopped) turn.is_stopped = true;
    else turn.is_broken = true;
    if (error instanceof Refusal && error.requestId) turn.request_id ??= error.requestId;
    if (!isStopped) this.#page.tell(wordsOf(error), turn.request_id);
  }

  #grow(article, answer) {
    const isAtEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < AT_END_PX;
    article.update(answer.content, answer.reasoning);
    if (isAtEnd) this.#scroll();
  }

  #articleOf(turn, isLast) {
    if (turn.role !== "assistant") return questionArticle(turn);
    const article = this.#newAnswer(turn.model);
    article.finish(turn, isLast);
    return article.root;
  }

  #newAnswer(model = this.model) {
    const sendResults = (results) => this.#page.ask(this, results);
    return new AnswerArticle(model, { rate: this.#page.rate, sendResults }, this.#page.callsPath);
  }

  #scroll() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}

export function wordsOf(error) {
  if (error instanceof Refusal) return error.code === "broken_off" ? say("broken_off") : error.message;
  // A browser tells no more of a connection that failed.
  return error instanceof TypeError ? say("no_connection") : String(error.message ?? error);
}

// Of many calls within one frame the last is made. In a tab that is not seen there are no frames, and none is needed.
function coalesced(paint) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      paint();
    });
  };
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
