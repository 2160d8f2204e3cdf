// The first tokens of a text whose seed ends within a word: they spell its end, and may go on. What
// textgen/generation/openings.py does.

import { forbids, sampleNext, softmax } from "./sampling.js";

// Returns the ids that a text begins with, drawn by its rules; the network has read its prompt.
export function drawOpening(text, network) {
  const openings = possible(text);
  const logits = Float64Array.from(logProbabilities(openings, network));
  const [temperature] = text.rules.boundaries ? [0] : text.rules.temperature;
  const none = { repetitionPenalty: 1, ban: [], bannedTexts: [], boundaries: null };
  const rules = { ...none, temperature: [temperature], filters: text.rules.filters };
  return openings[sampleNext(logits, text.random(), rules, [], 0)];
}

// Those that write nothing banned, unless all do.
function possible({ tokenizer, typed, prompt, rules }) {
  const found = tokenizer.openings(typed);
  const kept = found.filter((ids) => !forbids(rules, prompt, ids));
  return kept.length ? kept : found;
}

// The log-probability of each opening; the network is left as it is.
export function logProbabilities(openings, network) {
  const totals = openings.map(() => 0);
  const walk = (places, depth) => {
    const probabilities = softmax(Float64Array.from(network.predict()));
    const longer = new Map(); // by the next id
    for (const place of places) {
      const id = openings[place][depth];
      totals[place] += Math.log(probabilities[id]);
      if (openings[place].length === depth + 1) continue;
      if (!longer.has(id)) longer.set(id, []);
      longer.get(id).push(place);
    }
    for (const [id, group] of longer) {
      const state = network.state();
      network.step(id);
      walk(group, depth + 1);
      network.remember(state);
    }
  };
  walk([...openings.keys()], 0);
  return totals;
}
