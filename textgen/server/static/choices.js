// What was likely in a token's place, in a box beside it.

import { $, element } from "./dom.js";

const box = $("choices");
const SIGNS = { " ": "␣ space", "\n": "⏎ new line", "\t": "⇥ tab", "<|endoftext|>": "⏹ end of the text" };

let opened = null;

export function closeChoices() {
  if (box.hidden) return;
  const inside = box.contains(document.activeElement);
  box.hidden = true;
  opened = null;
  if (inside) $("text").focus();
}

export function openChoices(place, token, focus, chosen) {
  if (opened !== place) {
    opened = place;
    const title = `Likely here (this one: ${percent(token.probability)}). Choose one to go on from it.`;
    const choices = token.alternatives.map(([text, probability]) => choice(text, probability, chosen));
    box.replaceChildren(element("p", {}, title), ...choices);
    box.hidden = false;
    putBeside(place);
  }
  if (focus) box.querySelector("button")?.focus();
}

function choice(text, probability, chosen) {
  const sign = element("span", { className: "sign" }, SIGNS[text] ?? text);
  const button = element("button", { type: "button" }, sign, element("span", {}, percent(probability)));
  button.style.setProperty("--share", probability);
  button.addEventListener("click", () => { closeChoices(); chosen(text); });
  return button;
}

function putBeside(place) {
  const [at] = place.getClientRects();
  if (!at) return;
  const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 8);
  const below = at.bottom + 4 + box.offsetHeight < window.innerHeight || at.top < box.offsetHeight;
  box.style.left = `${Math.max(8, left) + window.scrollX}px`;
  box.style.top = `${(below ? at.bottom + 4 : at.top - 4 - box.offsetHeight) + window.scrollY}px`;
}

function percent(probability) {
  return probability < 0.001 ? "below 0.1 %" : `${(100 * probability).toFixed(1)} %`;
}
