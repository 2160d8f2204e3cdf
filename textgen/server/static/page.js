// The page: a form, the text as it is written, what else was likely, what was written before.
// Where the text comes from is not its business: a source writes it, see `openPage`.

import { openChoices, closeChoices } from "./choices.js";
import { build, fill as fillControls, offerLabels, values } from "./controls.js";
import { $, element, seedElement } from "./dom.js";
import { forget, keepAs, remember, showHistory } from "./history.js";

let source = null; // writes the texts
let sample = null; // the text on the page: {request, tokens, text, done}
let running = null; // the AbortController of the text that is being written
let current = -1; // the token that the keyboard is at
let unspoken = "";

// Opens the page on a source of texts. A source has
//   events(request, signal): the events of a text as [name, data]: `start`, `piece` ..., and `done` or `error`;
//   explain(error): says what went wrong with it, in words;
//   broken: what to say where the events end early;
//   who: who says the words of an `error`;
//   history: the name that texts are kept by in this browser;
// and where it can do more
//   chosen(): values of the request that controls of its own give;
//   choose(request): sets them;
//   shown(request): takes note of the request of the text on the page;
//   link(request): copies a link that makes a text again.
export function openPage(from) {
  source = { chosen: () => ({}), choose: () => {}, shown: () => {}, ...from };
  keepAs(source.history);
  $("link").hidden = !source.link;
  render();
}

// Offers what can be asked for: a control for each setting, the labels of documents, a beginning.
export function offer({ schemas, labels, seed }) {
  build(schemas);
  offerLabels(labels);
  if (seed !== undefined) $("seed").value = seed;
}

// ---- the form

function request() {
  return { ...source.chosen(), seed: $("seed").value, ...values() };
}

export function fill(wanted) {
  fillControls(wanted);
  $("seed").value = wanted.seed ?? "";
  source.choose(wanted);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    fail(`The browser does not let this page copy. Here it is: ${text}`);
  }
}

// ---- words for people

export function say(words) { $("status").textContent = words; }

export function fail(words) {
  $("error").textContent = words;
  $("error").hidden = false;
  say("");
}

function speak(text, last = false) {
  // Whole lines or sentences, so that a screen reader does not read letter by letter.
  unspoken += text;
  const end = last ? unspoken.length : Math.max(unspoken.lastIndexOf("\n"), unspoken.lastIndexOf(". ")) + 1;
  if (end > 0 && unspoken.trim()) {
    $("spoken").append(element("p", {}, unspoken.slice(0, end)));
    unspoken = unspoken.slice(end);
  }
}

// ---- writing

export async function write(wanted) {
  stop();
  closeChoices();
  const mine = (running = new AbortController());
  sample = { request: wanted, tokens: [], text: "", done: null };
  begin();
  try {
    for await (const [name, data] of source.events(wanted, mine.signal)) {
      if (running === mine) take(name, data);
    }
    if (running === mine && !sample.done) fail(source.broken);
  } catch (error) {
    if (running === mine && error.name !== "AbortError") source.explain(error);
  } finally {
    if (running === mine) finish();
  }
}

function begin() {
  $("error").hidden = true;
  $("text").replaceChildren(seedElement(sample.request.seed));
  $("spoken").replaceChildren();
  unspoken = "";
  current = -1;
  $("text").classList.add("writing");
  $("write").disabled = true;
  $("stop").disabled = false;
  say("Writing …");
}

function take(name, data) {
  if (name === "start") {
    sample.request = { ...sample.request, ...data };
    source.shown(sample.request);
  } else if (name === "piece") {
    const tokens = data.tokens ?? [];
    $("text").append(...tokens.map((token, number) => tokenElement(token, sample.tokens.length + number)));
    sample.tokens.push(...tokens);
    sample.text += data.text;
    speak(data.text);
  } else if (name === "done") {
    sample.done = data;
  } else if (name === "error") {
    sample.done = data;
    fail(`${source.who} says: ${data.error}`);
  }
}

function tokenElement(token, number) {
  const shade = Math.min(9, Math.floor(Math.sqrt(token.probability) * 10));
  const chosen = sample.request.first && number === 0 ? " chosen" : "";
  const line = token.text === "\n" ? " newline" : ""; // which is given a place to point at
  const made = element("span", { className: `token p${shade}${chosen}${line}` }, token.text);
  made.dataset.number = number;
  return made;
}

