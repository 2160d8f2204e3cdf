"""Which device computes, which layers it gets, and what is compiled; no GPU is needed to decide."""

import itertools

import pytest

from textgen.model import backend
from textgen.model.devices import CANDIDATES, Computation, candidates, choose, computation
from textgen.settings.definitions import CELL_NAMES, ModelSettings
from textgen.support.errors import TextgenError

OPTIONS = {
    "plain": {},
    "recurrent dropout": {"recurrent_dropout": 0.2},
    "tied": {"tie_weights": True, "embedding_size": 16},
    "residual": {"residual": True, "num_layers": 2},
    "layer norm": {"layer_norm": True},
    "one-hot": {"embedding_size": 0},
}
CARD = ["NVIDIA H200"]


@pytest.mark.parametrize("begun", [False, True])
def test_of_a_gpus_memory_is_taken_what_is_needed(
    begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a notebook has used TensorFlow before, it is too late for that, and no error."""
    grows = []

    def set_memory_growth(gpu: str, on: bool) -> None:
        grows.append((gpu, on))
        if begun:
            raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(backend.tf.config, "list_physical_devices", lambda kind: ["a"])
    monkeypatch.setattr(backend.tf.config.experimental, "set_memory_growth", set_memory_growth)
    backend.prepare_gpus()
    assert grows == [("a", True)]


def never() -> tuple[float, float]:
    raise AssertionError("nothing is estimated where there is nothing to choose")


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize(("cell", "option"), list(itertools.product(CELL_NAMES, OPTIONS)))
def test_the_layers_and_what_is_compiled(cell: str, option: str, on_gpu: bool) -> None:
    settings = ModelSettings(rnn_size=16, cell=cell, **OPTIONS[option])
    found = computation(settings, on_gpu, {})
    if option == "recurrent dropout":
        assert found == Computation(False, True, True, in_parts=False)
    else:
        assert found == Computation(True, True, True, in_parts=not on_gpu)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize(("cell", "option"), list(itertools.product(CELL_NAMES, OPTIONS)))
def test_xla_never_gets_a_layer_of_cudnn(cell: str, option: str, on_gpu: bool) -> None:
    settings = ModelSettings(rnn_size=16, cell=cell, **OPTIONS[option])
    found = computation(settings, on_gpu, {"TEXTGEN_GPU": "cudnn"})
    takes_cudnn = on_gpu and cell != "rnn" and option != "recurrent dropout"
    assert found.own_layers is not (takes_cudnn or option == "recurrent dropout")
    assert found.compiles_model is not takes_cudnn
    assert found.compiles_update


@pytest.mark.parametrize("on_gpu", [False, True])
def test_nothing_is_compiled_where_xla_is_switched_off(on_gpu: bool) -> None:
    found = computation(ModelSettings(), on_gpu, {"TEXTGEN_XLA": "0"})
    assert not found.compiles_model
    assert not found.compiles_update


def test_candidates_are_named_with_commas_between_them() -> None:
    assert candidates({}) == frozenset()
    assert candidates({"TEXTGEN_GPU": ",".join(CANDIDATES)}) == CANDIDATES.keys()
    with pytest.raises(TextgenError, match=r"cudnn, command-buffers.*Received: cuda"):
        candidates({"TEXTGEN_GPU": "cudnn, cuda"})


def test_without_a_gpu_nothing_is_chosen_and_nothing_said() -> None:
    for wanted in ("auto", "cpu"):
        assert choose(wanted, [], never) == (False, "")
    with pytest.raises(TextgenError, match="`device` gpu: TensorFlow finds no GPU here"):
        choose("gpu", [], never)


def test_a_driver_whose_gpu_tensorflow_does_not_find_is_told() -> None:
    on_gpu, reason = choose("auto", [], never, driver_found=True)
    assert not on_gpu
    assert "a GPU's driver, but TensorFlow finds no GPU. Install the CUDA libraries" in reason
    assert choose("cpu", [], never, driver_found=True).reason == ""


def test_what_is_asked_for_is_taken() -> None:
    assert choose("cpu", CARD, never) == (False, "computing on the processor, as asked")
    assert choose("gpu", CARD, never) == (True, "computing on NVIDIA H200, as asked")


def test_a_gpu_is_taken_where_it_pays() -> None:
    assert choose("auto", CARD, lambda: (0.1, 0.02)) == (
        True, "computing on NVIDIA H200, by an estimate 5.0 times as fast for this model",
    )  # fmt: skip
    on_gpu, reason = choose("auto", CARD, lambda: (0.001, 0.003))
    assert not on_gpu
    assert "by an estimate NVIDIA H200 would be 3.0 times as slow for a model so small" in reason
