// The page that has its model within: a worker writes, and nothing is asked of any host.

import { $ } from "./dom.js";
import { fail, offer, openPage, say } from "./page.js";
import { checkOf } from "./weights.js";

const DAMAGED = "This page is damaged: the file was cut or changed on its way. Get it again.";

// The text of a part of the file, which ends where its mark says.
function part(id) {
  const found = $(id);
  if (!found || found.textContent.length !== Number(found.dataset.length)) throw new Error("a part is not whole");
  return found.textContent;
}

function checkedPart(id) {
  const text = part(id);
  if (checkOf(new TextEncoder().encode(text)) !== $(id).dataset.check) throw new Error("a part was changed");
  return text;
}

let count = 0; // of the texts that were asked for
let listener = () => {}; // of what comes of the one that is being written

function sourceOf(worker, facts) {
  async function* events(request, signal) {
    const number = (count += 1), waiting = [];
    let wake = () => {};
    signal.addEventListener("abort", () => { worker.postMessage({ stop: true }); wake(); });
    listener = (message) => { if (message.number === number) { waiting.push(message.event); wake(); } };
    worker.postMessage({ write: request, number });
    while (!signal.aborted) {
      if (!waiting.length) await new Promise((resolve) => { wake = resolve; });
      for (const event of waiting.splice(0)) {
        yield event;
        if (event[0] === "done" || event[0] === "error") return;
      }
    }
  }
  return {
    events,
    explain: (error) => fail(error.message),
    broken: "The text broke off.",
    who: "The page",
    history: `textgen-history ${facts.id}`,
  };
}

// Shows the page, and begins a worker, while the rest of the file is still read.
function start(facts, engine) {
  const worker = new Worker(URL.createObjectURL(new Blob([engine], { type: "text/javascript" })));
  worker.onmessage = ({ data }) => {
    if (data.broken) fail(data.broken);
    else if (data.ready) { $("write").disabled = false; say(""); }
    else listener(data);
  };
  worker.onerror = () => fail("The browser does not let this page work. Try another browser.");
  $("error").hidden = true;
  document.querySelector("h1").textContent = facts.title;
  $("about").textContent = facts.about;
  $("note").textContent = facts.note;
  $("note").hidden = !facts.note;
  openPage(sourceOf(worker, facts));
  offer({ schemas: facts.schemas, labels: facts.labels, seed: facts.seed });
  say("Opening …");
  worker.postMessage({ facts });
  const readAhead = () => { if (!$("write").disabled) worker.postMessage({ read: { seed: $("seed").value } }); };
  $("seed").addEventListener("input", readAhead);
  return worker;
}

let sent = 0; // parts of the weights

// Gives the worker the parts of the weights that are there, all but the last one are whole.
function send(worker, facts, isAll) {
  const isWhole = (number) => isAll || $(`weights-${number + 1}`);
  for (; sent < facts.parts && isWhole(sent); sent += 1) {
    const id = `weights-${sent}`;
    worker.postMessage({ weights: part(id), check: $(id).dataset.check });
    $(id).remove(); // it is the worker's now, and large
  }
}

// Does what a damaged page cannot do, and says so then, if it has a place to.
function attempt(work) {
  try {
    return work();
  } catch {
    if ($("error")) fail(DAMAGED);
    return null;
  }
}

const facts = attempt(() => JSON.parse(checkedPart("facts")));
const worker = facts && attempt(() => start(facts, checkedPart("engine")));
if (worker) {
  const reading = new MutationObserver(() => attempt(() => send(worker, facts, false)));
  reading.observe(document.body, { childList: true });
  document.addEventListener("DOMContentLoaded", () => {
    reading.disconnect();
    attempt(() => send(worker, facts, true));
  });
}
