// Logits -> the next token. What textgen/generation/sampling.py does, in the same order: repetition
// penalty and bans, temperature, filters. Only the random numbers are others.

const NEVER = -Infinity;
const [COLDEST, HOTTEST] = [1e-30, 1e30];

// Random numbers in [0, 1), the same ones for the same seed: xoshiro128** (Blackman & Vigna 2018),
// which splitmix32 fills, two outputs for the 53 bits of a number.
export function randomNumbers(seed) {
  let mixed = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const splitmix = () => {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let z = mixed ^ high;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  const s = Uint32Array.from({ length: 4 }, splitmix);
  const turned = (x, bits) => (x << bits) | (x >>> (32 - bits));
  const next = () => {
    const result = Math.imul(turned(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t; s[3] = turned(s[3], 11);
    return result;
  };
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

function highest(values) {
  let most = NEVER;
  for (let i = 0; i < values.length; i += 1) if (values[i] > most) most = values[i];
  return most;
}

function sum(values) {
  let total = 0;
  for (let i = 0; i < values.length; i += 1) total += values[i];
  return total;
}

function keepTopK(logits, k) {
  if (k >= logits.length) return;
  const lowest = logits.slice().sort()[logits.length - k];
  for (let i = 0; i < logits.length; i += 1) if (logits[i] < lowest) logits[i] = NEVER;
}

function keepTopP(logits, p) {
  const probabilities = softmax(logits);
  const rising = probabilities.slice().sort();
  let above = 0, least = rising.at(-1);
  for (let i = rising.length - 1; i >= 0 && above < p; i -= 1) {
    least = rising[i];
    above += least;
  }
  for (let i = 0; i < logits.length; i += 1) if (probabilities[i] < least) logits[i] = NEVER;
}

function keepMinP(logits, share) {
  const most = highest(logits);
  for (let i = 0; i < logits.length; i += 1) if (Math.exp(logits[i] - most) < share) logits[i] = NEVER;
}

// The filters after temperature, in this order, by the name of the setting. Each changes the logits.
export const FILTERS = { top_k: keepTopK, top_p: keepTopP, min_p: keepMinP };

export function softmax(logits) {
  const most = highest(logits);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

// The last bytes that ids spell, at most `count`; a mark of documents begins a new text.
function spelledBefore(spelled, ids, count) {
  let bytes = "";
  for (let place = ids.length - 1; place >= 0 && bytes.length < count && spelled[ids[place]]; place -= 1) {
    bytes = spelled[ids[place]] + bytes;
  }
  return count > 0 ? bytes.slice(-count) : "";
}

// Whether banned texts keep ids from coming after those before.
export function forbids({ bannedTexts, spelled }, before, ids) {
  return bannedTexts.some((text) => ids.some((id, place) => {
    const seen = spelledBefore(spelled, [...before, ...ids.slice(0, place)], text.length - 1);
    return (seen + spelled[id]).includes(text);
  }));
}

// Logits of one step, with the penalty and the bans of `rules`; `recent` are all ids before.
// Throws where no token is left.
export function restrict(logits, rules, recent) {
  const penalty = rules.repetitionPenalty;
  if (penalty !== 1) {
    for (const id of new Set(recent.slice(-rules.repetitionWindow))) {
      logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
    }
  }
  for (const ids of rules.ban) {
    const before = ids.slice(0, -1), start = recent.length - before.length;
    if (before.every((id, place) => recent[start + place] === id)) logits[ids.at(-1)] = NEVER;
  }
  for (const text of rules.bannedTexts) {
    const before = spelledBefore(rules.spelled, recent, text.length - 1);
    rules.spelled.forEach((bytes, id) => { if ((before + bytes).includes(text)) logits[id] = NEVER; });
  }
  if (rules.ban.length + rules.bannedTexts.length > 1 && highest(logits) === NEVER) {
    throw new Error("the banned texts leave no token to go on with. Ban fewer");
  }
}

// Divides by the temperature and applies the filters of `rules`; the highest logit becomes 0.
export function scaleAndFilter(logits, temperature, rules) {
  const most = highest(logits), divisor = Math.min(Math.max(temperature, COLDEST), HOTTEST);
  for (let i = 0; i < logits.length; i += 1) logits[i] = (logits[i] - most) / divisor;
  for (const [name, value] of rules.filters) FILTERS[name](logits, value);
}

// The next id. Changes `logits` (V).
//   uniform: a random number in [0, 1);
//   recent: all ids before, the prompt's too;
//   count: how many of them were drawn.
export function sampleNext(logits, uniform, rules, recent, count) {
  restrict(logits, rules, recent);
  const temperature = rules.temperature[count % rules.temperature.length];
  const isGreedy = temperature === 0 || (rules.boundaries && !rules.boundaries.has(recent.at(-1)));
  if (isGreedy) return logits.indexOf(highest(logits));
  scaleAndFilter(logits, temperature, rules);
  return draw(logits, uniform);
}

// Inverts the cumulative distribution: exp(logits) are in proportion to the probabilities.
function draw(logits, uniform) {
  for (let i = 0; i < logits.length; i += 1) logits[i] = Math.exp(logits[i]);
  const threshold = uniform * sum(logits);
  let total = 0;
  for (let i = 0; i < logits.length; i += 1) {
    total += logits[i];
    if (total > threshold) return i;
  }
  return 0; // a product may be rounded up to the sum
}

// The ids of the highest probabilities, highest first.
export function likeliest(probabilities, number) {
  const ids = [];
  for (let id = 0; id < probabilities.length; id += 1) {
    if (ids.length === number && !(probabilities[id] > probabilities[ids.at(-1)])) continue;
    let place = ids.length;
    while (place > 0 && probabilities[ids[place - 1]] < probabilities[id]) place -= 1;
    ids.splice(place, 0, id);
    if (ids.length > number) ids.pop();
  }
  return ids;
}
