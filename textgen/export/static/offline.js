// The page that has its model within: a worker writes, and nothing is asked of any host.

import { $ } from "./dom.js";
import { fail, offer, openPage, say } from "./page.js";
import { checkOf } from "./weights.js";

const DAMAGED = "This page is damaged: the file was cut or changed on its way. Get it again.";

// The text of a part of the file, which ends where its mark says.
function part(id) {
  const found = $(id);
  if (!found || found.textContent.length !== Number(found.dataset.length)) throw new Error(DAMAGED);
  return found.textContent;
}

function checkedPart(id) {
  const text = part(id);
  if (checkOf(text) !== $(id).dataset.check) throw new Error(DAMAGED);
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

function start() {
  let facts, engine, weights;
  try {
    [facts, engine, weights] = [JSON.parse(checkedPart("facts")), checkedPart("engine"), part("weights")];
  } catch (error) {
    fail(error.message);
    return;
  }
  const worker = new Worker(URL.createObjectURL(new Blob([engine], { type: "text/javascript" })));
  worker.onmessage = ({ data }) => {
    if (data.broken) fail(data.broken);
    else if (data.ready) { $("write").disabled = false; say(""); }
    else listener(data);
  };
  worker.onerror = () => fail("The browser does not let this page work. Try another browser.");
  worker.postMessage({ load: { facts, weights, check: $("weights").dataset.check } });
  $("weights").remove(); // it is the worker's now, and large
  $("error").hidden = true;
  document.querySelector("h1").textContent = facts.title;
  $("about").textContent = facts.about;
  $("note").textContent = facts.note;
  $("note").hidden = !facts.note;
  openPage(sourceOf(worker, facts));
  offer({ schemas: facts.schemas, labels: facts.labels, seed: facts.seed });
  const readAhead = () => { if (!$("write").disabled) worker.postMessage({ read: { seed: $("seed").value } }); };
  $("seed").addEventListener("input", readAhead);
}

$("write").disabled = true;
say("Opening …");
document.addEventListener("DOMContentLoaded", start);
