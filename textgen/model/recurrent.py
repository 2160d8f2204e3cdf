"""Keras' LSTM, GRU and SimpleRNN with a faster training step.

Each class is a drop-in subclass: same arguments, weights, names and `get_config` as in Keras, so
weights move freely between it and the stock layer. Only `inner_loop`, the part that runs over time,
is replaced:

- the input projection `x @ W + b` of all time steps is one product before the loop;
- the loop holds `h @ U` and the gates, and overwrites its input with the gates in place;
- the backward pass (`tf.custom_gradient`) computes for all steps at once what does not depend on
  the recurrence; its loop holds a few multiplications and `dz @ U^T`; `dU = sum_t h[t-1]^T dz[t]`
  is one product after it.

This pays when the training step is compiled with XLA (`model.compile(jit_compile=True)`). XLA runs
a loop body of at most eight kernels without its scheduler, which is why each loop carries and
stores no more than it must. With options that the fast path does not cover, and with `use_cudnn`,
the layer is Keras' own.

Where a text is many documents, the state is empty before the first token of each. That is told by
`keep`, (T, B, 1): 0 at these tokens and 1 elsewhere. A state is multiplied by that of the next step
where it is made, in the same kernel. `keep` comes in a sequence, which is empty for other texts.

Shapes: B batch, T time, D input size, H hidden size, G = (gates x H). In the loops time is first.
Formulas: LSTM, Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; GRU, Cho
et al. 2014 (https://arxiv.org/abs/1406.1078). Gates in Keras' order: LSTM i f c o, GRU z r h.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from textgen.model.backend import keras, tf

Tensors = list[tf.Tensor]
Keep = Sequence[tf.Tensor]
with_gradient: Callable[[Callable[..., Any]], Callable[..., Any]] = tf.custom_gradient
"""`tf.custom_gradient`, with the types that TensorFlow lacks."""
Step = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]


def scan(
    step: Step, sequences: Tensors, buffers: Tensors, state: Tensors, reverse: bool = False
) -> tuple[Tensors, Tensors]:
    """Runs `step(inputs at t, state) -> state, outputs` over time.

    Args:
        step: one time step. Its inputs are the slices (B, ...) of `sequences`, then of `buffers`.
        sequences: tensors (T, B, ...), only read.
        buffers: tensors (T, B, ...), overwritten in place: slice t is replaced by an output.
        state: the state before the first step, tensors (B, H).
        reverse: from the last time step to the first.

    Returns:
        The overwritten buffers; the last state.
    """
    length = tf.shape(buffers[0])[0]
    arrays = [tf.TensorArray(b.dtype, length, clear_after_read=False).unstack(b) for b in buffers]

    def body(i: tf.Tensor, state: Tensors, arrays: list[tf.TensorArray]) -> tuple[Any, ...]:
        t = length - 1 - i if reverse else i
        inputs = [x[t] for x in sequences] + [array.read(t) for array in arrays]
        state, outputs = step(inputs, state)
        return i + 1, state, [a.write(t, y) for a, y in zip(arrays, outputs, strict=True)]

    _, state, arrays = tf.while_loop(lambda i, *_: i < length, body, (0, state, arrays))
    stacked = [tf.ensure_shape(a.stack(), b.shape) for a, b in zip(arrays, buffers, strict=True)]
    return stacked, state


def product(state: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns state @ kernel, computed in the kernel's precision, as float32."""
    return tf.cast(tf.cast(state, kernel.dtype) @ kernel, tf.float32)


def apart(matrix: tf.Tensor) -> tf.Tensor:
    """Returns a right factor with 16 columns of zeros more, where its rows lie badly in memory.

    Rows that begin a multiple of 4096 bytes apart fall into the same few sets of a processor's
    cache and push each other out. Without that, products of 50 rows with a (512, 2048) kernel were
    1.1 to 1.25 times as fast (AMD Zen 3). Whoever multiplies with it cuts the columns off.
    """
    columns, size = matrix.shape[1], matrix.dtype.size
    return tf.pad(matrix, [[0, 0], [0, 16]]) if columns * size % 4096 == 0 else matrix


