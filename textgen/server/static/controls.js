// The controls of the form, one for each setting that the service tells of.

import { $, element } from "./dom.js";

// How the settings that most people want look, in this order. All others have their place under
// "More settings", with the words that the service has for them.
const LOOKS = {
  length: { label: "Length", start: 400 },
  temperature: { label: "Diversity", start: 0.8, range: { min: 0, max: 2, step: 0.05 } },
  sample_mode: { label: "Mode", words: { sample: "draw every token", spaces: "draw after spaces only", argmax: "always the likeliest" } },
  top_k: { label: "Top-k", empty: "all tokens" },
  top_p: { label: "Top-p", empty: "1" },
  random_seed: { label: "Seed number", empty: "a new one each time", dice: true },
};
const NEW_SEEDS = 2 ** 32;
const STEP = 0.01;

let controls = new Map(); // by name: { setting, input, show }

// What a control needs to know, from the JSON Schema of a setting.
function settingOf([name, schema]) {
  const kinds = schema.anyOf ?? [schema];
  const list = kinds.find(({ type }) => type === "array");
  const single = kinds.find(({ type }) => type !== "array" && type !== "null") ?? list.items;
  const { type: kind, enum: choices = [], minimum, maximum, exclusiveMinimum: above } = single;
  const { description, group, default: start } = schema;
  return { name, kind, choices, minimum, maximum, above, description, group, default: start, lists: single === list?.items };
}

export function build(schemas) {
  const settings = Object.entries(schemas).map(settingOf);
  controls = new Map();
  for (const old of document.querySelectorAll("#form [data-made]")) old.remove();
  const known = Object.keys(LOOKS).map((name) => settings.find((setting) => setting.name === name)).filter(Boolean);
  $("more").before(...known.map((setting) => field(setting, LOOKS[setting.name])));
  const others = settings.filter((setting) => !(setting.name in LOOKS));
  const groups = [...new Set(others.map(({ group }) => group))];
  $("more").append(...groups.map((group) => made(element("fieldset", {},
    element("legend", {}, sentence(group)),
    ...others.filter((setting) => setting.group === group).map((setting) => field(setting, {})),
  ))));
  $("more").hidden = !others.length;
  fill({}, true);
}

// The labels that a model knows, to choose from; without any there is nothing to choose.
export function offerLabels(found) {
  const labels = found ?? [];
  const input = controls.get("label")?.input;
  if (!input) return;
  const list = made(element("datalist", { id: "labels" }, ...labels.map((label) => new Option(label, label))));
  $("labels")?.remove();
  input.after(list);
  input.setAttribute("list", list.id);
  input.placeholder = labels.length ? "any" : "this model has none";
  input.disabled = !labels.length;
}

// What the controls say, by name; what is as it is anyway is left out, unless it is one of LOOKS.
export function values() {
  const found = [...controls].map(([name, { setting, input }]) => [name, read(setting, input)]);
  return Object.fromEntries(found.filter(([name, value]) => value !== null && (name in LOOKS || !same(value, controls.get(name).setting.default))));
}

export function fill(given, fresh = false) {
  for (const [name, { setting, input, show }] of controls) {
    const start = LOOKS[name]?.start;
    write(setting, input, given[name] ?? (fresh || name === "length" ? start ?? setting.default : setting.default));
    show();
  }
  const inside = [...controls].filter(([name]) => !(name in LOOKS));
  if (inside.some(([name]) => given[name] !== undefined)) $("more").open = true;
}

export const settingsKnown = () => [...controls.values()].map(({ setting }) => setting);

// A value of a setting from the text that an address has for it.
export function parsed(setting, texts) {
  const one = (text) => ({ string: text, boolean: text === "true" })[setting.kind] ?? Number(text);
  return setting.lists ? texts.map(one) : one(texts[0]);
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const plain = (name) => name.replaceAll("_", " ");
const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const made = (part) => { part.dataset.made = ""; return part; };

function field(setting, look) {
  const input = inputOf(setting, look);
  input.id = `setting-${setting.name}`;
  const words = look.label ?? sentence(plain(setting.name));
  const label = element("label", { htmlFor: input.id }, words);
  const parts = [label, input];
  let show = () => {};
  if (look.range) {
    const shown = element("output", {});
    shown.htmlFor.add(input.id);
    label.append(" ", shown);
    show = () => { shown.value = Number(input.value).toFixed(2); };
    input.addEventListener("input", show);
  }
  if (look.dice) parts[1] = element("div", { className: "together" }, input, dice(input));
  if (setting.kind === "boolean") parts.splice(0, 2, element("label", { className: "check" }, input, ` ${words}`));
  if (!look.label) {
    const help = element("p", { className: "help", id: `${input.id}-help` }, setting.description.replace(/`(\w+)`/g, (_, name) => plain(name)) + (setting.lists ? "; one a line" : ""));
    input.setAttribute("aria-describedby", help.id);
    parts.push(help);
  }
  controls.set(setting.name, { setting, input, show });
  return made(element("div", { className: look.dice ? "field seed-number" : "field" }, ...parts));
}

function inputOf(setting, { range, words = {}, empty }) {
  if (setting.choices.length) {
    const names = [...new Set([...Object.keys(words), ...setting.choices])].filter((name) => setting.choices.includes(name));
    return element("select", {}, ...names.map((name) => new Option(words[name] ?? name, name)));
  }
  if (setting.kind === "boolean") return element("input", { type: "checkbox" });
  if (setting.lists) return element("textarea", { rows: 2, spellcheck: false });
  if (setting.kind === "string") return element("input", { type: "text" });
  if (range) return element("input", { type: "range", ...range });
  const whole = setting.kind === "integer";
  const input = element("input", { type: "number", step: whole ? 1 : STEP, inputMode: whole ? "numeric" : "decimal" });
  const least = setting.minimum ?? (setting.above === undefined ? undefined : setting.above + Number(input.step));
  if (least !== undefined) input.min = least;
  if (setting.maximum !== undefined && setting.name !== "length") input.max = setting.maximum;
  if (empty ?? setting.default === null) input.placeholder = empty ?? "";
  return input;
}

function dice(input) {
  const button = element("button", { type: "button", id: "dice", title: "Another seed number" },
    element("span", { ariaHidden: "true" }, "⚄"), element("span", { className: "unseen" }, "Roll the dice for a seed number"));
  button.addEventListener("click", () => { input.value = crypto.getRandomValues(new Uint32Array(1))[0] % NEW_SEEDS; });
  return button;
}

function read(setting, input) {
  if (setting.kind === "boolean") return input.checked;
  if (setting.lists) return input.value.split("\n").filter((line) => line !== "");
  if (input.value === "") return null;
  return setting.kind === "string" ? input.value : Number(input.value);
}

function write(setting, input, value) {
  if (setting.kind === "boolean") input.checked = value ?? false;
  else if (setting.lists) input.value = (value ?? []).join("\n");
  else input.value = value ?? "";
}
