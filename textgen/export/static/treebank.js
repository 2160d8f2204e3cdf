// Penn Treebank words <-> text. What textgen/treebank does; its lists and tables come from there.

// What Python's \s, \w and letters are; JavaScript's own differ in a few characters.
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
export const WORD = "\\p{L}\\p{N}_";
const END_SPACES = new RegExp(`[${SPACES}]+$`, "u");
const ONLY_SPACES = new RegExp(`^[${SPACES}]+$`, "u");
const PLAIN_WORD = /^[A-Za-z]+$/;

const UNSPACED = "\\u2e80-\\u2fff\\u3001-\\u30ff\\u3400-\\u9fff\\uf900-\\ufaff\\uff00-\\uffef\\u{20000}-\\u{3ffff}";
const GLUE = "⁀"; // marks "no white space here"
const SPACED_DOTS = "\\.(?:[ \\xa0]\\.){2,}";
// Characters that a token of several characters never holds, unless a pattern below says so.
const APART = `()\\[\\]{}<>"'“”„‟‘‚«»‹›\`.,:;?!…@#$£€¥¢₹%&*_¿¡\\-–‒—―⸺${GLUE}${UNSPACED}`;
const PIECES = new RegExp([
  `[${UNSPACED}“”"!?,()\\[\\]{}]`,
  `(?:https?://|ftp://|www\\.)[^${SPACES}<>"“”«»]*[^${SPACES}<>"“”«».,;:!?)\\]}'’…*_]`, // address of a page
  `(?<![${WORD}.+%\\-])[\\p{L}\\p{N}][${WORD}.+%\\-]*@[${WORD}\\-]+(?:\\.[${WORD}\\-]+)+`, // e-mail address
  "</?(?:a|b|code|em|i|small|span|strong|sub|sup|u)>", // HTML in the line
  `&(?:#?[${WORD}]+;|c(?![${WORD}])\\.?)`, // &amp; and &c.
  `(?<!.)[:;]-?[()DP](?![${WORD}])`, // :-)
  "[\\-=]*[<>]+[\\-=]*", // < >= -> ==>
  `${SPACED_DOTS}|\\.\\.+|''`,
  `--+|[—―⸺]+|[–‒]+|\\*+|\`+|#+|${GLUE}+`,
  `(?:[^${SPACES}${APART}]+`
    + "|(?<!')'(?!')" // can't
    + "|(?<=\\p{Nd})[,:–](?=\\p{Nd})" // 1,000 10:30 1914–18
    + `|\\.(?=[${WORD}])(?!(?<=[a-z]{2}\\.)[A-Z])` // 3.5 U.S, not end.The
    + "|(?<=[\\p{L}\\p{N}])_+(?=[\\p{L}\\p{N}])" // snake_case
    + `|(?<=[${WORD}])&(?=[${WORD}])` // AT&T
    + "|(?<!-)-(?![\\->]))+", // well-known
  "_+|.",
].join("|"), "gsu");
const GAP_AND_CHUNK = new RegExp(`([${SPACES}]*)(${SPACED_DOTS}[^${SPACES}]*|[^${SPACES}]+)`, "gu");
const INITIALS = /^(?:[\p{L}\p{Nl}\p{No}](?:\.[\p{L}\p{Nl}\p{No}])+|[A-HJ-ZÀ-ÖØ-Þ])$/u; // U.S.A, e.g; of a name
// Words that have lost their tail, kept whole within single quotes: goin', an', th', o'.
const CURTAILED = new RegExp(`^(?:[${WORD}][${WORD}]in|[aio]|an|th|wi|ha|ol|mo|tha|fo|ole|de|las|mos|jes)['’]$`, "iu");
const CLITIC = /^(.+?)(n['’]t|['’](?:[smd]|ll|re|ve))$/isu;
const SHAPES = [
  ["...", /^(?:\.\.+|…+)$/],
  ["--", /^(?:--+|[—―⸺]+)$/],
  ["–", /^[–‒]+$/],
  ["一", new RegExp(`^[${UNSPACED}]$`, "u")],
  ["<b>", /^<[a-z]+>$/],
  ["</b>", /^<\/[a-z]+>$/],
];
const [PLAIN, OWNER, OTHER_GAP] = ["dog", "dogs", "\t"];
const NO_SPACE = ["START", "OPENED", "TIGHT"];

export const isSpace = (text) => ONLY_SPACES.test(text);
export const withoutEndSpaces = (text) => text.replace(END_SPACES, "");
const fold = (token) => token.toLowerCase().replaceAll("’", "'");
const isGlue = (token) => [...token].every((sign) => sign === GLUE);
const character = (word, place) => String.fromCodePoint(word.codePointAt(place));