const REASONS = { length: "", stop: "It came to its end. ", seconds: "The time that a request may take is over. ", shutdown: "The service is closing, so it ends here. " };

function finish() {
  running = null;
  $("text").classList.remove("writing");
  $("write").disabled = false;
  $("stop").disabled = true;
  $("copy").disabled = $("link").disabled = !sample.tokens.length;
  speak("", true);
  const done = sample.done;
  if (done && done.finish_reason) say(`${REASONS[done.finish_reason] ?? ""}${done.tokens === 1 ? "1 token" : `${done.tokens} tokens`} in ${done.seconds.toFixed(2)} s. Seed number ${sample.request.random_seed}. Point at a token to see what else was likely.`);
  if (sample.text) remember({ request: sample.request, text: sample.text }, sample);
  render();
}

function stop() {
  if (!running) return;
  running.abort();
  say("Stopped.");
  if (sample) finish();
}

// ---- tokens: what else was likely, and going on from there

function point(number) {
  const places = $("text").querySelectorAll(".token");
  $("text").querySelector(".current")?.classList.remove("current");
  current = Math.max(0, Math.min(number, places.length - 1));
  places[current]?.classList.add("current");
  return places[current];
}

function choose(place, focus) {
  const number = Number(place.dataset.number);
  point(number);
  openChoices(place, sample.tokens[number], focus, (alternative) => branch(number, alternative));
}

function branch(number, alternative) {
  const before = sample.tokens.slice(0, number).map((token) => token.text).join("");
  const wanted = { ...sample.request, seed: sample.request.seed + before, first: alternative };
  wanted.length = Math.max(1, sample.request.length - number);
  $("text").focus();
  write(wanted);
}

function keys(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 40, ArrowUp: -40 }[event.key];
  if (!sample?.tokens.length) return;
  if (step) {
    point(current + step)?.scrollIntoView({ block: "nearest" });
    const token = sample.tokens[current];
    say(`“${token.text}”: ${(100 * token.probability).toFixed(1)} %`);
    event.preventDefault();
  } else if (event.key === "Enter" && current >= 0) {
    choose($("text").querySelectorAll(".token")[current], true);
    event.preventDefault();
  }
}

// ---- history

function open(entry, whole) {
  stop();
  fill(entry.request);
  sample = whole ?? { request: entry.request, tokens: [], text: entry.text, done: null };
  source.shown(sample.request);
  $("error").hidden = true;
  const known = sample.tokens.length > 0;
  $("text").replaceChildren(seedElement(entry.request.seed), ...(known ? sample.tokens.map(tokenElement) : [entry.text]));
  $("copy").disabled = $("link").disabled = false;
  say(known ? "" : "Write it again to see what else was likely.");
  $("text").focus();
}

function compare(entry) {
  $("compared").hidden = false;
  $("compared-about").textContent = entry.about;
  $("compared-text").textContent = entry.request.seed + entry.text;
  $("compared-text").focus();
}

function render() {
  const link = source.link && ((entry) => source.link(entry.request));
  showHistory({ open, compare, link, changed: render });
}

// ---- what people do

$("form").addEventListener("submit", (event) => { event.preventDefault(); write(request()); });
$("seed").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("form").requestSubmit(); }
});
$("stop").addEventListener("click", stop);
$("copy").addEventListener("click", () => copy(sample.request.seed + sample.text, "Text"));
$("link").addEventListener("click", () => source.link(sample.request));
$("shade").addEventListener("change", () => {
  $("text").classList.toggle("shaded", $("shade").checked);
  $("legend").hidden = !$("shade").checked;
});
$("text").addEventListener("keydown", keys);
$("text").addEventListener("click", (event) => { if (event.target.matches(".token")) choose(event.target, false); });
$("text").addEventListener("pointerover", (event) => {
  if (event.target.matches(".token") && event.pointerType === "mouse") choose(event.target, false);
});
$("uncompare").addEventListener("click", () => { $("compared").hidden = true; $("text").focus(); });
$("forget").addEventListener("click", () => { forget(); render(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeChoices(); });
document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#choices, #text")) closeChoices(); });
