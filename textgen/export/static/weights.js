// The weights of the page: numbers of 32, 16 or 8 bits, one array after the other, in base64.

// The check of a text that is in the page (CRC-32, as zip files have it), in hexadecimal.
export function checkOf(text) {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    return value;
  });
  let sum = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) sum = table[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ((sum ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}

export function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// Every number of 16 bits as one of 32: sign, 5 bits of exponent, 10 of fraction.
function halves() {
  return Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
    const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  });
}

// How the numbers of each kind are read: `at` is where they begin, `count` how many there are.
const READERS = {
  float32: (bytes, { at, count }) => new Float32Array(bytes.buffer, at, count),
  float16: (bytes, { at, count }, tables) => {
    tables.halves ??= halves();
    return new Float32Array(new Uint16Array(bytes.buffer, at, count)).map((bits) => tables.halves[bits]);
  },
  // A scale for each row, then the rows.
  int8: (bytes, { at, count, rows }) => {
    const scales = new Float32Array(bytes.buffer, at, rows), columns = count / rows;
    const values = new Float32Array(new Int8Array(bytes.buffer, at + 4 * rows, count));
    for (let i = 0; i < count; i += 1) values[i] *= scales[Math.floor(i / columns)];
    return values;
  },
};

// The arrays by name, each with its values and how many rows they are; `described` are the facts of
// each: name, kind, at, count, rows.
export function readArrays(described, base64) {
  const bytes = bytesOf(base64), tables = {};
  return Object.fromEntries(described.map((one) => [
    one.name, { values: READERS[one.kind](bytes, one, tables), rows: one.rows },
  ]));
}
