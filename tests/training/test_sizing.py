from dataclasses import replace
from typing import Any

import pytest

from tests.networks import LETTERS
from textgen.model.architecture import weights_per_layer
from textgen.model.devices import XLA_SWITCH
from textgen.model.keras_model import build_model
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer
from textgen.training import sizing


@pytest.mark.parametrize("speed", [1.0, 0.1, 2.0, 50.0])
def test_the_choice_is_the_tokenizers_for_what_is_measured(speed: float) -> None:
    """A machine so many times as fast, for which another size may be chosen than at first."""
    tokenizer = build_tokenizer(LETTERS, TokenizerSettings())
    tables = {(size.rnn_size, size.num_layers): size for size in tokenizer.sizes}
    tried = []

    def measure(settings: dict[str, Any]) -> float:
        tried.append((settings["rnn_size"], settings["num_layers"]))
        return speed * tables[tried[-1]].tokens_per_second

    settings, _, measured, reason = sizing.choose(2, 960_000, tokenizer, measure)
    expected = tokenizer.choose_size(2, 960_000, speed)
    assert settings == expected.settings
    assert measured == expected.tokens_per_second
    assert f"about {expected.tokens_per_second:,.0f} characters/s here read the text" in reason
    assert len(tried) == len(set(tried)) <= 2


