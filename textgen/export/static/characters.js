// Characters as tokens, as textgen/tokens/characters.py has them.

import { Tokenizer } from "./tokenizer.js";

export class Characters extends Tokenizer {
  split(text) { return [...text].map((sign) => this.folded(sign)); }

  folded(sign) { return this.facts.settings.pristine_input || sign === "İ" ? sign : sign.toLowerCase(); }

  decoder() { return { push: (token) => token }; }
}
