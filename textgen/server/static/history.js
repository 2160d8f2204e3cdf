// What was written before, kept in this browser.

import { $, element, seedElement } from "./dom.js";

const MOST = 30;
const whole = new Map(); // texts of this visit with all their tokens, by their text
let key = ""; // that they are kept by

export function keepAs(name) { key = name; }

export function forget() {
  keep([]);
  whole.clear();
}

function remembered() {
  try { return (JSON.parse(localStorage.getItem(key)) ?? []).map(renamed); } catch { return []; }
}

// Texts that were kept when seed and length had other names.
function renamed(entry) {
  const { prompt, n, ...request } = entry.request;
  return prompt === undefined ? entry : { ...entry, request: { seed: prompt, length: n, ...request } };
}

function keep(entries) {
  try { localStorage.setItem(key, JSON.stringify(entries.slice(0, MOST))); } catch { /* full, or forbidden: it is only a history */ }
}

export function remember(entry, sample) {
  const about = describe(entry);
  const same = (other) => other.text === entry.text && other.about === about && other.request.seed === entry.request.seed;
  keep([{ ...entry, about }, ...remembered().filter((other) => !same(other))]);
  whole.set(entry.text, sample);
}

const TOLD = { model: (name) => name, temperature: (value) => `diversity ${value}`, sample_mode: (mode) => (mode === "sample" ? "" : mode), first: (text) => `branch “${text.trim() || "space"}”` };
const UNTOLD = ["seed", "length", "random_seed"]; // or at the end

function describe({ request, text }) {
  const known = { model: request.model, temperature: 1, ...request };
  const parts = Object.entries(known).filter(([name]) => !UNTOLD.includes(name))
    .map(([name, value]) => (TOLD[name] ?? ((other) => `${name.replaceAll("_", "-")} ${[other].flat().join(", ")}`))(value));
  return [...parts.filter(Boolean), `seed number ${request.random_seed}`, `${text.length} characters`].join(" · ");
}

export function showHistory({ open, compare, link, changed }) {
  const entries = remembered();
  $("forget").hidden = !entries.length;
  $("no-history").hidden = entries.length > 0;
  $("history").replaceChildren(...entries.map((entry, number) => element("li", { className: "card" },
    element("pre", {}, seedElement(entry.request.seed), entry.text.slice(0, 400)),
    element("p", { className: "about" }, entry.about),
    element("div", { className: "row" },
      button("Open", number, () => open(entry, whole.get(entry.text))),
      button("Compare", number, () => compare(entry)),
      ...(link ? [button("Link", number, () => link(entry))] : []),
      button("Forget", number, () => { keep(entries.filter((other) => other !== entry)); changed(); }),
    ))));
}

function button(words, number, does) {
  const made = element("button", { type: "button" }, words);
  made.setAttribute("aria-label", `${words}: text ${number + 1}`);
  made.addEventListener("click", does);
  return made;
}
