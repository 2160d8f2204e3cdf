// Pieces of words as tokens: byte-level byte-pair encoding, as textgen/tokens/subwords.py has it.
//
// Bytes are strings here whose characters are their numbers, so that they can be compared and cut.

import { Tokenizer, UNKNOWN_ID, endsSentence } from "./tokenizer.js";
import { SPACES, WORD } from "./treebank.js";

const LONGEST = 32; // characters of a part
const OTHER_SPACES = SPACES.replace("\\t-\\r\\x1c-\\x20", "\\t\\x0b-\\r\\x1c\\x1d\\x1f\\x20"); // but \n and \x1e
// A part: a newline, a word or a row of marks with the space before it, or other white space.
const PART = new RegExp(
  `[\\n\\x1e]| ?[${WORD}]{1,${LONGEST}}(?:['’][${WORD}]{1,${LONGEST}})?| ?[^${WORD}${SPACES}]{1,${LONGEST}}`
  + `|[${OTHER_SPACES}]{1,${LONGEST}}(?![^${SPACES}])|[${OTHER_SPACES}]`, "gu");
const REPLACED = "\ufffd"; // what is no UTF-8
const LONE_BYTES = 0xdc00; // a byte alone is a lone surrogate in the vocabulary, this and its number

// The bytes of a text; with `loneBytes` lone surrogates may be bytes, as those of tokens are.
export function bytesOfText(text, loneBytes = false) {
  let bytes = "";
  for (const sign of text) {
    const point = sign.codePointAt(0);
    if (loneBytes && point >= LONE_BYTES + 0x80 && point <= LONE_BYTES + 0xff) bytes += String.fromCharCode(point - LONE_BYTES);
    else if (point < 0x80) bytes += sign;
    else {
      const count = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3; // of the bytes that follow the first
      const first = [0, 0xc0, 0xe0, 0xf0][count] | (point >> (6 * count));
      const others = Array.from({ length: count }, (_, n) => 0x80 | ((point >> (6 * (count - 1 - n))) & 63));
      bytes += String.fromCharCode(first, ...others);
    }
  }
  return bytes;
}

// How many bytes follow the first one of a character, and what the second may be, least and most.
function shapeOf(first) {
  if (first < 0x80) return [0];
  if (first >= 0xc2 && first < 0xe0) return [1, 0x80, 0xbf];
  if (first >= 0xe0 && first < 0xf0) return [2, first === 0xe0 ? 0xa0 : 0x80, 0xbf];
  if (first >= 0xf0 && first < 0xf5) return [3, first === 0xf0 ? 0x90 : 0x80, first === 0xf4 ? 0x8f : 0xbf];
  return null;
}

// The text of bytes. Each of what is no UTF-8 becomes U+FFFD; lone surrogates stay.
export function textOfBytes(bytes) {
  let text = "", at = 0;
  while (at < bytes.length) {
    const first = bytes.charCodeAt(at), shape = shapeOf(first);
    let size = 1;
    if (shape) {
      const [count, least, most] = shape;
      let value = count ? first & (0x3f >> count) : first;
      for (; size <= count; size += 1) {
        const next = bytes.charCodeAt(at + size);
        if (!(next >= (size === 1 ? least : 0x80) && next <= (size === 1 ? most : 0xbf))) break;
        value = (value << 6) | (next & 63);
      }
      const isCutSurrogate = first === 0xed && size === 2 && bytes.charCodeAt(at + 1) >= 0xa0;
      if (isCutSurrogate) size = 1; // its second byte begins nothing either
      text += size > count ? String.fromCodePoint(value) : REPLACED;
    } else {
      text += REPLACED;
    }
    at += size;
  }
  return text;
}

// How many bytes at the end may be the beginning of a character.
function incomplete(bytes) {
  for (let count = 1; count <= Math.min(3, bytes.length); count += 1) {
    const byte = bytes.charCodeAt(bytes.length - count);
    if (byte >= 0xc0) {
      const needed = byte < 0xf5 ? 2 + (byte >= 0xe0) + (byte >= 0xf0) : 1;
      return count < needed ? count : 0;
    }
    if (byte < 0x80) return 0;
  }
  return 0;
}

