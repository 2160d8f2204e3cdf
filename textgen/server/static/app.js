// The page: a form, the text as it is written, what else was likely, what was written before.

import { events, getJson, setKey } from "./api.js";
import { openChoices, closeChoices } from "./choices.js";
import { build, fill as fillControls, offerLabels, parsed, settingsKnown, values } from "./controls.js";
import { $, element, seedElement } from "./dom.js";
import { forget, remember, showHistory } from "./history.js";
import { watch } from "./training.js";

const CLASSIC = { seed: "prime", length: "n" }; // other names in addresses
const MODES = ["argmax", "sample", "spaces"]; // by their number in addresses
const ALTERNATIVES = 6;
const LONGEST_LINK = 8000; // the service takes 16 KB of a request's head, and browsers send more

let sample = null; // the text on the page: {request, tokens, text, done}
let running = null; // the AbortController of the text that is being written
let current = -1; // the token that the keyboard is at
let unspoken = "";

// ---- the form

function request() {
  const model = $("model").value;
  return { ...(model ? { model } : {}), seed: $("seed").value, ...values() };
}

function fill(wanted) {
  fillControls(wanted);
  $("seed").value = wanted.seed ?? "";
  if (wanted.model && [...$("model").options].some((o) => o.value === wanted.model)) $("model").value = wanted.model;
}

// ---- links

// The address is the classic form of a request, which has names of its own for some of it.

function linkOf(wanted) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (name === "sample_mode") parameters.set(name, MODES.indexOf(value));
    else for (const one of [value].flat()) parameters.append(CLASSIC[name] ?? name, one);
  }
  return `${location.origin}/?${parameters}`;
}

function showLink() {
  const link = linkOf(sample.request);
  history.replaceState(null, "", link.length > LONGEST_LINK ? "/" : link);
}

function copyLink(wanted) {
  const link = linkOf(wanted);
  if (link.length > LONGEST_LINK) fail("This beginning is too long for a link.");
  else copy(link, "Link");
}

function fromLink() {
  const parameters = new URLSearchParams(location.search);
  if (![...parameters.keys()].length) return null;
  const wanted = { seed: parameters.get("prime") ?? "", length: 200, temperature: 1 };
  for (const name of ["first", "model"]) if (parameters.get(name)) wanted[name] = parameters.get(name);
  for (const setting of settingsKnown()) {
    const texts = parameters.getAll(CLASSIC[setting.name] ?? setting.name).filter((text) => text !== "");
    if (!texts.length) continue;
    wanted[setting.name] = setting.name === "sample_mode" ? MODES[Number(texts[0])] ?? "sample" : parsed(setting, texts);
  }
  return wanted;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    fail(`The browser does not let this page copy. Here it is: ${text}`);
  }
}

// ---- words for people

function say(words) { $("status").textContent = words; }

function fail(words) {
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

async function write(wanted) {
  stop();
  closeChoices();
  const mine = (running = new AbortController());
  sample = { request: wanted, tokens: [], text: "", done: null };
  begin();
  try {
    const body = { ...wanted, stream: true, alternatives: ALTERNATIVES };
    for await (const [name, data] of events("/api/generate", { body, signal: mine.signal })) {
      if (running === mine) take(name, data);
    }
    if (running === mine && !sample.done) fail("The text broke off: the service ended, or the connection to it.");
  } catch (error) {
    if (running === mine) refuse(error);
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
    sample.request = { ...sample.request, model: data.model, random_seed: data.random_seed };
    showLink();
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
    fail(`The service says: ${data.error}`);
  }
}

function tokenElement(token, number) {
  const shade = Math.min(9, Math.floor(Math.sqrt(token.probability) * 10));
  const chosen = sample.request.first && number === 0 ? " chosen" : "";
  const made = element("span", { className: `token p${shade}${chosen}` }, token.text);
  made.dataset.number = number;
  return made;
}

const REASONS = { length: "", stop: "It came to its stop text. ", seconds: "The time that a request may take is over. ", shutdown: "The service is closing, so it ends here. " };

function finish() {
  running = null;
  $("text").classList.remove("writing");
  $("write").disabled = false;
  $("stop").disabled = true;
  $("copy").disabled = $("link").disabled = !sample.tokens.length;
  speak("", true);
  const done = sample.done;
  if (done && done.finish_reason) say(`${REASONS[done.finish_reason] ?? ""}${done.tokens} tokens in ${done.seconds.toFixed(2)} s. Seed number ${sample.request.random_seed}. Point at a token to see what else was likely.`);
  if (sample.text) remember({ request: sample.request, text: sample.text }, sample);
  render();
}

function refuse(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) askForKey();
  else if (error.status) fail(`The service says: ${error.message}${error.retry ? ` (in ${error.retry} seconds)` : ""}`);
  else fail("The service cannot be reached. Is it still running? What was written stays here.");
}

function askForKey() {
  $("key-field").hidden = false;
  $("key").focus();
  fail("This service asks for a key. Type it, and write again.");
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
  showLink();
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
  showHistory({ open, compare, link: (entry) => copyLink(entry.request), changed: render });
}

// ---- start

let models = []; // that are served

const chosenModel = () => models.find(({ name }) => name === $("model").value);

async function start() {
  let documentation, schemas;
  try {
    [{ models, documentation }, schemas] = await Promise.all([getJson("/api/models"), getJson("/api/settings")]);
  } catch (error) {
    refuse(error);
    return;
  }
  $("model").replaceChildren(...models.map(({ name, unit }) => new Option(unit ? `${name} (${unit}s)` : name, name)));
  $("documentation").hidden = !documentation;
  build(schemas);
  const wanted = fromLink();
  $("error").hidden = true;
  if (wanted) fill(wanted);
  const chosen = chosenModel();
  offerLabels(chosen?.labels);
  if (!wanted && chosen?.line_starts?.length) $("seed").value = chosen.line_starts[0];
  if (chosen && !chosen.ready) say("This model is still being trained; it can write after its first epoch.");
  if (chosen?.watched) watch($("model").value);
  if (wanted && wanted.random_seed !== undefined) write(wanted);
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); write(request()); });
$("seed").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("form").requestSubmit(); }
});
$("model").addEventListener("change", () => {
  offerLabels(chosenModel()?.labels);
  if (!$("training").hidden) watch($("model").value);
});
$("stop").addEventListener("click", stop);
$("copy").addEventListener("click", () => copy(sample.request.seed + sample.text, "Text"));
$("link").addEventListener("click", () => copyLink(sample.request));
$("shade").addEventListener("change", () => {
  $("text").classList.toggle("shaded", $("shade").checked);
  $("legend").hidden = !$("shade").checked;
});
$("key").addEventListener("change", () => { setKey($("key").value); start(); });
$("text").addEventListener("keydown", keys);
$("text").addEventListener("click", (event) => { if (event.target.matches(".token")) choose(event.target, false); });
$("text").addEventListener("pointerover", (event) => {
  if (event.target.matches(".token") && event.pointerType === "mouse") choose(event.target, false);
});
$("uncompare").addEventListener("click", () => { $("compared").hidden = true; $("text").focus(); });
$("forget").addEventListener("click", () => { forget(); render(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeChoices(); });
document.addEventListener("pointerdown", (event) => { if (!event.target.closest("#choices, #text")) closeChoices(); });
render();
start();
