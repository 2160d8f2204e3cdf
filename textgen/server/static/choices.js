// What was likely in a token's place, in a box beside it.

const box = document.getElementById("choices");
const SIGNS = { " ": "␣ space", "\n": "⏎ new line", "\t": "⇥ tab" };

let opened = null;

export function closeChoices() {
  if (box.hidden) return;
  const inside = box.contains(document.activeElement);
  box.hidden = true;
  opened = null;
  if (inside) document.getElementById("text").focus();
}

export function openChoices(element, token, focus, chosen) {
  if (opened !== element) {
    opened = element;
    const title = document.createElement("p");
    title.textContent = `Likely here (this one: ${percent(token.probability)}). Choose one to go on from it.`;
    box.replaceChildren(title, ...token.alternatives.map(([text, probability]) => choice(text, probability, chosen)));
    box.hidden = false;
    place(element);
  }
  if (focus) box.querySelector("button")?.focus();
}

function choice(text, probability, chosen) {
  const button = document.createElement("button");
  button.type = "button";
  const sign = document.createElement("span");
  sign.className = "sign";
  sign.textContent = SIGNS[text] ?? text;
  const number = document.createElement("span");
  number.textContent = percent(probability);
  button.style.setProperty("--share", probability);
  button.append(sign, number);
  button.addEventListener("click", () => { closeChoices(); chosen(text); });
  return button;
}

function place(element) {
  const [at] = element.getClientRects();
  if (!at) return;
  const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 8);
  const below = at.bottom + 4 + box.offsetHeight < window.innerHeight || at.top < box.offsetHeight;
  box.style.left = `${Math.max(8, left) + window.scrollX}px`;
  box.style.top = `${(below ? at.bottom + 4 : at.top - 4 - box.offsetHeight) + window.scrollY}px`;
}

function percent(probability) {
  return probability < 0.001 ? "below 0.1 %" : `${(100 * probability).toFixed(1)} %`;
}
