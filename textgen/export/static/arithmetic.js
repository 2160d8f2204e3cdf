// Products of matrices and vectors, where WebAssembly computes them: ten times as fast as JavaScript,
// which does it in browsers without.

const PAGE = 65536; // bytes, of WebAssembly's memory

const wide = (size) => Math.ceil(size / 4) * 4; // four numbers are computed at a time

// The numbers that a matrix, or a vector, takes in the memory.
export const room = (rows, columns = 1) => wide(rows) * (columns === 1 ? 1 : wide(columns));

export class Arithmetic {
  // `code` is product.wasm, `numbers` how many the memory is to hold.
  constructor(code, numbers) {
    const bytes = 4 * numbers;
    try {
      const { memory, product } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports;
      memory.grow(Math.ceil(bytes / PAGE));
      this.buffer = memory.buffer;
      this.multiply = product;
    } catch { // no WebAssembly here, or none that computes four numbers at a time
      this.buffer = new ArrayBuffer(bytes);
      this.multiply = (...places) => multiply(new Float32Array(this.buffer), ...places);
    }
    this.used = 0; // bytes
  }

  // A vector of zeros in the memory, or of `values`.
  vector(size, values) {
    const made = new Float32Array(this.buffer, this.used, size);
    this.used += 4 * wide(size);
    if (values) made.set(values);
    return made;
  }

  // A matrix of `values` in the memory, row by row.
  matrix(values, rows) {
    const columns = values.length / rows, padded = wide(columns);
    const made = this.vector(wide(rows) * padded);
    if (padded === columns) made.set(values);
    else for (let row = 0; row < rows; row += 1) made.set(values.subarray(row * columns, (row + 1) * columns), row * padded);
    return { at: made.byteOffset, rows: wide(rows), bytes: 4 * padded };
  }

  // Writes matrix @ vector + bias to `out`; the last three are vectors of the memory.
  product(matrix, vector, bias, out) {
    this.multiply(matrix.at, vector.byteOffset, bias.byteOffset, out.byteOffset, matrix.rows, matrix.bytes);
  }
}

// What product.wasm does.
export function multiply(numbers, matrix, vector, bias, out, rows, bytes) {
  const columns = bytes / 4, [m, x, b, y] = [matrix, vector, bias, out].map((address) => address / 4);
  for (let row = 0, at = m; row < rows; row += 1, at += columns) {
    let sum = 0, other = 0; // two sums, which do not wait for each other
    for (let k = 0; k < columns; k += 2) {
      sum += numbers[at + k] * numbers[x + k];
      other += numbers[at + k + 1] * numbers[x + k + 1];
    }
    numbers[y + row] = sum + other + numbers[b + row];
  }
}
