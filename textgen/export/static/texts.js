// One text while it is written: how its tokens are drawn, what they spell, and where it ends. What
// textgen/generation/texts.py does.

import { FILTERS, likeliest, randomNumbers, sampleNext, softmax } from "./sampling.js";
import { CLOSING, END_ID, UNKNOWN_ID } from "./tokenizer.js";
import { bytesOfText } from "./subwords.js";
import { SPACES, WORD, isSpace } from "./treebank.js";

const SENTENCE_END = new RegExp(
  `\\n|[.!?…]+[${CLOSING}]*(?=[${SPACES}])|[。！？]+[」』${CLOSING}]*(?=[^\\n])`, "gu");
const BOUNDS = {
  minimum: [(value, bound) => value >= bound, "at least"],
  exclusiveMinimum: [(value, bound) => value > bound, "above"],
  maximum: [(value, bound) => value <= bound, "at most"],
};

// Throws, in words, where a value is out of the range that its schema gives.
export function check(request, schemas) {
  for (const [name, value] of Object.entries(request)) {
    const schema = schemas[name];
    for (const bounded of schema?.anyOf ?? [schema ?? {}]) {
      for (const [bound, [holds, words]] of Object.entries(BOUNDS)) {
        if (typeof value === "number" && bound in bounded && !holds(value, bounded[bound])) {
          throw new Error(`\`${name}\` must be ${words} ${bounded[bound]}. Received: ${value}`);
        }
      }
    }
  }
}

// How the tokens of a request are drawn: texts as token ids. The unknown token is always banned.
function rulesOf(request, tokenizer) {
  const isSpaces = request.sample_mode === "spaces";
  const ids = (text) => {
    const found = tokenizer.encode(text);
    if (!found.length) throw new Error(`\`ban\` “${text}” has nothing that the model could write`);
    return found;
  };
  const { spelled } = tokenizer, banned = request.ban ?? [];
  const ban = banned.map(ids).filter((one) => !spelled && !one.includes(UNKNOWN_ID));
  if (request.label !== undefined) ban.push(...[...tokenizer.marks].filter((id) => id !== END_ID).map((id) => [id]));
  const boundaries = () => new Set(tokenizer.vocabulary.flatMap((token, id) => (tokenizer.endsPhrase(token) ? [id] : [])));
  return {
    temperature: request.sample_mode === "argmax" ? [0] : [request.temperature ?? 1].flat(),
    filters: Object.keys(FILTERS).map((name) => [name, request[name]]).filter(([, value]) => value !== undefined),
    repetitionPenalty: request.repetition_penalty ?? 1,
    repetitionWindow: request.repetition_window ?? 64,
    ban: [[UNKNOWN_ID], ...ban],
    bannedTexts: spelled ? banned.map((text) => bytesOfText(tokenizer.folded(text))) : [],
    spelled,
    boundaries: isSpaces ? boundaries() : null,
  };
}

export class Text {
  // `alternatives`: how many of the likeliest tokens to tell with each one.
  constructor(request, tokenizer, alternatives) {
    this.request = request;
    this.tokenizer = tokenizer;
    this.alternatives = alternatives;
    const seed = request.seed ?? "";
    // What is given, or must not be met again, leaves the seed's last token as it is.
    const whole = request.first !== undefined || (request.ban ?? []).some((text) => seed.includes(text));
    const { ids, decoder, typed } = tokenizer.prompt(seed, request.label, whole);
    this.prompt = ids;
    this.decoder = decoder;
    this.typed = typed; // the end of the seed that the first tokens spell
    this.rules = rulesOf(request, tokenizer);
    this.random = randomNumbers(request.random_seed);
    this.ids = []; // the tokens so far
    this.retyped = 0; // those of them that only spell what was typed, which are none of the length
    this.recent = [...ids]; // and those of the prompt before them
    this.ending = new Ending(request, tokenizer);
    this.finished = null; // or the reason
    this.forced = request.first === undefined ? [] : [tokenizer.ids.get(request.first) ?? UNKNOWN_ID];
    if (this.forced[0] === UNKNOWN_ID) throw new Error("the model does not know the token to begin with");
  }

  // Lets these be the first tokens, which begin with what was typed.
  begin(ids) {
    let left = this.typed.length;
    for (const id of ids) {
      left -= this.tokenizer.spelled[id].length;
      if (left >= 0) this.retyped += 1;
    }
    this.forced.push(...ids);
  }

  // How many tokens of its length there are.
  get made() { return this.ids.length - this.retyped; }

