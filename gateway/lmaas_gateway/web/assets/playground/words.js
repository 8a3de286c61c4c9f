// What the page says, in the language that it was asked for in: the server puts the words beside the page.

let words = null;

// `values` take the places that the words leave for them, as {n}.
export function say(key, values = {}) {
  words ??= JSON.parse(document.getElementById("playground-words")?.textContent ?? "{}");
  return (words[key] ?? key).replaceAll(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function seconds(milliseconds) {
  const decimals = milliseconds < 1000 ? 3 : milliseconds < 100_000 ? 1 : 0;
  return `${(milliseconds / 1000).toFixed(decimals)} s`;
}

// "12" of "12 tokens/s": three digits are all that a measurement of one answer bears.
export function rate(perSecond) {
  return perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toPrecision(3);
}
