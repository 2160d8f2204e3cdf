// A training in progress: its losses as a curve, and what the model writes.

import { events } from "./api.js";
import { $, element, seedElement } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, EDGE] = [640, 240, 44, 26, 12];
const LINES = [["loss", "training"], ["val_loss", "validation"]];
const SECONDS_BEFORE_RETRY = 3;

let watching = null; // the AbortController of the training that is shown

export async function watch(model) {
  watching?.abort();
  const { signal } = (watching = new AbortController());
  $("training").hidden = false;
  for (;;) {
    try {
      for await (const [name, state] of events(`/api/live?model=${encodeURIComponent(model)}`, { signal })) {
        if (name === "training") show(state);
      }
    } catch { /* said below */ }
    if (signal.aborted) return;
    $("training-about").textContent = "The training cannot be seen: the service has ended. Trying again …";
    await new Promise((resolve) => setTimeout(resolve, 1000 * SECONDS_BEFORE_RETRY));
  }
}

function show({ rows, samples }) {
  const last = rows.at(-1);
  if (last) {
    const parts = [`Epoch ${last.epoch}`, `step ${last.step.toLocaleString("en")}`, `loss ${last.loss.toFixed(3)}`];
    if (last.val_loss !== undefined) parts.push(`validation ${last.val_loss.toFixed(3)}`);
    parts.push(...perCharacter(last));
    $("training-about").textContent = parts.join(", ");
  } else {
    $("training-about").textContent = "No epoch has ended yet.";
  }
  draw(rows);
  $("live").replaceChildren(...samples.map(card));
}

// What compares models of any tokens; nats only where they are not those of the loss.
function perCharacter({ loss, val_loss, nats_per_character: nats, bits_per_character: bits }) {
  if (nats === undefined) return [];
  const told = [`${nats.toFixed(3)} nats`, `${bits.toFixed(3)} bits per character`];
  return told.slice(nats.toFixed(3) === (val_loss ?? loss).toFixed(3) ? 1 : 0);
}

function card({ title, seed, text }) {
  return element("div", { className: "card" },
    element("p", { className: "about" }, title),
    element("pre", {}, seedElement(seed), text));
}

function draw(rows) {
  const values = rows.flatMap((row) => LINES.map(([name]) => row[name]).filter((value) => value !== undefined));
  $("curve-legend").hidden = !values.length;
  $("validation-legend").hidden = rows.every((row) => row.val_loss === undefined);
  if (!values.length) { $("curve").replaceChildren(); return; }
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [rows[0].epoch, rows.at(-1).epoch];
  const x = (epoch) => LEFT + ((WIDTH - LEFT - EDGE) * (epoch - first)) / Math.max(1, last - first);
  const y = (loss) => EDGE + ((HEIGHT - EDGE - BOTTOM) * (high - loss)) / Math.max(1e-9, high - low);
  const shapes = [];
  for (let tick = 0; tick <= 4; tick += 1) {
    const loss = low + ((high - low) * tick) / 4;
    shapes.push(shape("line", { x1: LEFT, x2: WIDTH - EDGE, y1: y(loss), y2: y(loss), class: "axis" }));
    shapes.push(words(6, y(loss) + 4, loss.toFixed(2)));
  }
  shapes.push(words(LEFT, HEIGHT - 8, `epoch ${first}`), words(WIDTH - EDGE - 60, HEIGHT - 8, `epoch ${last}`));
  for (const [name, line] of LINES) {
    const known = rows.filter((row) => row[name] !== undefined);
    if (!known.length) continue;
    shapes.push(shape("polyline", { class: line, points: known.map((row) => `${x(row.epoch)},${y(row[name])}`).join(" ") }));
    const end = known.at(-1);
    shapes.push(shape("circle", { class: line, cx: x(end.epoch), cy: y(end[name]), r: 3.5 }));
  }
  $("curve").replaceChildren(...shapes);
  $("curve").setAttribute("aria-label", `Loss by epoch, from ${values[0].toFixed(2)} to ${rows.at(-1).loss.toFixed(2)} after ${rows.length} epochs`);
}

function shape(kind, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function words(x, y, text) {
  const made = shape("text", { x, y });
  made.textContent = text;
  return made;
}
