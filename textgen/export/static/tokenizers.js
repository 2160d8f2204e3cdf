// Text <-> token ids: the tokenizers, by kind.

import { Characters } from "./characters.js";
import { Subwords } from "./subwords.js";
import { Words } from "./words.js";

export const TOKENIZERS = { character: Characters, word: Words, subword: Subwords };

export function tokenizerOf(facts) { return new TOKENIZERS[facts.kind](facts); }
