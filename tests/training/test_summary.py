import pytest

from textgen.model.keras_model import build_model
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.training import sizing, summary

STRUCTURES = [
    ModelSettings(embedding_size=3, rnn_size=4, layer_norm=True),
    ModelSettings(embedding_size=4, rnn_size=4, num_layers=1, tie_weights=True, cell="gru"),
    ModelSettings(embedding_size=0, rnn_size=4, num_layers=1, cell="rnn"),
]


@pytest.mark.parametrize("settings", STRUCTURES, ids=["norm", "tied", "one-hot"])
def test_weights_are_counted_as_keras_does(settings: ModelSettings) -> None:
    model = build_model(settings, 7, batch_size=2)
    for name, (size, count) in summary.weights_per_layer(settings, 7).items():
        layer = model.get_layer(name)
        expected = sum(weight.numpy().size for weight in layer.trainable_weights)
        if name == "logits" and settings.is_tied:
            expected = 7  # its kernel is the embedding's
        assert (count, size) == (expected, layer.output.shape[-1]), name


def test_the_table_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # V = 5, D = 2, H = 3: 10; (2 + 3) * 12 + 12 = 72; 3 * 5 + 5 = 20.
    monkeypatch.setattr(sizing, "measure_gflops", lambda seconds: 1e-3)
    model = ModelSettings(embedding_size=2, rnn_size=3, num_layers=1)
    settings = TrainingSettings(batch_size=2, seq_length=4, num_epochs=10)
    assert summary.table(model, settings, 5, 1000, "word") == [
        "layer            output (B, T, size)       weights",
        "embedding                  (2, 4, 2)            10",
        "lstm_1                     (2, 4, 3)            72",
        "logits                     (2, 4, 5)            20",
        "all                                            102",
        "about 0 MiB of memory beside TensorFlow's own; 1,000 words per epoch;"
        " about 0:06 for 10 epochs",
    ]  # 92 weights x 6e-6 s x 10,000 tokens = 5.5 s, and 0.04 s


@pytest.mark.parametrize(
    ("settings", "readings"),
    [
        (TrainingSettings(minutes=1.0), "epoch, which reads the text twice;"),
        (TrainingSettings(minutes=1.0, seq_step=20), "epoch, which reads the text 3 times;"),
        (TrainingSettings(minutes=1.0, seq_step=50), "epoch; 1 minute"),
        (TrainingSettings(minutes=1.0, steps_per_epoch=9), "epoch; 1 minute"),
    ],
)
def test_it_says_how_often_an_epoch_reads_the_text(
    settings: TrainingSettings, readings: str
) -> None:
    assert readings in summary.table(ModelSettings(), settings, 5, 1000, "word")[-1]


def test_minutes_need_no_estimate() -> None:
    lines = summary.table(ModelSettings(), TrainingSettings(minutes=2.0), 5, 1000, "word")
    assert lines[-1].endswith("; 2 minutes")
