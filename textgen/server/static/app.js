// The page of the service: its models write, an address makes a text again, a training is watched.

import { events, getJson, setKey } from "./api.js";
import { offerLabels, parsed, settingsKnown } from "./controls.js";
import { $ } from "./dom.js";
import { copy, fail, fill, offer, openPage, say, write } from "./page.js";
import { watch } from "./training.js";

const CLASSIC = { seed: "prime", length: "n" }; // other names in addresses
const MODES = ["argmax", "sample", "spaces"]; // by their number in addresses
const ALTERNATIVES = 6;
const LONGEST_LINK = 8000; // the service takes 16 KB of a request's head, and browsers send more

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

function showLink(wanted) {
  const link = linkOf(wanted);
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

// ---- the service

function written(wanted, signal) {
  return events("/api/generate", { body: { ...wanted, stream: true, alternatives: ALTERNATIVES }, signal });
}

function refuse(error) {
  if (error.status === 401) askForKey();
  else if (error.status) fail(`The service says: ${error.message}${error.retry ? ` (in ${error.retry} seconds)` : ""}`);
  else fail("The service cannot be reached. Is it still running? What was written stays here.");
}

function askForKey() {
  $("key-field").hidden = false;
  $("key").focus();
  fail("This service asks for a key. Type it, and write again.");
}

// ---- start

let models = []; // that are served

const chosenModel = () => models.find(({ name }) => name === $("model").value);

function chooseModel({ model }) {
  if (!model || model === $("model").value || !models.some(({ name }) => name === model)) return;
  $("model").value = model;
  modelChosen();
}

function modelChosen() {
  offerLabels(chosenModel()?.labels);
  if (!$("training").hidden) watch($("model").value);
}

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
  offer({ schemas });
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

$("model").addEventListener("change", modelChosen);
$("key").addEventListener("change", () => { setKey($("key").value); start(); });
openPage({
  events: written,
  explain: refuse,
  broken: "The text broke off: the service ended, or the connection to it.",
  who: "The service",
  history: "textgen-history",
  chosen: () => ($("model").value ? { model: $("model").value } : {}),
  choose: chooseModel,
  shown: showLink,
  link: copyLink,
});
for (const part of document.querySelectorAll("[data-of=service]")) part.hidden = false;
start();
