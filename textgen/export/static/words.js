// Words as tokens, as textgen/tokens/words.py has them.

import { Tokenizer, UNKNOWN_ID, endsSentence } from "./tokenizer.js";
import { SPACES } from "./treebank.js";

const NEWLINE_OR_WORD = new RegExp(`\\n|[^${SPACES}]+`, "gu");

export class Words extends Tokenizer {
  constructor(facts) {
    super(facts);
    const { pristine_input: isPristine, pristine_output: joinsBySpaces } = facts.settings;
    this.isPristine = isPristine;
    this.decoder = () => (isPristine || joinsBySpaces ? joiner() : this.treebank.detokenizer());
  }

  split(text) {
    // A pristine vocabulary may know no ends of lines, as those of older models do not.
    const clean = this.isPristine && !this.ids.has("\n") ? text.replaceAll("\n", " ") : text;
    const tokens = this.isPristine ? clean.match(NEWLINE_OR_WORD) ?? [] : this.treebank.tokenize(clean);
    return tokens.map((token) => this.folded(token));
  }

  folded(token) { return this.facts.settings.lowercase ? token.toLowerCase() : token; }

  // A space at the end of `text` belongs to the word to come.
  goOn(text) {
    const stripped = text.replace(/[ \t]+$/, "");
    if (!stripped) throw new Error("a beginning of spaces alone has no words");
    const decoder = this.decoder(), tokens = this.split(stripped);
    for (const token of tokens) decoder.push(token);
    const ids = tokens.map((token) => this.ids.get(token) ?? UNKNOWN_ID);
    return { ids: ids.length ? ids : [UNKNOWN_ID], decoder: stripped === text ? decoder : afterSpace(decoder) };
  }

  endsPhrase(token) { return endsSentence(token); }
}

// A decoder that puts a space between tokens, except beside a newline.
function joiner() {
  let last = "\n";
  return { push: (token) => {
    const between = [token, last].includes("\n") ? "" : " ";
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
