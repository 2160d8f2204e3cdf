// Text <-> token ids: the tokenizers of textgen/tokens, by kind. `facts` are those of tokenizer.json.

import { SPACES, Treebank, isSpace, withoutEndSpaces } from "./treebank.js";

export const UNKNOWN_ID = 0;
export const END_ID = 1; // ends a document, where the text is many documents
// Signs, for a class of a pattern, that may stand between the mark that ends a sentence and the end
// of its token.
export const CLOSING = "\"'”’»)\\]";
const NEWLINE_OR_WORD = new RegExp(`\\n|[^${SPACES}]+`, "gu");
const SENTENCE_END = new RegExp(`[.!?…。][${CLOSING}]*$`, "u");

// A tokenizer must give `split` (text -> tokens) and `decoder`; the rest suits small tokens.
class Tokenizer {
  constructor(facts) {
    this.facts = facts;
    this.vocabulary = facts.vocabulary;
    this.ids = new Map(facts.vocabulary.map((token, id) => [token, id]));
    this.treebank = new Treebank(facts.treebank);
    this.marks = new Set(Object.values(facts.marks)); // ids of the end of a document and of its labels
  }

  encode(text) { return this.split(text).map((token) => this.ids.get(token) ?? UNKNOWN_ID); }

  // What the network reads before it goes on with `text`, and a decoder for the rest.
  prompt(text, label) {
    const first = label === undefined ? [] : [this.labelId(label)];
    if (!this.marks.size) return this.goOn(text || "\n");
    const { ids, decoder } = text ? this.goOn(text) : { ids: [], decoder: this.decoder() };
    return { ids: [END_ID, ...first, ...ids], decoder };
  }

  labelId(label) {
    const id = this.facts.marks[`<|${label}|>`];
    if (id === undefined || id === END_ID) throw new Error(`this model knows no label “${label}”`);
    return id;
  }

  goOn(text) { return { ids: this.encode(text), decoder: this.decoder() }; }

  // Whether with a token ends what should hang together; the mode `spaces` draws after it.
  endsPhrase(token) { return token !== "" && isSpace([...token].at(-1)); }
}

class Characters extends Tokenizer {
  split(text) { return [...text].map((sign) => this.folded(sign)); }

  folded(sign) { return this.facts.settings.pristine_input || sign === "İ" ? sign : sign.toLowerCase(); }

  decoder() { return joiner(""); }
}

class Words extends Tokenizer {
  constructor(facts) {
    super(facts);
    const { pristine_input: isPristine, pristine_output: joinsBySpaces } = facts.settings;
    this.isPristine = isPristine;
    this.decoder = () => (isPristine || joinsBySpaces ? joiner(" ") : this.treebank.detokenizer());
  }

  split(text) {
    // A pristine vocabulary may know no ends of lines, as those of older models do not.
    const clean = this.isPristine && !this.ids.has("\n") ? text.replaceAll("\n", " ") : text;
    const tokens = this.isPristine ? clean.match(NEWLINE_OR_WORD) ?? [] : this.treebank.tokenize(clean);
    return this.facts.settings.lowercase ? tokens.map((token) => token.toLowerCase()) : tokens;
  }

  // A space at the end of `text` belongs to the word to come.
  goOn(text) {
    const stripped = text.replace(/[ \t]+$/, "");
    if (!stripped) throw new Error("a beginning of spaces alone has no words");
    const decoder = this.decoder(), tokens = this.split(stripped);
    for (const token of tokens) decoder.push(token);
    const ids = tokens.map((token) => this.ids.get(token) ?? UNKNOWN_ID);
    return { ids: ids.length ? ids : [UNKNOWN_ID], decoder: stripped === text ? decoder : afterSpace(decoder) };
  }

  endsPhrase(token) { return token.includes("\n") || SENTENCE_END.test(token); }
}

export const TOKENIZERS = { character: Characters, word: Words };

export function tokenizerOf(facts) { return new TOKENIZERS[facts.kind](facts); }

// A decoder that puts `separator` between tokens, except beside a newline.
function joiner(separator) {
  let last = "\n";
  return { push: (token) => {
    const between = [token, last].includes("\n") ? "" : separator;
    last = token;
    return between + token;
  } };
}

// A decoder for text that already ends with the space which `decoder` would begin with.
function afterSpace(decoder) {
  let hasBegun = false;
  return { push: (token) => {
    const piece = decoder.push(token);
    const trimmed = hasBegun ? piece : piece.replace(/^ /, "");
    hasBegun ||= piece !== "";
    return trimmed;
  } };
}