export class Treebank {
  // `tables` are those of `textgen.treebank.tables`.
  constructor(tables) {
    const sets = (lists) => new Map(Object.entries(lists).map(([name, list]) => [name, new Set(list)]));
    const { words, spacing } = tables;
    this.abbreviations = new Set(words.abbreviations);
    this.beheaded = new Set(words.beheaded);
    this.common = new Set(words.common);
    this.noOwners = new Set(words.no_owners);
    this.clitics = new Set(words.clitics);
    this.contractions = new Map(Object.entries(words.contractions));
    this.halves = new Set([...this.contractions.values()].flat());
    this.kinds = new Map(Object.entries(spacing.kinds));
    this.partners = sets(spacing.partners);
    this.toggles = new Set(spacing.toggles);
    this.lowQuotes = new Map(Object.entries(spacing.low_quotes));
    this.opens = new Map(Object.entries(spacing.opens));
    this.closes = sets(spacing.closes);
    this.edges = new Map(Object.entries(spacing.edges));
    this.habitBefore = new Map(Object.entries(spacing.habit_before));
    this.habitAfter = new Map(Object.entries(spacing.habit_after));
    this.sentenceGaps = new Set(spacing.sentence_gaps);
    this.habitualGaps = new Set(spacing.habitual_gaps);
    this.paragraph = { edge: "START", partner: "", forced: null, open: new Set(), habits: spacing.habits };
  }

  // ---- text -> words

  tokenize(text) {
    const tokens = [];
    let state = this.paragraph;
    const take = (token) => {
      tokens.push(token);
      [, state] = this.step(state, this.shape(token));
    };
    text.split("\n").forEach((line, number) => {
      if (number > 0) take("\n");
      const body = withoutEndSpaces(line);
      for (const [, gap, chunk] of body.matchAll(GAP_AND_CHUNK)) {
        let before = gap; // the white space before the next token
        for (const token of this.splitChunk(chunk, state.open.has("'"))) {
          const [predicted] = this.step(state, this.shape(token));
          if (predicted !== before) take(before || GLUE);
          take(token);
          before = "";
        }
      }
      if (line !== body) take(line.slice(body.length));
    });
    return tokens;
  }

  // The tokens of a text without white space, but for a spaced ellipsis; `quoting`: whether a
  // quotation in single quotes is open, so that ' may close it.
  splitChunk(chunk, quoting) {
    const tokens = [];
    let isQuoting = quoting;
    for (const [piece] of chunk.matchAll(PIECES)) {
      if (piece === "." && tokens.length && this.keepsPeriod(tokens.at(-1))) {
        tokens[tokens.length - 1] += ".";
      } else if (piece.includes("'") || piece.includes("’")) {
        const parts = this.splitApostrophes(piece, isQuoting);
        tokens.push(...parts);
        isQuoting ||= parts.includes("'");
      } else if (piece[0] === GLUE) {
        tokens.push(GLUE + piece);
      } else {
        tokens.push(...this.splitContraction(piece));
        isQuoting ||= piece === "‘";
      }
    }
    return tokens;
  }

  keepsPeriod(word) { return this.abbreviations.has(word) || INITIALS.test(word); }

  // Whether a period after a word is its own, in small letters too, so that it ends no sentence.
  isAbbreviation(word) {
    const [first = "", ...rest] = word;
    return this.keepsPeriod(word) || this.keepsPeriod(first.toUpperCase() + rest.join("").toLowerCase());
  }

  splitApostrophes(word, quoting) {
    if (word.length === 1 || word === "''") return [word];
    const head = this.opensQuotation(word, quoting) ? word[0] : "";
    const rest = word.slice(head.length);
    const closes = "'’".includes(rest.at(-1)) && rest.length > 1 && this.closesQuotation(rest, quoting || head !== "");
    const tail = closes ? rest.at(-1) : "";
    const middle = this.splitContraction(rest.slice(0, rest.length - tail.length));
    return [head, ...middle, tail].filter((token) => token !== "");
  }

