import pytest

from textgen.model.keras_model import build_model
from textgen.settings.definitions import ModelConfig, TrainingConfig
from textgen.training import sizing, summary

STRUCTURES = [
    ModelConfig(embedding_size=3, rnn_size=4, layer_norm=True),
    ModelConfig(embedding_size=4, rnn_size=4, num_layers=1, tie_weights=True, cell="gru"),
    ModelConfig(embedding_size=0, rnn_size=4, num_layers=1, cell="rnn"),
]


@pytest.mark.parametrize("config", STRUCTURES, ids=["norm", "tied", "one-hot"])
def test_weights_are_counted_as_keras_does(config: ModelConfig) -> None:
    model = build_model(config, 7, batch_size=2)
    for name, (size, count) in summary.weights_per_layer(config, 7).items():
        layer = model.get_layer(name)
        expected = sum(weight.numpy().size for weight in layer.trainable_weights)
        if name == "logits" and config.is_tied:
            expected = 7  # its kernel is the embedding's
        assert (count, size) == (expected, layer.output.shape[-1]), name


def test_the_table_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # V = 5, D = 2, H = 3: 10; (2 + 3) * 12 + 12 = 72; 3 * 5 + 5 = 20.
    monkeypatch.setattr(sizing, "measure_gflops", lambda seconds: 1e-3)
    model = ModelConfig(embedding_size=2, rnn_size=3, num_layers=1)
    config = TrainingConfig(batch_size=2, seq_length=4, num_epochs=10)
    assert summary.table(model, config, 5, 1000, "word") == [
        "layer            output (B, T, size)       weights",
        "embedding                  (2, 4, 2)            10",
        "lstm_1                     (2, 4, 3)            72",
        "logits                     (2, 4, 5)            20",
        "all                                            102",
        "about 0 MiB of memory beside TensorFlow's own; 1,000 words per epoch;"
        " about 0:06 for 10 epochs",
    ]  # 92 weights x 6e-6 s x 10,000 tokens = 5.5 s, and 0.04 s


@pytest.mark.parametrize(
    ("config", "readings"),
    [
        (TrainingConfig(minutes=1.0), "epoch, which reads the text twice;"),
        (TrainingConfig(minutes=1.0, seq_step=20), "epoch, which reads the text 3 times;"),
        (TrainingConfig(minutes=1.0, seq_step=50), "epoch; 1 minute"),
        (TrainingConfig(minutes=1.0, steps_per_epoch=9), "epoch; 1 minute"),
    ],
)
def test_it_says_how_often_an_epoch_reads_the_text(config: TrainingConfig, readings: str) -> None:
    assert readings in summary.table(ModelConfig(), config, 5, 1000, "word")[-1]


def test_minutes_need_no_estimate() -> None:
    lines = summary.table(ModelConfig(), TrainingConfig(minutes=2.0), 5, 1000, "word")
    assert lines[-1].endswith("; 2 minutes")
