// One answer of a chat model, put together from the chunks of its stream, and how long they took.

export class Refusal extends Error {
  // What the gateway, or an engine behind it, said instead of an answer.
  constructor({ message, code = null, status = 0, requestId = "" }) {
    super(message);
    this.code = code;
    this.status = status;
    this.requestId = requestId;
  }
}

export class Answer {
  content = "";
  reasoning = "";
  toolCalls = [];
  finishReason = null;
  usage = null;
  #began;
  #first = null;
  #last = null;
  #now;

  constructor(now = () => performance.now()) {
    this.#now = now;
    this.#began = now();
  }

  // Takes one chunk of `chat.completion.chunk`; throws a Refusal where it is an error event.
  take(chunk) {
    if (chunk.error) throw new Refusal(chunk.error);
    if (chunk.usage) this.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const { content, reasoning, reasoning_content, tool_calls } = choice.delta ?? {};
    this.#add(content ?? "", reasoning ?? reasoning_content ?? "", tool_calls ?? []);
    this.finishReason = choice.finish_reason ?? this.finishReason;
  }

  #add(content, reasoning, pieces) {
    if (!content && !reasoning && pieces.length === 0) return;
    this.#last = this.#now();
    this.#first ??= this.#last;
    this.content += content;
    this.reasoning += reasoning;
    for (const piece of pieces) this.#addCall(piece);
  }

  // The first piece of a call has its id and name, each piece some of its arguments.
  #addCall({ index = this.toolCalls.length, id, function: named = {} }) {
    const call = (this.toolCalls[index] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
    if (id) call.id = id;
    if (named.name) call.function.name = named.name;
    call.function.arguments += named.arguments ?? "";
  }

  // The message as the API takes it back.
  get message() {
    const message = { role: "assistant", content: this.content };
    const calls = this.toolCalls.filter(Boolean);
    return calls.length > 0 ? { ...message, tool_calls: calls } : message;
  }

  // What is measured here, in the browser: it holds the way there and back too. Times in milliseconds; null where
  // there is nothing to tell, as the rate of a single token.
  get reading() {
    const { prompt_tokens = null, completion_tokens = null, prompt_tokens_details } = this.usage ?? {};
    const streamed_ms = this.#first === null ? 0 : this.#last - this.#first;
    return {
      ttft_ms: this.#first === null ? null : this.#first - this.#began,
      duration_ms: this.#now() - this.#began,
      tokens_per_s: completion_tokens > 1 && streamed_ms > 0 ? ((completion_tokens - 1) * 1000) / streamed_ms : null,
      prompt_tokens,
      completion_tokens,
      cached_tokens: prompt_tokens_details?.cached_tokens ?? null,
    };
  }
}