  opensQuotation(word, quoting) {
    if (word[0] !== "'" || !/^\p{L}/u.test(character(word, 1)) || this.clitics.has(fold(word))) return false;
    const [stem] = word.slice(1).toLowerCase().split(/['’-]/);
    if (this.beheaded.has(stem)) return false;
    if (/^\p{Uppercase}/u.test(character(word, 1))) return true;
    return !quoting && (word.at(-1) === "'" || this.common.has(stem));
  }

  // Whether the last apostrophe is a token: of a quotation, or of a genitive (dogs').
  closesQuotation(word, quoting) {
    return quoting ? !CURTAILED.test(word) : this.mayOwn(word.slice(0, -1));
  }

  splitContraction(word) {
    const halves = this.contractions.get(fold(word));
    if (halves) return [word.slice(0, halves[0].length), word.slice(halves[0].length)];
    const clitic = word.includes("'") || word.includes("’") ? CLITIC.exec(word) : null;
    return clitic ? clitic.slice(1) : [word];
  }

  mayOwn(word) { return /[sS]$/.test(word) && !this.noOwners.has(fold(word)); }

  // ---- words -> text

  // A decoder: `push(token)` returns the text that a token adds, with the white space before it.
  detokenizer() {
    let state = this.paragraph;
    return { push: (token) => {
      const [gap, after] = this.step(state, this.shape(token));
      state = after;
      return gap + this.written(token);
    } };
  }

  // The text of a token by itself: none of glue, and of a run of it one sign less.
  written(token) { return token !== "" && isGlue(token) ? token.slice(1) : token; }

  // A typical token that the rule treats like this one.
  shape(token) {
    if (PLAIN_WORD.test(token)) {
      const folded = token.toLowerCase();
      return this.halves.has(folded) ? folded : this.plain(token);
    }
    if (isSpace(token) || token === GLUE) return this.shapeOfSpace(token);
    if (this.kinds.has(token)) return token;
    const folded = fold(token);
    if (this.clitics.has(folded) || this.halves.has(folded)) return folded;
    return SHAPES.find(([, form]) => form.test(token))?.[0] ?? this.plain(token);
  }

  plain(token) { return this.mayOwn(token) ? OWNER : PLAIN; }

  shapeOfSpace(token) {
    if (token.includes("\n")) return token === "\n" ? "\n" : "\n\n";
    return token === GLUE || this.sentenceGaps.has(token) || this.habitualGaps.has(token) ? token : OTHER_GAP;
  }

  // The white space before a token, given by its shape, and the state after it.
  step(state, token) {
    if (isSpace(token) || token === GLUE) return ["", this.afterSpace(state, token)];
    const kind = this.direct(state, token, this.kinds.get(token) ?? "WORD");
    const habit = this.habit(state, kind);
    return [this.gap(state, token, kind, habit), {
      edge: this.edge(state, token, kind),
      partner: this.partners.has(token) ? token : "",
      forced: null,
      open: this.opened(state, token, kind),
      habits: this.learn(state, kind, habit),
    }];
  }

  afterSpace(state, token) {
    if (token.includes("\n")) {
      if (token !== "\n" || state.edge === "START") return this.paragraph; // after a blank line
      return { ...state, edge: "START", partner: "", forced: null };
    }
    const forced = (state.forced ?? "") + this.written(token);
    const habits = this.sentenceGaps.has(token) ? { ...state.habits, sentence: token } : state.habits;
    return { ...state, forced: this.habitualGaps.has(forced) ? forced : OTHER_GAP, habits };
  }

  // Decides what a token does here that can do several things.
  direct(state, token, kind) {
    if (kind === "HASH") return state.edge === "START" ? "WORD" : "OPEN";
    if (kind !== "TOGGLE") return state.open.has(this.lowQuotes.get(token)) ? "CLOSE" : kind;
    if (token === "*" && ["START", "BULLET"].includes(state.edge)) return "WORD";
    return this.opensHere(state, token) ? "OPEN" : "CLOSE";
  }

  opensHere(state, toggle) {
    if (["START", "OPENED"].includes(state.edge)) return true;
    if (state.forced !== null) return state.forced !== "";
    return !state.open.has(toggle) && !(toggle === "'" && state.edge === "OWNER");
  }

  // The habit that sets the space between the last token and this kind, if one does.
  habit(state, kind) {
    if (NO_SPACE.includes(state.edge)) return undefined;
    return ["WORD", "OPEN", "GUILLEMET"].includes(kind) ? this.habitAfter.get(state.edge) : this.habitBefore.get(kind);
  }

  // The habits, changed if a spacing token has just set the space that is one's to set.
  learn(state, kind, habit) {
    const teaches = this.habitBefore.has(kind) || state.edge === "GUILLEMET";
    if (habit === undefined || !teaches || state.forced === null || !this.habitualGaps.has(state.forced)) return state.habits;
    return { ...state.habits, [habit]: state.forced };
  }

  gap(state, token, kind, habit) {
    if (state.forced !== null || NO_SPACE.includes(state.edge)) return "";
    if (habit !== undefined) return state.habits[habit];
    if (["CLOSE", "PERIOD", "UNSPACED"].includes(kind)) return "";
    return this.partners.get(state.partner)?.has(token) ? "" : " ";
  }

  edge(state, token, kind) {
    let edge = this.edges.get(kind) ?? "SPACE";
    if (kind === "OPEN" && this.toggles.has(token)) edge = "TIGHT"; // unlike after a bracket, the next one may close
    else if (kind === "DOTS" && NO_SPACE.includes(state.edge)) edge = "TIGHT";
    else if (kind === "WORD" && token === "*") edge = "BULLET";
    else if (token === OWNER) edge = "OWNER";
    else if (kind === "CLOSE" && state.edge === "STOP" && !this.clitics.has(token)) edge = "STOP";
    return edge === "STOP" && state.habits.sentence === " " ? "SPACE" : edge;
  }

  // The quotes and emphasis that are open after a token.
  opened(state, token, kind) {
    const open = new Set(state.open);
    if (state.edge === "BULLET" && state.forced === "") open.add("*"); // it touches its word: emphasis
    if (kind === "OPEN" && this.opens.has(token)) open.add(this.opens.get(token));
    else if (kind === "CLOSE") for (const one of this.closes.get(token) ?? []) open.delete(one);
    return open;
  }
}
