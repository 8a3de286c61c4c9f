// The little Markdown that models write most, as elements. Text becomes text nodes and nothing else: no HTML is read,
// no address becomes a link or an image, so that an answer can neither run nor fetch anything.

import { element } from "./element.js";

// Blocks: { kind: paragraph | heading | quote, text } · { kind: code, language, text } · { kind: list, isOrdered, start, items }.
export function parse(source) {
  const blocks = [];
  let fence = null;
  for (const line of source.split("\n")) {
    const last = blocks.at(-1);
    if (fence !== null) {
      if (line.trim().startsWith(fence) && line.trim().replaceAll(fence[0], "") === "") fence = null;
      else last.text += (last.isEmpty ? "" : "\n") + line;
      last.isEmpty = false;
      continue;
    }
    const fenced = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/.exec(line);
    if (fenced) {
      fence = fenced[1];
      blocks.push({ kind: "code", language: fenced[2], text: "", isEmpty: true });
    } else takeLine(blocks, line);
  }
  return blocks.filter(({ kind }) => kind !== "gap").map(({ isEmpty, ...block }) => block);
}

function takeLine(blocks, line) {
  const last = blocks.at(-1);
  if (line.trim() === "") return void (last?.kind === "gap" || blocks.push({ kind: "gap" }));
  const heading = /^#{1,6}\s+(.*)$/.exec(line);
  if (heading) return void blocks.push({ kind: "heading", text: heading[1] });
  const item = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/.exec(line);
  if (item) return takeItem(blocks, item[1] !== undefined, Number(item[1] ?? 1), item[2]);
  const kind = line.startsWith(">") ? "quote" : "paragraph";
  const text = kind === "quote" ? line.replace(/^>\s?/, "") : line;
  if (last?.kind === kind) last.text += "\n" + text;
  else if (last?.kind === "list" && /^\s/.test(line)) last.items.push(last.items.pop() + "\n" + line.trim());
  else blocks.push({ kind, text });
}

// Items that a blank line parts are still one list.
function takeItem(blocks, isOrdered, start, text) {
  const before = blocks.findLast(({ kind }) => kind !== "gap");
  if (before?.kind === "list" && before.isOrdered === isOrdered) before.items.push(text);
  else blocks.push({ kind: "list", isOrdered, start, items: [text] });
}

const MARKS = [["`", "code"], ["**", "strong"], ["*", "em"]];

// Parts of a text: { kind: text | code | strong | em, text }. A mark without its second half is text. Each search that
// finds nothing is the last for its mark, so that no text takes long.
export function inline(text) {
  const parts = [];
  const hopeless = new Set();
  let from = 0;
  let plain = "";
  while (from < text.length) {
    const mark = MARKS.find(([sign]) => !hopeless.has(sign) && text.startsWith(sign, from));
    const end = mark ? closing(text, from, mark[0], hopeless) : -1;
    if (end < 0) {
      plain += text[from++];
      continue;
    }
    if (plain) parts.push({ kind: "text", text: plain });
    plain = "";
    parts.push({ kind: mark[1], text: text.slice(from + mark[0].length, end) });
    from = end + mark[0].length;
  }
  if (plain) parts.push({ kind: "text", text: plain });
  return parts;
}

function closing(text, from, sign, hopeless) {
  const begin = from + sign.length;
  if (sign !== "`" && /\s/.test(text[begin] ?? " ")) return -1;
  const end = text.indexOf(sign, begin + 1);
  if (end < 0) hopeless.add(sign);
  // "2 * 3 * 4" is no emphasis.
  return end >= 0 && sign !== "`" && /\s/.test(text[end - 1]) ? -1 : end;
}

// Shows `source` in `target`; what was shown before and is the same stays as it is, selection and all.
export function show(target, source) {
  const blocks = parse(source);
  const before = shown.get(target) ?? [];
  const after = blocks.map((block) => JSON.stringify(block));
  let same = 0;
  while (same < before.length && before[same] === after[same]) same += 1;
  while (target.childNodes.length > same) target.lastChild.remove();
  target.append(...blocks.slice(same).map(blockElement));
  shown.set(target, after);
}

const shown = new WeakMap();

function blockElement(block) {
  if (block.kind === "code") return codeElement(block);
  if (block.kind === "list") {
    const items = block.items.map((text) => element("li", {}, ...inlineNodes(text)));
    return block.isOrdered ? element("ol", { start: block.start }, ...items) : element("ul", {}, ...items);
  }
  const nodes = inlineNodes(block.text);
  if (block.kind === "quote") return element("blockquote", {}, ...nodes);
  // The page has headings of its own, which those of an answer must not be taken for.
  return block.kind === "heading" ? element("p", { className: "heading" }, ...nodes) : element("p", {}, ...nodes);
}

function codeElement({ language, text }) {
  const code = element("pre", { tabIndex: 0 }, element("code", {}, text));
  if (language) code.dataset.language = language.slice(0, 20);
  return code;
}

function inlineNodes(text) {
  return inline(text).map(({ kind, text: part }) => (kind === "text" ? part : element(kind, {}, part)));
}
