// "Show as code": the call that the page would make now, in three ways to paste it.

import { curlCode, lmaasCode, openaiCode } from "./code.js";
import { at } from "./element.js";
import { say } from "./words.js";

const WRITERS = { lmaas: lmaasCode, openai: openaiCode, curl: curlCode };

export class CodeDialog {
  #path;
  #body;

  // `path` is the API's; `bodyOf()` gives what would be sent, and may throw what is wrong with it.
  constructor(path) {
    this.#path = path;
    at("code-kind").addEventListener("change", () => this.#write());
    at("code-copy").addEventListener("click", () => this.#copy());
    at("code-close").addEventListener("click", () => at("code").close());
  }

  open(body) {
    this.#body = body;
    this.#write();
    at("code").showModal();
  }

  #write() {
    const baseUrl = `${location.origin}/v1`;
    at("code-text").textContent = WRITERS[at("code-kind").value](baseUrl, this.#path, this.#body);
    at("code-copied").textContent = "";
  }

  // Outside of secure origins there is no clipboard to write to: then the text is selected.
  async #copy() {
    try {
      await navigator.clipboard.writeText(at("code-text").textContent);
      at("code-copied").textContent = say("copied");
    } catch {
      getSelection().selectAllChildren(at("code-text"));
      at("code-copied").textContent = say("selected");
    }
  }
}
