// The gateway's API as the page calls it: by its session, which a token of this page's own stands beside.

import { Refusal } from "./answer.js";
import { eventsOf } from "./events.js";

export class Gateway {
  #base;
  #token;

  // `base` is the path of the API; `token` the page's, against forged requests.
  constructor({ base, token }) {
    this.#base = base;
    this.#token = token;
  }

  // Models of one kind, those that can answer now first.
  async models(kind) {
    const { data } = await (await this.#call("/models")).json();
    const found = data.filter((model) => model.kind === kind);
    return found.sort((one, other) => (other.state === "ready") - (one.state === "ready"));
  }

  async embeddings(body, signal) {
    const response = await this.#call("/embeddings", { body, signal });
    return { requestId: idOf(response), ...(await response.json()) };
  }

  async feedback(body) {
    await this.#call("/feedback", { body });
  }

  // Begins an answer; its chunks end with the terminal event, and throw if that does not come.
  async chat(body, signal) {
    const whole = { ...body, stream: true, stream_options: { include_usage: true } };
    const response = await this.#call("/chat/completions", { body: whole, signal });
    return { requestId: idOf(response), chunks: chunksOf(response) };
  }

  async #call(path, { body, signal } = {}) {
    const headers = body ? { "content-type": "application/json", "x-csrf-token": this.#token } : {};
    const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal };
    const response = await fetch(this.#base + path, options);
    if (response.ok) return response;
    throw await refusalOf(response);
  }
}

async function* chunksOf(response) {
  for await (const data of eventsOf(response.body)) {
    if (data === "[DONE]") return;
    yield JSON.parse(data);
  }
  throw new Refusal({ message: "", code: "broken_off", requestId: idOf(response) });
}

async function refusalOf(response) {
  const { error } = await response.json().catch(() => ({}));
  const { message = `HTTP ${response.status}`, code = null } = error ?? {};
  return new Refusal({ message, code, status: response.status, requestId: idOf(response) });
}

const idOf = (response) => response.headers.get("x-request-id") ?? "";
