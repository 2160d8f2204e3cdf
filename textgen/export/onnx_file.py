"""A model -> ONNX: one graph, with the state as input and output.

    inputs     ids (B, T), int64; h_1 (B, H), for LSTMs also c_1, and so on for each layer
    outputs    logits (B, T, V); next_h_1 (B, H), next_c_1 ...

B and T are free. ONNX' own recurrent operators compute what Keras' layers do; they have the gates
in another order, and a bias for each of the two products.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from textgen.export import ExportSettings
from textgen.export.states import NEXT, state_names
from textgen.model.architecture import (
    CELLS,
    NORM_EPSILON,
    Array,
    LayerDescription,
    describe_layers,
)
from textgen.model.checkpoint import Checkpoint
from textgen.support.errors import TextgenError
from textgen.support.files import explained, replacing

OPERATORS_VERSION = 17
"""The first that has layer normalization."""
FORMAT_VERSION = 8
"""Of the file: as old as these operators allow, so that old runtimes read it."""
OPERATORS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "lstm": ("LSTM", (0, 3, 1, 2), {}),
    "gru": ("GRU", (0, 1, 2), {"linear_before_reset": 1}),
    "rnn": ("RNN", (0,), {"activations": ["Tanh"]}),
}
"""By the cell: ONNX' name for it, which of Keras' blocks each of its gates is, its attributes.

