// The network: a token id and a state -> the state after it -> logits. What textgen/model/network.py
// computes in NumPy.
//
// Shapes: V vocabulary, D input size of a layer, H its size, G its gates' numbers together. Matrices
// are stored row by row, a row for each number that comes out: (G, D), (G, H), (V, H).

import { Arithmetic, room } from "./arithmetic.js";

const NORM_EPSILON = 0.001; // Keras' default
const LARGEST_TABLE = 2 ** 21; // numbers that are kept of what the first layer makes of tokens

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// A step of each cell: `x` (G) is what it receives of its input, `u` (G) of its last output, both
// with their bias and in Keras' order of gates; `h` (H), and `c` (H) where there is one, are changed.
export const CELLS = {
  lstm: { gates: 4, hasMemory: true, step(x, u, h, c) { // i, f, g, o
    const size = h.length;
    for (let n = 0; n < size; n += 1) {
      const i = sigmoid(x[n] + u[n]);
      const f = sigmoid(x[size + n] + u[size + n]);
      const g = Math.tanh(x[2 * size + n] + u[2 * size + n]);
      const o = sigmoid(x[3 * size + n] + u[3 * size + n]);
      c[n] = f * c[n] + i * g;
      h[n] = o * Math.tanh(c[n]);
    }
  } },
  gru: { gates: 3, hasMemory: false, step(x, u, h) { // z, r, candidate
    const size = h.length;
    for (let n = 0; n < size; n += 1) {
      const z = sigmoid(x[n] + u[n]);
      const r = sigmoid(x[size + n] + u[size + n]);
      const g = Math.tanh(x[2 * size + n] + r * u[2 * size + n]);
      h[n] = g + z * (h[n] - g);
    }
  } },
  rnn: { gates: 1, hasMemory: false, step(x, u, h) {
    for (let n = 0; n < h.length; n += 1) h[n] = Math.tanh(x[n] + u[n]);
  } },
};

function normalize(vector, gamma, beta, out) {
  const size = vector.length;
  let mean = 0, variance = 0;
  for (const value of vector) mean += value / size;
  for (const value of vector) variance += (value - mean) ** 2 / size;
  const scale = 1 / Math.sqrt(variance + NORM_EPSILON);
  for (let n = 0; n < size; n += 1) out[n] = (vector[n] - mean) * scale * gamma[n] + beta[n];
}

// The numbers that the network of these arrays needs in the memory of `Arithmetic`.
function numbersOf({ rnn_size: size, num_layers: layers, cell }, width, arrays) {
  const vocabularySize = arrays["logits/bias"].rows, gates = CELLS[cell].gates * size;
  const matrices = Object.values(arrays).map((one) => room(one.rows, one.values.length / one.rows));
  const vectors = layers * (2 * room(gates) + 3 * room(size)) + 2 * room(gates) + room(width);
  return matrices.reduce((one, other) => one + other, vectors) + room(vocabularySize, size) + 2 * room(vocabularySize);
}

// A network and what it remembers of the tokens that it has read.
export class Network {
  // `settings` are those of the model, `layers` where the weights of each cell are, `arrays` the
  // weights by name, `code` is product.wasm.
  constructor(settings, layers, arrays, code) {
    const size = (this.size = settings.rnn_size);
    this.cell = CELLS[settings.cell];
    const gates = (this.gates = this.cell.gates * size); // G
    this.vocabularySize = arrays["logits/bias"].rows;
    this.embeddings = arrays["embedding/embeddings"]?.values; // (V, D); none where tokens are one-hot
    const width = (this.embeddings?.length ?? 0) / this.vocabularySize; // D
    const memory = (this.memory = new Arithmetic(code, numbersOf(settings, width, arrays)));
    const kernel = arrays["logits/kernel"]?.values ?? this.embeddings; // (V, H); tied: the same
    this.outputKernel = memory.matrix(kernel, this.vocabularySize);
    this.outputBias = memory.vector(this.vocabularySize, arrays["logits/bias"].values);
    this.logits = memory.vector(this.vocabularySize); // of the token after those that were read
    this.layers = layers.map((path, index) => {
      const bias = arrays[`${path}/bias`].values, isFirst = index === 0;
      return {
        kernel: isFirst && !width ? null : memory.matrix(arrays[`${path}/kernel`].values, gates), // (G, D)
        recurrentKernel: memory.matrix(arrays[`${path}/recurrent_kernel`].values, gates), // (G, H)
        bias: memory.vector(gates, bias.subarray(0, gates)),
        recurrentBias: memory.vector(gates, bias.length > gates ? bias.subarray(gates) : undefined),
        gamma: arrays[`norm_${index + 1}/gamma`]?.values, // (H); none without normalization
        beta: arrays[`norm_${index + 1}/beta`]?.values,
        isResidual: settings.residual && !isFirst,
        h: memory.vector(size),
        c: this.cell.hasMemory ? memory.vector(size) : null,
        result: memory.vector(size), // what the next layer reads
      };
    });
    this.oneHot = width ? null : arrays[`${layers[0]}/kernel`].values; // (G, V)
    this.token = width ? memory.vector(width) : null;
    this.inputs = memory.vector(gates);
    this.recurrent = memory.vector(gates);
    const isSmall = this.vocabularySize * gates <= LARGEST_TABLE;
    this.projected = isSmall ? new Array(this.vocabularySize) : null;
  }

  // What it remembers, as a list that `remember` takes.
  state() {
    return this.layers.flatMap(({ h, c, result }) => [h.slice(), c?.slice() ?? null, result.slice()]);
  }

  // Remembers what it did then; without an argument nothing, as before the first token.
  remember(state) {
    this.layers.flatMap(({ h, c, result }) => [h, c, result]).forEach((vector, place) => {
      if (vector && state) vector.set(state[place]);
      else vector?.fill(0);
    });
  }

  // Writes what the first layer's gates receive of a token to `inputs`, (G).
  project(id) {
    const known = this.projected?.[id];
    if (known) {
      this.inputs.set(known);
      return;
    }
    const [{ kernel, bias }] = this.layers;
    if (this.token) {
      this.token.set(this.embeddings.subarray(id * this.token.length, (id + 1) * this.token.length));
      this.memory.product(kernel, this.token, bias, this.inputs);
    } else { // a column of the kernel
      for (let n = 0; n < this.gates; n += 1) this.inputs[n] = this.oneHot[n * this.vocabularySize + id] + bias[n];
    }
    if (this.projected) this.projected[id] = this.inputs.slice();
  }

  // Reads a token.
  step(id) {
    let input = null;
    for (const { kernel, recurrentKernel, bias, recurrentBias, gamma, beta, isResidual, h, c, result } of this.layers) {
      if (input === null) this.project(id);
      else this.memory.product(kernel, input, bias, this.inputs);
      this.memory.product(recurrentKernel, h, recurrentBias, this.recurrent);
      this.cell.step(this.inputs, this.recurrent, h, c);
      if (gamma) normalize(h, gamma, beta, result);
      else result.set(h);
      if (isResidual) for (let n = 0; n < this.size; n += 1) result[n] += input[n];
      input = result;
    }
  }

  // Returns the logits of the next token, (V), until it is called again.
  predict() {
    this.memory.product(this.outputKernel, this.layers.at(-1).result, this.outputBias, this.logits);
    return this.logits;
  }
}
