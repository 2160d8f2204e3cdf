// What was written before, kept in this browser.

const KEY = "textgen-history";
const MOST = 30;
const list = document.getElementById("history");
const whole = new Map(); // texts of this visit with all their tokens, by their text

export function remembered(forget = false) {
  if (forget) { localStorage.removeItem(KEY); whole.clear(); }
  try { return JSON.parse(localStorage.getItem(KEY)) ?? []; } catch { return []; }
}

function keep(entries) {
  try { localStorage.setItem(KEY, JSON.stringify(entries.slice(0, MOST))); } catch { /* full: it is only a history */ }
}

export function remember(entry, sample) {
  const same = JSON.stringify(entry);
  const others = remembered().filter((other) => JSON.stringify({ request: other.request, text: other.text }) !== same);
  keep([{ ...entry, about: describe(entry) }, ...others]);
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
  document.getElementById("forget").hidden = !entries.length;
  document.getElementById("no-history").hidden = entries.length > 0;
  list.replaceChildren(...entries.map((entry, number) => {
    const card = document.createElement("li");
    card.className = "card";
    const text = document.createElement("pre");
    const seed = document.createElement("span");
    seed.className = "seed";
    seed.textContent = entry.request.prompt;
    text.append(seed, entry.text.slice(0, 400));
    const about = document.createElement("p");
    about.className = "about";
    about.textContent = entry.about;
    const row = document.createElement("div");
    row.className = "row";
    row.append(
      button("Open", number, () => open(entry, whole.get(entry.text))),
      button("Compare", number, () => compare(entry)),
      button("Link", number, () => link(entry)),
      button("Forget", number, () => { keep(entries.filter((other) => other !== entry)); changed(); }),
    );
    card.append(text, about, row);
    return card;
  }));
}

function button(words, number, does) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.setAttribute("aria-label", `${words}: text ${number + 1}`);
  made.addEventListener("click", does);
  return made;
}
