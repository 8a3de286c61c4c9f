// Server-sent events, as the HTML standard frames them: lines end in CR, LF or both, and an event is what stands
// between two empty ones.

export class EventParser {
  #rest = "";
  #data = [];

  // Takes the next piece of the text, wherever it was cut; gives the data of each event that is whole by now.
  push(text) {
    // A CR at the very end may be the first half of CR LF.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#take(line));
  }

  #take(line) {
    if (line.startsWith("data:")) this.#data.push(line.slice(line[5] === " " ? 6 : 5));
    if (line !== "" || this.#data.length === 0) return [];
    const data = this.#data.join("\n");
    this.#data = [];
    return [data];
  }
}

// Gives the data of each event of a body as it comes. What the connection breaks off in the middle is left out:
// whoever reads knows by the terminal event whether all came.
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {}); // it may be broken already, and nobody reads on
  }
}