export class Subwords extends Tokenizer {
  constructor(facts) {
    super(facts);
    const marks = new Set([UNKNOWN_ID, ...this.marks]);
    const all = facts.vocabulary.map((token) => bytesOfText(token, true));
    const ids = new Map(all.map((bytes, id) => [bytes, id]));
    this.spelled = all.map((bytes, id) => (marks.has(id) ? "" : bytes));
    this.singles = Array.from({ length: 256 }, (_, byte) => ids.get(String.fromCharCode(byte)));
    this.merges = new Map(); // by both ids: when they are merged, and what becomes of them
    for (let n = 0; n < facts.merges.length; n += 2) {
      const [one, other] = facts.merges.slice(n, n + 2);
      this.merges.set(this.pair(one, other), [n, ids.get(all[one] + all[other])]);
    }
    this.known = new Map(); // the ids of parts that were met
  }

  pair(one, other) { return one * this.vocabulary.length + other; }

  folded(text) { return this.facts.settings.lowercase ? text.toLowerCase() : text; }

  encode(text) { return (text.match(PART) ?? []).flatMap((part) => this.encodePart(bytesOfText(this.folded(part)))); }

  // The ids of bytes: the pair that was learned first is merged first, and the first of equals.
  encodePart(bytes) {
    const known = this.known.get(bytes);
    if (known) return known;
    const ids = [...bytes].map((byte) => this.singles[byte.charCodeAt(0)]);
    for (;;) {
      let best = null, place = -1;
      for (let n = 0; n + 1 < ids.length; n += 1) {
        const found = this.merges.get(this.pair(ids[n], ids[n + 1]));
        if (found && (!best || found[0] < best[0])) [best, place] = [found, n];
      }
      if (!best) break;
      ids.splice(place, 2, best[1]);
    }
    this.known.set(bytes, ids);
    return ids;
  }

  // The part that `text` ends with is typed only, as it may go on: that which a letter would join.
  goOn(text, whole) {
    const last = `${text}a`.match(PART).at(-1).slice(0, -1) || text.match(PART).at(-1);
    if (whole || last === "\n" || last === "\x1e") return { ids: this.encode(text), decoder: this.decoder() };
    const typed = bytesOfText(this.folded(last));
    return { ids: this.encode(text.slice(0, text.length - last.length)), decoder: this.decoder(typed), typed };
  }

  // Each is as such a text would be encoded, so that they exclude each other.
  openings(typed) {
    const pieces = [...this.spelled.entries()].filter(([, bytes]) => bytes !== "");
    const isEncoded = (ids) => String(this.encodePart(ids.map((id) => this.spelled[id]).join(""))) === String(ids);
    const done = [];
    let going = [[[], typed]];
    while (going.length) {
      const longer = [];
      for (const [ids, left] of going) {
        for (const [id, bytes] of pieces) {
          if (bytes.startsWith(left)) done.push([...ids, id]);
          else if (left.startsWith(bytes)) longer.push([[...ids, id], left.slice(bytes.length)]);
        }
      }
      going = longer.filter(([ids]) => isEncoded(ids));
    }
    return done.filter(isEncoded);
  }

  // Bytes that may be the beginning of a character are held back until it is whole.
  decoder(typed = "") {
    let left = typed; // what the first tokens spell before they add anything
    let held = "";
    const afterTyped = (bytes) => {
      const before = left;
      left = "";
      if (bytes.startsWith(before)) return bytes.slice(before.length);
      if (!before.startsWith(bytes)) return bytes;
      left = before.slice(bytes.length);
      return "";
    };
    return { push: (token) => {
      const bytes = held + afterTyped(bytesOfText(token, true));
      const whole = bytes.length - incomplete(bytes);
      held = bytes.slice(whole);
      return textOfBytes(bytes.slice(0, whole));
    } };
  }

  textOf(id) { return this.marks.has(id) ? this.vocabulary[id] : textOfBytes(this.spelled[id]); }

  endsPhrase(token) { return endsSentence(token); }
}
