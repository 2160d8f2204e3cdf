// What was written before, kept in this browser.

import { $, element, seedElement } from "./dom.js";

const KEY = "textgen-history";
const MOST = 30;
const whole = new Map(); // texts of this visit with all their tokens, by their text

export function forget() {
  localStorage.removeItem(KEY);
  whole.clear();
}

function remembered() {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? []; } catch { return []; }
}

function keep(entries) {
  try { localStorage.setItem(KEY, JSON.stringify(entries.slice(0, MOST))); } catch { /* full: it is only a history */ }
}

export function remember(entry, sample) {
  const about = describe(entry);
  const same = (other) => other.text === entry.text && other.about === about && other.request.prompt === entry.request.prompt;
  keep([{ ...entry, about }, ...remembered().filter((other) => !same(other))]);
  whole.set(entry.text, sample);
}

function describe({ request, text }) {
  const parts = [request.model, `diversity ${request.temperature ?? 1}`];
  if (request.top_k) parts.push(`top-k ${request.top_k}`);
  if (request.top_p) parts.push(`top-p ${request.top_p}`);
  if (request.sample_mode && request.sample_mode !== "sample") parts.push(request.sample_mode);
  if (request.first) parts.push(`branch “${request.first.trim() || "space"}”`);
  parts.push(`seed number ${request.random_seed}`, `${text.length} characters`);
  return parts.join(" · ");
}

export function showHistory({ open, compare, link, changed }) {
  const entries = remembered();
  $("forget").hidden = !entries.length;
  $("no-history").hidden = entries.length > 0;
  $("history").replaceChildren(...entries.map((entry, number) => element("li", { className: "card" },
    element("pre", {}, seedElement(entry.request.prompt), entry.text.slice(0, 400)),
    element("p", { className: "about" }, entry.about),
    element("div", { className: "row" },
      button("Open", number, () => open(entry, whole.get(entry.text))),
      button("Compare", number, () => compare(entry)),
      button("Link", number, () => link(entry)),
      button("Forget", number, () => { keep(entries.filter((other) => other !== entry)); changed(); }),
    ))));
}

function button(words, number, does) {
  const made = element("button", { type: "button" }, words);
  made.setAttribute("aria-label", `${words}: text ${number + 1}`);
  made.addEventListener("click", does);
  return made;
}
