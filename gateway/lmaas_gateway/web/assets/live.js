// Keeps the first page up to date: tables as the server makes them, charts of the last minutes.
import { fill, seconds } from "./format.js";
import { morph } from "./morph.js";

const CHARTED_S = 300;
// What is known of less time than this is not drawn as wide as the chart.
const LEAST_S = 60;
const COLUMNS = [
  "at", "calls", "errors", "completion_tokens", "ttft_p50_s", "ttft_p95_s",
  "inter_token_p50_s", "in_flight", "waiting",
];

// Counts of single seconds jump; their mean over a few does not.
const SMOOTHED = { calls: true, completion_tokens: true };
const SMOOTHED_S = 5;

const live = document.getElementById("live");
const status = document.getElementById("connection");
const hint = status.textContent;
const words = JSON.parse(live.dataset.words);
const charts = [];
let history = Object.fromEntries(COLUMNS.map((name) => [name, []]));
let source = null;

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axis(scale, side, least, write) {
  const grid = { stroke: color("--line"), width: 1 };
  return { scale, side, least, stroke: color("--muted"), grid: side === 1 ? { show: false } : grid, ticks: grid, size: 64, values: (_, all) => all.map(write) };
}

function clock(at) {
  return new Date(at * 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false });
}

function series(label, paint, scale, write, more) {
  return { label, scale, stroke: color(paint), width: 1.5, points: { show: false }, value: (_, value) => (value == null ? "–" : write(value)), ...more };
}

// `axes` say what their scales reach to when there is nothing: an empty chart has a floor and a ceiling too.
function draw(id, columns, lines, axes) {
  const place = document.getElementById(id);
  const data = () => columns.map((name) => (name in SMOOTHED ? smooth(history[name]) : history[name].map((value) => value || null)));
  const size = () => ({ width: place.clientWidth, height: 220 });
  const time = { stroke: color("--muted"), grid: { show: false }, ticks: { stroke: color("--line"), width: 1 }, space: 90, incrs: [1, 5, 10, 15, 30, 60, 120, 300], values: (_, all) => all.map(clock) };
  const span = (_, low, high) => high == null ? [null, null] : [high - Math.min(CHARTED_S, Math.max(LEAST_S, high - low)), high];
  const upTo = (least) => ({ range: (_, low, high) => [0, Math.max(high ?? 0, least) * 1.1] });
  const scales = { x: { time: true, range: span }, ...Object.fromEntries(axes.map((one) => [one.scale, upTo(one.least)])) };
  const options = { ...size(), scales, series: [{ label: "" }, ...lines], axes: [time, ...axes], cursor: { y: false }, hooks: { setLegend: [tellLast] } };
  const plot = new uPlot(options, data(), place);
  const observer = new ResizeObserver(() => plot.setSize(size()));
  observer.observe(place);
  charts.push({ update: () => plot.setData(data()), end: () => { observer.disconnect(); plot.destroy(); } });
}

// While nobody points at a moment, the legend tells the last one of which there is something.
function tellLast(plot) {
  if (plot.cursor.idx == null) plot.setLegend({ idx: lastKnown(plot.data) }, false);
}

function lastKnown([times, ...lines]) {
  const at = times.findLastIndex((_, index) => lines.some((line) => line[index] != null));
  return at < 0 ? null : at;
}

function drawAll() {
  while (charts.length) charts.pop().end();
  document.getElementById("charts").hidden = false;
  const whole = (value) => String(Math.round(value * 100) / 100);
  draw("chart-throughput", ["at", "calls", "completion_tokens"], [
    series(words.calls, "--series-1", "calls", whole),
    series(words.tokens, "--series-2", "tokens", whole, { dash: [5, 3] }),
  ], [axis("calls", 3, 1, whole), axis("tokens", 1, 10, whole)]);
  const lines = [
    series(words.ttft_p50, "--series-1", "s", seconds),
    series(words.ttft_p95, "--series-2", "s", seconds, { dash: [5, 3] }),
    series(words.inter_token, "--series-3", "s", seconds, { dash: [2, 2] }),
  ].map((line) => ({ ...line, spanGaps: true, points: { show: true, size: 4, fill: line.stroke } }));
  draw("chart-latency", ["at", "ttft_p50_s", "ttft_p95_s", "inter_token_p50_s"], lines, [axis("s", 3, 0.1, (value) => (value ? seconds(value) : "0"))]);
}

function smooth(values) {
  return values.map((_, at) => {
    const some = values.slice(Math.max(0, at - SMOOTHED_S + 1), at + 1);
    return some.reduce((sum, value) => sum + value, 0) / some.length;
  });
}

function tell(last) {
  const text = (id, words) => { document.getElementById(id).textContent = words; };
  text("chart-throughput-text", fill(words.throughput_text, { calls: last.calls, tokens: last.completion_tokens }));
  text("chart-latency-text", fill(words.latency_text, { p50: seconds(last.ttft_p50_s), p95: seconds(last.ttft_p95_s) }));
  tellIfEmpty();
}

function tellIfEmpty() {
  document.getElementById("chart-latency-none").hidden = history.ttft_p50_s.some(Boolean);
}

function take(event) {
  const { last, html } = JSON.parse(event.data);
  morph(live, html);
  if (last.at <= (history.at.at(-1) ?? 0)) return;
  for (const name of COLUMNS) {
    history[name].push(last[name]);
    if (history[name].length > CHARTED_S) history[name].shift();
  }
  charts.forEach((chart) => chart.update());
  tell(last);
}

async function open() {
  const answer = await fetch("/ui/live/history");
  if (answer.redirected || !answer.ok) { location.reload(); return; }
  history = await answer.json();
  drawAll();
  tellIfEmpty();
  source = new EventSource("/ui/live");
  source.onmessage = take;
  source.onopen = () => { status.textContent = hint; };
  source.onerror = () => {
    status.textContent = status.dataset.lost;
    // The server has ended it for good: the session is over, or the page is of another version.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
  };
}

function close() {
  source?.close();
  source = null;
}

// Nobody looks at a page that is hidden, so nobody need make it.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : source ?? open()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
if (!document.hidden) open();