def summed_product(left: tf.Tensor, right: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns sum over t of left[t]^T right[t] as one product: (..., H), (..., G) -> (H, G)."""
    rows = [tf.cast(tf.reshape(x, (-1, x.shape[-1])), dtype) for x in (left, right)]
    return tf.matmul(rows[0], apart(rows[1]), transpose_a=True)[:, : right.shape[-1]]


def states_before(first: tf.Tensor, states: tf.Tensor, keep: Keep) -> tf.Tensor:
    """Returns the state before each step, (T, B, H): `first`, then `states` without the last."""
    return kept(tf.concat([first[None], states[:-1]], 0), keep)


def kept(state: tf.Tensor, keep: Keep) -> tf.Tensor:
    """Returns a state, 0 where a document begins."""
    return state * keep[0] if keep else state


def at_start(state: tf.Tensor, keep: Keep) -> tf.Tensor:
    """Returns the state before the first step, (B, H), 0 where a document begins with it."""
    return kept(state, [each[0] for each in keep])


def of_next_step(keep: Keep) -> Tensors:
    """Returns `keep` of the step after each; whoever reads on has not said yet: 1."""
    return [tf.concat([each[1:], tf.ones_like(each[:1])], 0) for each in keep]


def lstm(z: tf.Tensor, h0: tf.Tensor, c0: tf.Tensor, u: tf.Tensor, keep: Keep = ()) -> Any:
    """Runs an LSTM over time.

        i, f, g, o = gates(z[t] + h @ u);  c' = f c + i g;  h' = o tanh(c')

    All gates share one tanh, since sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: the caller has halved the
    columns of `z` and `u` that belong to i, f and o.

    Args:
        z: projected inputs, (T, B, 4H).
        h0, c0: initial state, (B, H).
        u: recurrent kernel, (H, 4H).
        keep: see the module's head.

    Returns:
        h of all steps, (T, B, H); the last h and c, (B, H).
    """

    @with_gradient
    def run(z: tf.Tensor, h0: tf.Tensor, c0: tf.Tensor, u: tf.Tensor) -> Any:
        kernel, columns, keep_next = apart(u), u.shape[1], of_next_step(keep)
        first = [at_start(x, keep) for x in (h0, c0)]

        def gates(tanh: tf.Tensor) -> Tensors:
            i, f, g, o = tf.split(tanh, 4, axis=-1)
            return [0.5 * i + 0.5, 0.5 * f + 0.5, g, 0.5 * o + 0.5]

        def step(inputs: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
            (*now, z, _), (h, c) = inputs, state
            tanh = tf.tanh(z + product(h, kernel)[:, :columns])
            i, f, g, o = gates(tanh)
            c = f * c + i * g
            return [kept(o * tf.tanh(c), now), kept(c, now)], [tanh, c]

        (tanh, cs), (h, c) = scan(step, keep_next, [z, tf.zeros_like(z[..., : u.shape[0]])], first)
        hs = gates(tanh)[3] * tf.tanh(cs)

        def gradient(dhs: tf.Tensor, dh: tf.Tensor, dc: tf.Tensor) -> Tensors:
            i, f, g, o = gates(tanh)
            tanh_c, u_transposed = tf.tanh(cs), tf.transpose(u)
            # dz = slopes * (dc, dc, dc, dh); the 2 undoes the caller's halving
            slopes = tf.concat(
                [
                    2 * i * (1 - i) * g,
                    2 * f * (1 - f) * states_before(c0, cs, keep),
                    i * (1 - g * g),
                    2 * o * (1 - o) * tanh_c,
                ],
                2,
            )
            f_next = tf.concat([kept(f, keep)[1:], tf.ones_like(f[:1])], 0)

            def step_back(inputs: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
                *now, dh_out, c_slope, f_next, slopes = inputs
                dh = kept(state[0], now) + dh_out
                dc = state[1] * f_next + dh * c_slope
                dz = tf.concat([dc, dc, dc, dh], 1) * slopes
                return [product(dz, u_transposed), dc], [dz]

            (dz,), (dh0, dc) = scan(
                step_back,
                [*keep_next, dhs, o * (1 - tanh_c * tanh_c), f_next],
                [slopes],
                [dh, dc],
                reverse=True,
            )
            dh0, dc0 = (at_start(x, keep) for x in (dh0, dc * f[0]))
            return [dz, dh0, dc0, summed_product(states_before(h0, hs, keep), dz, u.dtype)]

        return (hs, h, c), gradient

    return run(z, h0, c0, u)


def gru(z: tf.Tensor, h0: tf.Tensor, u: tf.Tensor, bias: tf.Tensor, keep: Keep = ()) -> Any:
    """Runs a GRU with the reset gate after the product (`reset_after=True`) over time.

        v = h @ u + bias;  z, r = sigmoid(z_zr[t] + v_zr);  g = tanh(z_h[t] + r v_h)
        h' = z h + (1 - z) g

    Args:
        z: projected inputs, (T, B, 3H).
        h0: initial state, (B, H).
        u: recurrent kernel, (H, 3H).
        bias: recurrent bias, (3H,).
        keep: see the module's head.

    Returns:
        h of all steps, (T, B, H); the last h, (B, H).
    """

    @with_gradient
    def run(z: tf.Tensor, h0: tf.Tensor, u: tf.Tensor, bias: tf.Tensor) -> Any:
        kernel, size, keep_next = apart(u), u.shape[0], of_next_step(keep)

        def step(inputs: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
            (*now, z, _, _), (h,) = inputs, state
            v = product(h, kernel)[:, : 3 * size] + bias
            gates = tf.sigmoid(z[:, : 2 * size] + v[:, : 2 * size])
            update, reset = tf.split(gates, 2, axis=1)
            g = tf.tanh(z[:, 2 * size :] + reset * v[:, 2 * size :])
            h = update * h + (1 - update) * g
            return [kept(h, now)], [tf.concat([gates, g], 1), v[:, 2 * size :], h]

        empty = tf.zeros_like(z[..., :size])
        (activated, vs, hs), (h,) = scan(step, keep_next, [z, empty, empty], [at_start(h0, keep)])

        def gradient(dhs: tf.Tensor, dh: tf.Tensor) -> Tensors:
            update, reset, g = tf.split(activated, 3, axis=2)
            h_before, u_transposed = states_before(h0, hs, keep), tf.transpose(u)
            g_slope = (1 - update) * (1 - g * g)
            # dv = slopes * (dh, dh, dh)
            slopes = tf.concat(
                [
                    (h_before - g) * update * (1 - update),
                    g_slope * vs * reset * (1 - reset),
                    g_slope * reset,
                ],
                2,
            )

            def step_back(inputs: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
                *now, update, slopes, dh_out = inputs
                dh = kept(state[0], now) + dh_out
                dv = tf.concat([dh, dh, dh], 1) * slopes
                return [dh * update + product(dv, u_transposed)], [dv, dh]

            (dv, dhs), (dh0,) = scan(
                step_back, [*keep_next, update], [slopes, dhs], [dh], reverse=True
            )
            dz = tf.concat([dv[..., : 2 * size], dhs * g_slope], 2)
            du = summed_product(h_before, dv, u.dtype)
            return [dz, at_start(dh0, keep), du, tf.reduce_sum(dv, (0, 1))]

        return (hs, h), gradient

    return run(z, h0, u, bias)


def simple_rnn(z: tf.Tensor, h0: tf.Tensor, u: tf.Tensor, keep: Keep = ()) -> Any:
    """Runs an Elman network over time: h' = tanh(z[t] + h @ u).

    Args and returns as for `gru`, with z (T, B, H), u (H, H), and no `bias`.
    """

    @with_gradient
    def run(z: tf.Tensor, h0: tf.Tensor, u: tf.Tensor) -> Any:
        kernel, size, keep_next = apart(u), u.shape[0], of_next_step(keep)

        def step(inputs: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
            *now, z = inputs
            h = tf.tanh(z + product(state[0], kernel)[:, :size])
            return [kept(h, now)], [h]

        (hs,), (h,) = scan(step, keep_next, [z], [at_start(h0, keep)])

        def gradient(dhs: tf.Tensor, dh: tf.Tensor) -> Tensors:
            u_transposed = tf.transpose(u)

            def step_back(inputs: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
                *now, dh_out, slope = inputs
                dz = (kept(state[0], now) + dh_out) * slope
                return [product(dz, u_transposed)], [dz]

            (dz,), (dh0,) = scan(step_back, [*keep_next, dhs], [1 - hs * hs], [dh], reverse=True)
            before = states_before(h0, hs, keep)
            return [dz, at_start(dh0, keep), summed_product(before, dz, u.dtype)]

        return (hs, h), gradient

    return run(z, h0, u)


@with_gradient
def look_up(table: tf.Tensor, ids: tf.Tensor) -> Any:
    """Returns rows of a table: (V, G), (N,) -> (N, G).

    The table's gradient is a product, which XLA makes faster than it adds up rows.
    """

    def gradient(rows: tf.Tensor) -> tuple[tf.Tensor, None]:
        chosen = tf.one_hot(ids, table.shape[0], dtype=rows.dtype)  # (N, V)
        return summed_product(chosen, rows, rows.dtype), None

    return tf.gather(table, ids), gradient


class FastLayer:
    """A mixin for a Keras layer: runs its own loop over time where options and machine allow.

    The first layer may read token ids, (B, T, 1), int32, instead of token vectors: see
    `read_tokens`.
    """

    _keep: tf.Tensor | None = None
    vectors: Callable[[], tf.Tensor] | None = None
    """Returns the token vectors, (V, D), of a layer that reads token ids."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_fast():
            self.supports_jit = True  # Keras forbids XLA where it hopes for cuDNN

    def read_tokens(self, embedding: keras.layers.Embedding) -> None:
        """Has this layer look tokens up itself, in the vectors of a layer that is built.

        Where tokens are fewer than what is read at once, all of them are projected and then
        looked up, and not the other way about: that saves two tall products, of which there are
        six in a layer of the usual sizes.
        """
        self.vectors = lambda: embedding.embeddings  # a layer held here would be saved here too

    def build(self, sequences_shape: Any, *shapes: Any) -> None:
        """Makes the weights for inputs (B, T, D), or for token ids (B, T, 1)."""
        layer: Any = super()
        if self.vectors is not None:
            sequences_shape = (*sequences_shape[:-1], self.vectors().shape[1])
        layer.build(sequences_shape, *shapes)

    def project(self, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Returns what the gates receive from the inputs of all steps, as one product, float32.

        Args:
            x: (T, B, D), or token ids (T, B, 1).
            kernel: (D, G).
            bias: (G,).
        """
        if self.vectors is None:
            return project(x, kernel, bias)
        ids, vectors = x[..., 0], tf.cast(self.vectors(), kernel.dtype)
        if vectors.shape[0] > math.prod(filter(None, ids.shape)):
            return project(tf.gather(vectors, ids), kernel, bias)
        rows = look_up(project(vectors, kernel, bias), tf.reshape(ids, [-1]))
        return tf.reshape(rows, [*tf.unstack(tf.shape(ids)), bias.shape[0]])

    def is_fast(self) -> bool:
        """Tells whether options and machine allow the fast path."""
        cell: Any = self.cell  # type: ignore[attr-defined]
        layer: Any = self
        sigmoid = keras.activations.sigmoid
        return bool(
            cell.activation is keras.activations.tanh
            and getattr(cell, "recurrent_activation", sigmoid) is sigmoid
            and cell.use_bias
            and not (cell.dropout or cell.recurrent_dropout or layer.unroll or layer.go_backwards)
            and getattr(layer, "use_cudnn", "auto") != True  # noqa: E712  ("auto" is not True)
        )

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        keep: tf.Tensor | None = None,
    ) -> Any:
        """As Keras' own; with `keep`, (B, T, 1), the state is empty before steps where it is 0."""
        layer: Any = super()
        self._keep = keep
        try:
            return layer.call(sequences, initial_state=initial_state, mask=mask, training=training)
        finally:
            self._keep = None

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Any, mask: Any, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
        """Runs over time; Keras' `RNN.call` around it deals with state and casts.

        Args:
            sequences: (B, T, D).
            initial_state: one tensor (B, H) per state.
            mask: where it is not None, Keras' own loop runs.
            training: for Keras' own loop.

        Returns:
            The last output, (B, H); all outputs, (B, T, H); the final state.
        """
        if mask is not None or not self.is_fast():
            layer: Any = super()
            return layer.inner_loop(sequences, initial_state, mask, training)  # type: ignore[no-any-return]
        state = [tf.cast(x, tf.float32) for x in initial_state]
        keep = [] if self._keep is None else [tf.cast(self._keep, tf.float32)]
        x, *keep = (tf.transpose(each, (1, 0, 2)) for each in (sequences, *keep))
        outputs, *state = self.run(x, state, keep)
        return state[0], tf.transpose(outputs, (1, 0, 2)), state

    def run(self, x: tf.Tensor, state: Tensors, keep: Keep) -> Tensors:
        """Maps inputs (T, B, D) and the initial state to outputs (T, B, H) and the final state.

        States, gates and outputs are float32 whatever the precision of the products.
        """
        raise NotImplementedError


def project(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns x @ kernel + bias for all steps as one product, (T, B, D) -> (T, B, G), float32."""
    return tf.cast(tf.tensordot(x, kernel, axes=1), tf.float32) + bias


@keras.saving.register_keras_serializable("textgen")
class LSTM(FastLayer, keras.layers.LSTM):
    """`keras.layers.LSTM`, faster under XLA; see the module's head.

    Example: `LSTM(128, return_sequences=True, stateful=True)`
    """

    def run(self, x: tf.Tensor, state: Tensors, keep: Keep) -> Tensors:
        kernel, u, bias = weights_of(self.cell)
        half_but_g = tf.repeat(tf.constant([0.5, 0.5, 1.0, 0.5]), self.units)
        kernel, u = (w * tf.cast(half_but_g, w.dtype) for w in (kernel, u))
        h0, c0 = state
        return list(lstm(self.project(x, kernel, bias * half_but_g), h0, c0, u, keep))


@keras.saving.register_keras_serializable("textgen")
class GRU(FastLayer, keras.layers.GRU):
    """`keras.layers.GRU`, faster under XLA with `reset_after`; see the module's head."""

    def is_fast(self) -> bool:
        return self.reset_after and super().is_fast()

    def run(self, x: tf.Tensor, state: Tensors, keep: Keep) -> Tensors:
        kernel, u, bias = weights_of(self.cell)
        input_bias, bias = tf.unstack(bias)
        return list(gru(self.project(x, kernel, input_bias), state[0], u, bias, keep))


@keras.saving.register_keras_serializable("textgen")
class SimpleRNN(FastLayer, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN`, faster under XLA; see the module's head."""

    def run(self, x: tf.Tensor, state: Tensors, keep: Keep) -> Tensors:
        kernel, u, bias = weights_of(self.cell)
        return list(simple_rnn(self.project(x, kernel, bias), state[0], u, keep))


def weights_of(cell: keras.layers.Layer) -> Tensors:
    """Returns kernel (D, G) and recurrent kernel (H, G) in the compute dtype, and the bias."""
    kernel, u = (tf.cast(w, cell.compute_dtype) for w in (cell.kernel, cell.recurrent_kernel))
    return [kernel, u, tf.cast(cell.bias, tf.float32)]


class CellLayers(NamedTuple):
    """The classes of a cell's Keras layers, which have the same arguments and weights."""

    trained: type[keras.layers.RNN]
    saved: type[keras.layers.RNN]
    """The layer in `model.h5`."""


LAYERS = {
    "lstm": CellLayers(LSTM, keras.layers.LSTM),
    "gru": CellLayers(GRU, keras.layers.GRU),
    "rnn": CellLayers(SimpleRNN, keras.layers.SimpleRNN),
}
"""By `ModelSettings.cell`; the other half of `textgen.model.architecture.CELLS`.

How a cell is added that Keras lacks says docs/architecture.md. Whoever opens its `model.h5` with
plain Keras imports this module first; textgen itself reads arrays only, and needs no such thing.
"""