Source: the operators' descriptions (https://onnx.ai/onnx/operators): i o f c, and z r h.
"""


def write(model: Checkpoint, path: Path, settings: ExportSettings, folder: Path) -> list[str]:
    """Writes the file. Raises TextgenError where that cannot be, or ONNX lacks the cell."""
    import onnx

    cell = model.metadata.model.cell
    if cell not in OPERATORS:
        raise TextgenError(
            f"ONNX has no operator for `cell` {cell}, only {', '.join(OPERATORS)}. Export to"
            " saved-model"
        )
    graph = Graph(model).build()
    onnx.checker.check_model(graph)
    with explained(path), replacing(path) as unfinished:
        onnx.save_model(graph, str(unfinished))
    return []


class Graph:
    """The graph of a model, made node by node.

    Args:
        model: the model.
    """

    def __init__(self, model: Checkpoint) -> None:
        self.settings, self.weights = model.metadata.model, model.weights
        self.tokenizer = model.metadata.tokenizer
        self.vocabulary_size = len(self.tokenizer.vocabulary)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def build(self) -> Any:
        """Returns the model of ONNX."""
        from onnx import TensorProto, helper

        states = state_names(self.settings)
        hidden = self._embedded()
        for layer, names in zip(describe_layers(self.settings), states, strict=True):
            hidden = self._layer(layer, hidden, names)
        self._logits(hidden)
        size, names = self.settings.rnn_size, [name for each in states for name in each]

        def info(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
            return helper.make_tensor_value_info(name, kind, shape)

        ids = info("ids", ["batch", "time"], TensorProto.INT64)
        logits = info("logits", ["batch", "time", self.vocabulary_size])
        graph = helper.make_graph(
            self._nodes,
            "textgen",
            [ids, *(info(name, ["batch", size]) for name in names)],
            [logits, *(info(NEXT + name, ["batch", size]) for name in names)],
            self._constants,
        )
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPERATORS_VERSION)],
            ir_version=FORMAT_VERSION,
            producer_name="textgen",
        )
        helper.set_model_props(made, {"model": json.dumps(self.settings.to_dict())})
        return made

    def _embedded(self) -> str:
        """Adds what makes vectors (T, B, D) of ids (B, T); ONNX' recurrent layers have T first."""
        ids = self._add("Transpose", ["ids"], "ids_by_time", perm=[1, 0])
        if self.settings.embedding_size:
            table = self._constant("embedding/embeddings", self.weights["embedding/embeddings"])
            return self._add("Gather", [table, ids], "vectors")
        depth = self._constant("vocabulary_size", np.array([self.vocabulary_size], np.int64))
        values = self._constant("off_and_on", np.array([0, 1], np.float32))
        return self._add("OneHot", [ids, depth, values], "vectors")

    def _layer(self, layer: LayerDescription, inputs: str, states: list[str]) -> str:
        """Adds a layer that reads (T, B, D); returns the name of its result, (T, B, H)."""
        name, _, attributes = OPERATORS[self.settings.cell]
        first = [self._expanded(state) for state in states]  # (1, B, H)
        outputs = [f"{layer.name}/all", *(f"{layer.name}/last_{state}" for state in states)]
        weights = self._weights(layer)
        self._add(
            name, [inputs, *weights, "", *first], outputs, hidden_size=self.settings.rnn_size,
            **attributes,
        )  # fmt: skip
        for state, last in zip(states, outputs[1:], strict=True):
            self._add("Squeeze", [last, self._axis(0)], NEXT + state)
        hidden = self._add("Squeeze", [outputs[0], self._axis(1)], f"{layer.name}/output")
        if layer.norm_name:
            norm = [
                self._constant(
                    f"{layer.norm_name}/{part}", self.weights[f"{layer.norm_name}/{part}"]
                )
                for part in ("gamma", "beta")
            ]
            hidden = self._add(
                "LayerNormalization", [hidden, *norm], f"{layer.norm_name}/output",
                axis=-1, epsilon=NORM_EPSILON,
            )  # fmt: skip
        if layer.is_residual:
            hidden = self._add("Add", [hidden, inputs], f"{layer.name}/sum")
        return hidden

    def _weights(self, layer: LayerDescription) -> list[str]:
        """Returns the names of W (1, G, D), R (1, G, H) and the biases of both (1, 2G)."""
        path, cell = layer.cell_path, CELLS[self.settings.cell]
        kernels = [
            self._by_gate(self.weights[f"{path}/{name}"]).T[np.newaxis]
            for name in ("kernel", "recurrent_kernel")
        ]
        biases = np.zeros((2, cell.blocks * self.settings.rnn_size), np.float32)
        biases[: cell.biases] = self.weights[f"{path}/bias"]
        arrays = {"kernel": kernels[0], "recurrent_kernel": kernels[1]}
        arrays["bias"] = self._by_gate(biases).reshape(1, -1)
        return [self._constant(f"{path}/{name}", array) for name, array in arrays.items()]

    def _by_gate(self, array: Array) -> Array:
        """Returns Keras' blocks of columns in ONNX' order."""
        _, order, _ = OPERATORS[self.settings.cell]
        blocks = np.split(array, CELLS[self.settings.cell].blocks, axis=-1)
        return np.concatenate([blocks[block] for block in order], axis=-1)

    def _logits(self, hidden: str) -> None:
        """Adds the logits, (B, T, V), made of (T, B, H)."""
        if self.settings.is_tied:
            kernel = self._add("Transpose", ["embedding/embeddings"], "tied", perm=[1, 0])
        else:
            kernel = self._constant("logits/kernel", self.weights["logits/kernel"])
        bias = self._constant("logits/bias", self.weights["logits/bias"])
        by_row = self._add("Transpose", [hidden], "outputs", perm=[1, 0, 2])
        products = self._add("MatMul", [by_row, kernel], "products")
        self._add("Add", [products, bias], "logits")

    def _expanded(self, state: str) -> str:
        return self._add("Unsqueeze", [state, self._axis(0)], f"{state}/first")

    def _axis(self, number: int) -> str:
        return self._constant(f"axis_{number}", np.array([number], np.int64))

    def _constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        if all(known.name != name for known in self._constants):
            array = np.ascontiguousarray(values)
            self._constants.append(numpy_helper.from_array(array, name))
        return name

    def _add(
        self, kind: str, inputs: list[str], outputs: str | list[str], **attributes: Any
    ) -> str:
        """Adds a node; returns the name of its first output."""
        from onnx import helper

        names = [outputs] if isinstance(outputs, str) else outputs
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]
