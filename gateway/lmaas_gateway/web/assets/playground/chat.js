// The page of conversations: what its controls do.

import { CodeDialog } from "./code_dialog.js";
import { at } from "./element.js";
import { Gateway } from "./gateway.js";
import { Keep } from "./keep.js";
import { FieldError } from "./request.js";
import { Side, wordsOf } from "./side.js";
import { requestElement } from "./turns.js";
import { say } from "./words.js";

const VERSION = 1;
const WIDE = matchMedia("(min-width: 60rem)");

class ChatPage {
  #root = at("playground");
  #form = at("parameters");
  #gateway = new Gateway(this.#root.dataset);
  #keep = new Keep(localStorage, `lmaas.chat.${this.#root.dataset.account}`);
  #code = new CodeDialog("/chat/completions");
  #models = [];
  #sides = [];

  async start() {
    const kept = this.#keep.load(VERSION);
    this.#fill(kept?.form ?? {});
    this.#addSide(kept?.sides?.[0]);
    if (kept?.sides?.[1]) this.#addSide(kept.sides[1]);
    this.#listen();
    this.#showState();
    at("settings").open = WIDE.matches;
    await this.#offerModels();
    // On a phone that would bring the keyboard up over the page.
    if (WIDE.matches) at("message").focus();
  }

  #listen() {
    at("composer").addEventListener("submit", (event) => this.#submit(event));
    at("message").addEventListener("keydown", (event) => this.#sendOnEnter(event));
    at("stop-answer").addEventListener("click", () => this.#sides.forEach((side) => side.stop()));
    at("compare").addEventListener("change", () => this.#compare(at("compare").checked));
    at("clear").addEventListener("click", () => this.#clear());
    at("show-code").addEventListener("click", () => this.#showCode());
    this.#form.addEventListener("input", () => this.#changed());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    WIDE.addEventListener("change", () => (at("settings").open = WIDE.matches));
  }

  async #offerModels() {
    try {
      this.#models = await this.#gateway.models("chat");
    } catch (error) {
      return this.#tell(wordsOf(error));
    }
    if (this.#models.length === 0) this.#tell(say("no_chat_model"));
    const asked = new URLSearchParams(location.search).get("model");
    this.#sides.forEach((side, index) => side.offer(this.#models, (index === 0 && asked) || side.wanted || this.#models[index]?.id));
    this.#showState();
  }

  #addSide(kept = { model: "", turns: [] }) {
    const root = at("talk").content.cloneNode(true).firstElementChild;
    at("talks").append(root);
    const side = new Side(root, {
      gateway: this.#gateway,
      callsPath: this.#root.dataset.calls,
      form: () => this.#read(),
      changed: () => this.#changed(),
      tell: (text, requestId) => this.#tell(text, requestId),
      rate: (turn, thumbs) => this.#rate(turn, thumbs),
      ask: (one, turns) => this.#ask([one], turns),
    });
    side.wanted = kept.model;
    if (kept.model) side.offer(this.#models, kept.model);
    side.show(kept.turns);
    this.#sides.push(side);
    this.#nameSides();
    return side;
  }

  // Two have two pickers and two logs, which need names of their own.
  #nameSides() {
    this.#sides.forEach(({ root }, index) => {
      const name = this.#sides.length > 1 ? say("model_n", { n: "AB"[index] }) : say("model");
      root.querySelector(".talk-name").textContent = name;
      root.querySelector("[role=log]").setAttribute("aria-label", say("conversation_with", { name }));
    });
  }

  // The second model hears what the first has heard, so that both go on from the same place.
  #compare(isWanted) {
    if (isWanted) {
      const [first] = this.#sides;
      const other = this.#models.find(({ id }) => id !== first.model)?.id ?? first.model;
      const side = this.#addSide({ model: other, turns: structuredClone(first.turns) });
      side.offer(this.#models, other);
    } else {
      const side = this.#sides.pop();
      side.stop();
      side.root.remove();
      this.#nameSides();
    }
    this.#changed();
  }

  #submit(event) {
    event.preventDefault();
    const content = at("message").value;
    if (!content.trim() || this.#isBusy) return;
    this.#ask(this.#sides, [{ role: "user", content }]);
  }

  #sendOnEnter(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    at("composer").requestSubmit();
  }

  async #ask(sides, turns) {
    this.#tell("");
    try {
      sides.forEach((side) => side.body(this.#read()));
    } catch (error) {
      return this.#showFault(error);
    }
    at("message").value = "";
    const answered = await Promise.all(sides.map((side) => side.ask(structuredClone(turns))));
    // What nobody answered can be sent again without being typed again.
    if (turns[0].role === "user" && !answered.some(Boolean)) at("message").value ||= turns[0].content;
  }

  async #rate(turn, thumbs) {
    try {
      await this.#gateway.feedback({ request_id: turn.request_id, thumbs });
    } catch (error) {
      this.#tell(wordsOf(error));
      return false;
    }
    turn.rated = thumbs;
    this.#changed();
    this.#status(say("rated"));
    return true;
  }

  #clear() {
    this.#sides.forEach((side) => side.stop());
    this.#sides.forEach((side) => side.show([]));
    this.#changed();
    this.#tell("");
    this.#status(say("cleared"));
    at("message").focus();
  }

  #showCode() {
    try {
      const draft = at("message").value;
      const [side] = this.#sides;
      const body = side.body(this.#read());
      if (draft.trim()) body.messages.push({ role: "user", content: draft });
      this.#code.open(body);
    } catch (error) {
      this.#showFault(error);
    }
  }

  #showFault(error) {
    if (!(error instanceof FieldError)) throw error;
    const field = this.#form.elements[error.field];
    const label = field.labels[0]?.textContent ?? error.field;
    this.#tell(`${label}: ${say(error.reason)}${error.detail ? ` (${error.detail})` : ""}`);
    at("settings").open = true;
    const group = field.closest("details");
    if (group) group.open = true;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  #read() {
    return Object.fromEntries(new FormData(this.#form));
  }

  #fill(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.#form.elements[name];
      if (field) field.value = value;
    }
  }

  get #isBusy() {
    return this.#sides.some((side) => side.isAnswering);
  }

  #changed() {
    for (const field of this.#form.elements) field.removeAttribute("aria-invalid");
    this.#showState();
    const sides = this.#sides.map(({ model, wanted, turns }) => ({ model: model || wanted, turns }));
    const isKept = this.#keep.save({ version: VERSION, form: this.#read(), sides });
    if (!isKept) this.#status(say("not_kept"));
  }

  #showState() {
    const isBusy = this.#isBusy;
    at("send").disabled = isBusy;
    at("stop-answer").disabled = !isBusy;
    at("compare").checked = this.#sides.length > 1;
    at("compare").disabled = isBusy;
    at("talks").classList.toggle("two", this.#sides.length > 1);
    at("schema-field").hidden = this.#form.elements.format.value !== "json_schema";
    this.#status(isBusy ? say("answering") : "");
  }

  #status(text) {
    at("status").textContent = text;
  }

  #tell(text, requestId = "") {
    const { calls } = this.#root.dataset;
    at("error").replaceChildren(text, ...(requestId ? [" ", requestElement(requestId, calls)] : []));
  }
}

new ChatPage().start();
