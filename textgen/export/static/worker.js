// What writes, beside the page: it is given the model once, part by part, and then requests.
//
// Received: {facts}, {weights, check} for each part of them, {write: request, number}, {read: request}, {stop: true}.
// Sent: {ready: true}, {broken: words}, {number, event: [name, data]} as the service sends its events.

import { Network } from "./network.js";
import { drawOpening } from "./openings.js";
import { Text, check } from "./texts.js";
import { tokenizerOf } from "./tokenizers.js";
import { bytesOf, checkOf, readArrays } from "./weights.js";

const ALTERNATIVES = 6;
const MILLISECONDS = 40; // between two pieces: the page lays out all of its text for each
const MOST_KEPT = 512; // states

let facts = null, network = null, tokenizer = null, memory = null;
let turn = 0; // of the text that is being written, or of the seed that is being read

// The states after some ids, so that what follows on them need not read them again.
class Memory {
  constructor(model) {
    this.network = model;
    this.ids = [];
    this.kept = [[0, model.state()]]; // after so many ids
    this.step = 1; // ids between two states that are kept
  }

  // Goes back to where the ids begin to differ from those that were read; returns how many are known.
  goBack(ids) {
    let alike = 0;
    while (alike < Math.min(ids.length, this.ids.length) && ids[alike] === this.ids[alike]) alike += 1;
    while (this.kept.at(-1)[0] > alike) this.kept.pop();
    const [known, state] = this.kept.at(-1);
    if (known === 0) this.step = 1;
    if (alike < this.ids.length) {
      this.ids.length = known;
      this.network.remember(state);
    }
    return this.ids.length;
  }

  read(id) {
    this.network.step(id);
    this.ids.push(id);
    if (this.ids.length % this.step) return;
    this.kept.push([this.ids.length, this.network.state()]);
    if (this.kept.length < MOST_KEPT) return;
    this.step *= 2;
    this.kept = this.kept.filter(([count]) => count % this.step === 0);
  }
}

// Lets what was sent meanwhile come in; true if there is something newer to do.
const channel = new MessageChannel();
function isOver(mine) {
  return new Promise((resolve) => {
    channel.port1.onmessage = () => resolve(mine !== turn);
    channel.port2.postMessage(null);
  });
}

// Reads ids, with pauses; true if it was overtaken.
async function readAll(ids, mine) {
  let begun = performance.now();
  for (let place = memory.goBack(ids); place < ids.length; place += 1) {
    memory.read(ids[place]);
    if (performance.now() - begun < MILLISECONDS) continue;
    if (await isOver(mine)) return true;
    begun = performance.now();
  }
  return false;
}

async function write(asked, number) {
  const mine = (turn += 1), start = performance.now();
  const send = (name, data) => postMessage({ number, event: [name, data] });
  try {
    check(asked, facts.schemas);
    const request = { ...asked, random_seed: asked.random_seed ?? crypto.getRandomValues(new Uint32Array(1))[0] };
    const text = new Text(request, tokenizer, ALTERNATIVES);
    send("start", { random_seed: request.random_seed });
    if (await readAll(text.prompt, mine)) return;
    if (text.typed) text.begin(drawOpening(text, network));
    let tokens = [], begun = 0; // so that the first one goes out at once
    while (!text.finished) {
      const { id, piece } = text.next(Float64Array.from(network.predict()));
      memory.read(id);
      tokens.push(piece);
      if (performance.now() - begun < MILLISECONDS && !text.finished) continue;
      send("piece", { text: tokens.map((token) => token.text).join(""), tokens });
      tokens = [];
      if (await isOver(mine)) return;
      begun = performance.now();
    }
    send("done", { tokens: text.made, finish_reason: text.finished, seconds: (performance.now() - start) / 1000 });
  } catch (error) {
    send("error", { error: error.message });
  }
}

// Reads a seed before anybody asks to go on with it.
async function readAhead({ seed }) {
  const mine = (turn += 1);
  try {
    await readAll(tokenizer.prompt(seed).ids, mine);
  } catch { /* it is said when it is to be written on */ }
}

let bytes = null, filled = 0, parts = 0; // of the weights, as far as they have come

function take({ weights, check: expected }) {
  let part = null;
  try { part = bytesOf(weights); } catch { /* no base64 */ }
  if (!part || checkOf(part) !== expected) {
    postMessage({ broken: "The model in this page is damaged: the file was cut or changed on its way. Get it again." });
    return;
  }
  bytes.set(part, filled);
  filled += part.length;
  parts += 1;
  if (parts === facts.parts) begin();
}

function begin() {
  network = new Network(facts.model, facts.layers, readArrays(facts.arrays, bytes), bytesOf(facts.product));
  tokenizer = tokenizerOf(facts.tokenizer);
  memory = new Memory(network);
  bytes = null;
  postMessage({ ready: true });
}

self.onmessage = ({ data }) => {
  if (data.facts) { facts = data.facts; bytes = new Uint8Array(facts.bytes); }
  else if (data.weights) take(data);
  else if (data.write) write(data.write, data.number);
  else if (data.read) readAhead(data.read);
  else turn += 1;
};