  // Draws the next token from logits (V); returns its id, and what it adds to the page.
  next(logits) {
    const probabilities = softmax(logits); // the model's own, before all filters
    const uniform = this.random(); // of each token, forced or not
    const drawn = () => sampleNext(logits.slice(), uniform, this.rules, this.recent, this.ids.length);
    const id = this.forced.shift() ?? drawn();
    const others = likeliest(probabilities, this.alternatives + 1).filter((one) => one !== UNKNOWN_ID);
    const alternatives = others.slice(0, this.alternatives).map((one) => [this.tokenizer.textOf(one), probabilities[one]]);
    return { id, piece: { text: this.push(id), probability: probabilities[id], alternatives } };
  }

  // Takes a token; returns the text that is certain now.
  push(id) {
    const { marks, vocabulary } = this.tokenizer;
    if (marks.size && id === END_ID) return this.end("stop");
    this.ids.push(id);
    this.recent.push(id);
    const spelled = marks.has(id) ? "" : this.decoder.push(vocabulary[id]);
    const text = this.ending.push(spelled);
    if (this.ending.reached) this.finished = "stop";
    return this.made === this.request.length ? text + this.end("length") : text;
  }

  // Ends the text where it is; returns what was held back.
  end(reason) {
    if (this.finished) return "";
    this.finished = reason;
    return this.ending.held;
  }
}

// Finds where a text ends that comes in pieces. What may be the beginning of a text to end before
// is held back until the next pieces decide.
export class Ending {
  constructor(request, tokenizer) {
    this.stop = request.stop ?? [];
    this.gaps = [...(request.until_line ? ["\n"] : []), ...(request.until_paragraph ? ["\n\n"] : [])];
    this.stopAfter = request.stop_after ?? [];
    this.heldFor = [...this.stop, ...this.gaps];
    this.sentences = request.sentences ? new Sentences(request.sentences, tokenizer) : null;
    this.longest = Math.max(1, ...this.stopAfter.map((text) => text.length));
    this.before = ""; // the end of what is certain, where a text to end after may begin
    this.hasBegun = false;
    this.held = "";
    this.reached = false;
  }

  push(piece) {
    const text = this.held + piece;
    const ends = this.ends(text, piece);
    if (ends.length) {
      this.reached = true;
      return text.slice(0, Math.min(...ends));
    }
    const certain = text.length - Math.max(0, ...this.heldFor.map((stop) => overlap(text, stop)));
    this.held = text.slice(certain);
    this.before = (this.before + text.slice(0, certain)).slice(-this.longest);
    return text.slice(0, certain);
  }

  // The places in `text`, which ends with the new piece, where it may end.
  ends(text, piece) {
    const start = this.hasBegun ? 0 : text.length - text.replace(/^\n+/, "").length;
    this.hasBegun ||= start < text.length;
    const places = [...this.stop.map((stop) => text.indexOf(stop)), ...this.gaps.map((gap) => text.indexOf(gap, start))];
    const ends = places.filter((at) => at >= 0);
    const whole = this.before + text, shift = this.before.length;
    for (const stop of this.stopAfter) {
      const at = whole.indexOf(stop, Math.max(0, shift - stop.length + 1));
      if (at >= 0) ends.push(at + stop.length - shift);
    }
    const last = this.sentences?.push(piece) ?? null;
    if (last !== null) ends.push(Math.max(0, text.length - piece.length + last));
    return ends;
  }
}

// Finds where a number of sentences ends in a text that comes in pieces.
class Sentences {
  constructor(count, tokenizer) {
    this.left = count;
    this.sentence = "";
    this.isAbbreviation = (word) => tokenizer.treebank.isAbbreviation(word);
  }

  // The place in the piece where the last sentence ends, if that is known; it may be below 0.
  push(piece) {
    this.sentence += piece;
    SENTENCE_END.lastIndex = 0;
    for (let found; (found = SENTENCE_END.exec(this.sentence)) !== null;) {
      const body = this.sentence.slice(0, found.index), after = SENTENCE_END.lastIndex;
      if (body === "" || isSpace(body) || (found[0][0] === "." && this.isAbbreviated(body))) continue;
      this.left -= 1;
      if (this.left === 0) return piece.length - this.sentence.length + (found[0] === "\n" ? found.index : after);
      this.sentence = this.sentence.slice(after);
      SENTENCE_END.lastIndex = 0;
    }
    return null;
  }

  // Whether the last word of a text is one whose period ends no sentence.
  isAbbreviated(text) {
    const [last] = text.match(new RegExp(`[^${SPACES}]+(?=[${SPACES}]*$)`, "u"));
    return this.isAbbreviation(last.replace(new RegExp(`^[^${WORD}]+`, "u"), ""));
  }
}

// How many characters at the end of `text` are the beginning of `stop`, but not all of it.
function overlap(text, stop) {
  for (let size = Math.min(text.length, stop.length - 1); size > 0; size -= 1) {
    if (text.endsWith(stop.slice(0, size))) return size;
  }
  return 0;
}