def test_the_speed_that_is_measured_is_that_of_the_vocabulary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step with a large vocabulary takes longer."""
    monkeypatch.setenv(XLA_SWITCH, "0")
    model, training = ModelSettings(rnn_size=8), TrainingSettings(batch_size=2, seq_length=4)
    small, large = (
        sizing.measure_speed(model, training, v, False, False, 0.1) for v in (7, 50_000)
    )
    assert small > 3 * large > 0


@pytest.mark.parametrize(
    ("tokens", "rows", "length", "step"),
    [
        (10**6, 32, 32, 16), (1041, 32, 32, 16), (1040, 16, 32, 16), (49, 1, 32, 16),
        (48, 1, 16, 16), (17, 1, 16, 16), (16, 1, 8, 8), (2, 1, 1, 1), (1, 1, 1, 1),
    ],
)  # fmt: skip
def test_a_batch_has_as_many_rows_and_then_tokens_as_the_text_fills(
    tokens: int, rows: int, length: int, step: int
) -> None:
    """32 rows of 32 tokens, the targets, and the offset of the second pass: 1,041 tokens."""
    settings = TrainingSettings(batch_size=32, seq_length=32, seq_step=16)
    expected = {"batch_size": rows, "seq_length": length, "seq_step": step}
    assert sizing.fitting_batch(settings, tokens) == expected


def test_the_speed_of_this_machine_is_plausible() -> None:
    assert 0.1 < sizing.measure_gflops(seconds=0.01) < 100_000


@pytest.mark.parametrize(
    ("rnn_size", "num_layers", "batch_size", "seq_length", "milliseconds"),
    [
        (128, 2, 32, 50, 6.1),
        (512, 1, 32, 32, 3.1),
        (512, 2, 64, 100, 12.4),
        (1024, 2, 128, 128, 19.9),
    ],
)
def test_the_estimate_for_a_gpu_is_close_to_what_was_measured(
    rnn_size: int, num_layers: int, batch_size: int, seq_length: int, milliseconds: float
) -> None:
    model = ModelSettings(rnn_size=rnn_size, num_layers=num_layers)
    training = TrainingSettings(batch_size=batch_size, seq_length=seq_length)
    found = 1000 * sizing.estimated_gpu_seconds(model, training, 66)
    assert found == pytest.approx(milliseconds, rel=0.25)


@pytest.mark.parametrize(
    ("gflops", "on_gpu", "said"),
    [
        (300, True, "computing on Tesla T4, by an estimate 2.0 times as fast for this model"),
        (1e6, False, "computing on the processor: by an estimate Tesla T4 would be "),
    ],
)
def test_the_device_is_the_one_that_is_faster_for_the_model(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gflops: float,
    on_gpu: bool,
    said: str,
) -> None:
    monkeypatch.setattr("textgen.model.backend.gpu_names", lambda: ["Tesla T4"])
    monkeypatch.setattr(sizing, "measure_gflops", lambda: gflops)
    model, training = ModelSettings(), TrainingSettings(seq_length=50)
    assert sizing.choose_device(model, training, 66) is on_gpu
    assert said in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(TextgenError, match="`device` gpu: TensorFlow finds no GPU here"):
        sizing.choose_device(ModelSettings(), TrainingSettings(device="gpu"), 66)


def test_memory_by_hand() -> None:
    # V = 5, D = 2, H = 3: weights 10 + (2 + 3) * 12 + 12 + 15 + 5 = 102;
    # 4 tokens a batch x (16 x 3 + 3 x 5) = 252 numbers.
    model = ModelSettings(embedding_size=2, rnn_size=3, num_layers=1)
    settings = TrainingSettings(batch_size=2, seq_length=2)
    assert sizing.memory_needed(model, settings, 5) == 4 * (5 * 102 + 252)


def test_what_does_not_fit_is_refused_with_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    sizing.check_memory(ModelSettings(), TrainingSettings(), 65)
    with pytest.raises(TextgenError, match=r"need about [\d,]+\.\d GiB of memory, and the machine"):
        sizing.check_memory(replace(ModelSettings(), rnn_size=1_000_000), TrainingSettings(), 65)
    monkeypatch.delattr("os.sysconf")
    assert sizing.physical_memory() == float("inf")


STRUCTURES = [
    ModelSettings(embedding_size=3, rnn_size=4, layer_norm=True),
    ModelSettings(embedding_size=4, rnn_size=4, num_layers=1, tie_weights=True, cell="gru"),
    ModelSettings(embedding_size=0, rnn_size=4, num_layers=1, cell="rnn"),
]


@pytest.mark.parametrize("settings", STRUCTURES, ids=["norm", "tied", "one-hot"])
def test_weights_are_counted_as_keras_does(settings: ModelSettings) -> None:
    model = build_model(settings, 7, batch_size=2)
    for name, count in weights_per_layer(settings, 7).items():
        expected = sum(w.numpy().size for w in model.get_layer(name).trainable_weights)
        if name == "logits" and settings.is_tied:
            expected = 7  # its kernel is the embedding's
        assert count == expected, name


def test_a_text_is_told_how_often_it_is_read_by_each_kind_of_token() -> None:
    said = sizing.compared(1_000_000, 1.0, 1.0)
    # 320 x 1 at 50,000 characters/s, 256 x 1 at 35,000 subwords/s of 2.2, 9,500 words/s of 4.3.
    assert "in 1 minute this text is read about so many times:" in said
    assert "as characters 3.0, as words 2.5, as subwords 4.6;" in said
    assert "takes subwords" in said
    assert "takes subwords" in sizing.compared(10_000_000, 1.0, 1.0)
    assert "takes subwords" in sizing.compared(1_000_000, 2.0, 1.0)
    assert "takes characters" in sizing.compared(1_000_000, 3.0, 1.0)
    assert "takes characters" in sizing.compared(10_000_000, 1.0, 1.0, bytes_per_character=2.9)
    assert sizing.bytes_per_character("aé雨") == 2
    assert sizing.choose_tokens(1e7, 1.0, bytes_per_character=2.9)[0] == "character"


@pytest.mark.parametrize(
    ("settings", "tokens", "steps"),
    [
        ({"minutes": 1.0}, 1_601, 76),  # 6,000,000 / 1,600 / 50 = 75 steps, of walks of two
        ({"minutes": 1.0}, 100_000, None),
        ({"minutes": 1.0, "num_epochs": 9}, 1_601, None),
        ({"minutes": 1.0, "steps_per_epoch": 5}, 1_601, None),
        ({}, 1_601, None),
    ],
)
def test_an_epoch_of_a_short_text_is_many_readings(
    settings: dict[str, Any], tokens: int, steps: int | None
) -> None:
    """32 x 50 tokens a step, from two offsets, 100,000 tokens/s."""
    chosen = sizing.longer_epochs(TrainingSettings(**settings), tokens + 25, 100_000.0)
    assert chosen == ({} if steps is None else {"steps_per_epoch": steps})


@pytest.mark.parametrize(
    ("readings", "rate", "dropout"), [(3.9, 0.015, 0.0), (7.9, 0.015, 0.2), (8.1, 0.003, 0.5)]
)
def test_what_is_read_often_changes_a_model_slowly(
    readings: float, rate: float, dropout: float
) -> None:
    """Characters for a minute: 50,000 a second in the table, and here."""
    tokenizer = build_tokenizer(LETTERS, TokenizerSettings())
    tokens = round(60 * 50_000 / readings)
    assert sizing.choose_further(1.0, tokens, tokenizer, 50_000.0) == {
        "learning_rate": rate,
        "dropout": dropout,
    }
