// The weights of the page: numbers of 32, 16 or 8 bits, one array after the other, in base64.

// The check of bytes that are in the page (CRC-32, as zip files have it), in hexadecimal.
export function checkOf(bytes) {
  const table = Int32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    return value;
  });
  let sum = -1;
  for (let i = 0; i < bytes.length; i += 1) sum = table[(sum ^ bytes[i]) & 255] ^ (sum >>> 8);
  return (~sum >>> 0).toString(16).padStart(8, "0");
}

export function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// Numbers of 16 bits, each a sign, 5 bits of exponent and 10 of fraction; of 32 in older browsers.
function halves(buffer, at, count) {
  if (globalThis.Float16Array) return new Float16Array(buffer, at, count);
  const numbers = new Uint16Array(buffer, at, count), values = new Float32Array(count);
  for (let i = 0; i < count; i += 1) {
    const bits = numbers[i], exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction;
    values[i] = bits >> 15 ? -size : size;
  }
  return values;
}

// How the numbers of each kind are read: `at` is where they begin, `count` how many there are.
const READERS = {
  float32: (bytes, { at, count }) => new Float32Array(bytes.buffer, at, count),
  float16: (bytes, { at, count }) => halves(bytes.buffer, at, count),
  // A scale for each row, then the rows.
  int8: (bytes, { at, count, rows }) => {
    const scales = new Float32Array(bytes.buffer, at, rows), columns = count / rows;
    const values = new Float32Array(new Int8Array(bytes.buffer, at + 4 * rows, count));
    for (let row = 0, i = 0; row < rows; row += 1) for (const end = i + columns; i < end; i += 1) values[i] *= scales[row];
    return values;
  },
};

// The arrays by name that are in bytes, each with its values and how many rows they are; `described` are the facts of
// each: name, kind, at, count, rows.
export function readArrays(described, bytes) {
  return Object.fromEntries(described.map((one) => [
    one.name, { values: READERS[one.kind](bytes, one), rows: one.rows },
  ]));
}
