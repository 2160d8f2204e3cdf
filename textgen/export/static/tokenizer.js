// The base of all tokenizers, as textgen/tokens/tokenizer.py is. `facts` are those of tokenizer.json.

import { Treebank, isSpace } from "./treebank.js";

export const UNKNOWN_ID = 0;
export const END_ID = 1; // ends a document, where the text is many documents
// Signs, for a class of a pattern, that may stand between the mark that ends a sentence and the end
// of its token.
export const CLOSING = "\"'”’»)\\]";
const SENTENCE_END = new RegExp(`[.!?…。][${CLOSING}]*$`, "u");

export const endsSentence = (token) => token.includes("\n") || SENTENCE_END.test(token);

// A tokenizer must give `split` (text -> tokens) and `decoder`; the rest suits small tokens.
export class Tokenizer {
  constructor(facts) {
    this.facts = facts;
    this.vocabulary = facts.vocabulary;
    this.ids = new Map(facts.vocabulary.map((token, id) => [token, id]));
    this.treebank = new Treebank(facts.treebank);
    this.marks = new Set(Object.values(facts.marks)); // ids of the end of a document and of its labels
    this.spelled = null; // the bytes of each token, where a text can be cut into tokens in several ways
  }

  encode(text) { return this.split(text).map((token) => this.ids.get(token) ?? UNKNOWN_ID); }

  // What the network reads before it goes on with `text`, a decoder for the rest, and the end of the
  // text that is left to the first tokens, see `openings`. With `whole` none is.
  prompt(text, label, whole = false) {
    const first = label === undefined ? [] : [this.labelId(label)];
    const context = this.marks.size ? [END_ID, ...first] : [];
    const seed = text || (this.marks.size ? "" : "\n");
    const begun = seed ? this.goOn(seed, whole) : { ids: [], decoder: this.decoder() };
    const before = begun.ids.length || context.length ? context : this.encode("\n");
    return { typed: "", ...begun, ids: [...before, ...begun.ids] };
  }

  labelId(label) {
    const id = this.facts.marks[`<|${label}|>`];
    if (id === undefined || id === END_ID) throw new Error(`this model knows no label “${label}”`);
    return id;
  }

  goOn(text) { return { ids: this.encode(text), decoder: this.decoder() }; }

  // The tokens, one or more in a row, that spell the typed end of a text and perhaps more.
  openings() { return []; }

  // A token as people see it.
  textOf(id) { return this.vocabulary[id]; }

  folded(text) { return text; }

  // Whether with a token ends what should hang together; the mode `spaces` draws after it.
  endsPhrase(token) { return token !== "" && isSpace([...token].at(-1)); }
}
