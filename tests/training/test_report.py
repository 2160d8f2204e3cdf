from dataclasses import replace
from pathlib import Path

import pytest

from textgen.model.checkpoint import Metadata
from textgen.model.history import Row, measures
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.tokens import build_tokenizer
from textgen.training import report
from textgen.training.schedule import RunClock


def rows(*losses: tuple[float, float | None]) -> list[Row]:
    return [
        {
            "epoch": epoch, "seconds": 30 * epoch - 0.1, "loss": loss,
            **({} if val is None else {"val_loss": val}),
        }
        for epoch, (loss, val) in enumerate(losses, start=1)
    ]  # fmt: skip


def metadata(dropout: float = 0.0, **training: object) -> Metadata:
    tokenizer = build_tokenizer("a b", TokenizerSettings("word"))
    settings = TrainingSettings(**training)
    return Metadata(replace(ModelSettings(), dropout=dropout), tokenizer, settings, {})


RISING = rows((2.0, 2.1), (1.5, 1.8), (1.0, 2.0))
FALLING = rows((2.0, 2.1), (1.9, 2.0), (1.85, 1.95))
APART = rows((2.0, 2.1), (1.5, 2.0), (1.3, 1.95))
BLIND = rows((2.0, None), (1.5, None))
GO_ON = "go on:      python train.py --data-dir data/x --resume --num-epochs 100"


def test_the_panel_says_what_was_reached_and_what_comes_next() -> None:
    assert report.closing_report(Path("data/x"), APART, metadata()) == [
        "best: epoch 3 of 3, 1.950 nats per word, perplexity 7.0",
        "overfitting: some, the validation loss is 50% above the training loss",
        "to try: more `dropout` than 0: the model learns the text by heart",
        "more text:  python sample.py --data-dir data/x",
        GO_ON,
    ]


def test_the_best_loss_is_told_by_character_too() -> None:
    told = metadata()
    measured = [row | measures(row["val_loss"], 3.9, told.tokenizer) for row in APART]
    assert report.closing_report(Path("data/x"), measured, told)[0] == (
        "best: epoch 3 of 3, 1.950 nats per word, perplexity 7.0; 0.500 nats, 0.721 bits per"
        " character"
    )


@pytest.mark.parametrize("epochs", range(1, 6))
@pytest.mark.parametrize("gap", [0.0, 0.05, 0.2, 1.0])
def test_overfitting_is_judged_once(epochs: int, gap: float) -> None:
    losses = [(2 - 0.1 * epoch, (2 - 0.1 * epoch) * (1 + gap)) for epoch in range(epochs)]
    said = "\n".join(report.closing_report(Path("data/x"), rows(*losses), metadata()))
    assert ("none seen" in said) == (epochs > 1 and ("by heart" not in said))
    assert ("by heart" in said) == (epochs >= report.EPOCHS_TO_JUDGE and gap > report.GAP)


def test_commands_can_be_pasted_where_the_folder_has_a_space() -> None:
    *_, sample, train = report.closing_report(Path("data/my book"), FALLING, metadata())
    assert sample.endswith("python sample.py --data-dir 'data/my book'")
    assert "python train.py --data-dir 'data/my book' --resume" in train


def test_a_model_that_knows_the_text_by_heart_is_not_trained_on() -> None:
    assert report.closing_report(Path("data/x"), RISING, metadata())[1:] == [
        "overfitting: yes, the validation loss rises after epoch 2",
        "to try: more `dropout` than 0: the validation loss has risen by 11%",
        "more text:  python sample.py --data-dir data/x",
    ]


def test_a_run_that_only_compiled_is_said_to_be_too_short() -> None:
    short: list[Row] = [{"epoch": 1, "seconds": 9.9, "loss": 5.2, "tokens_per_second": 0}]
    assert report.advice(short, metadata(minutes=0.2)) == [
        "`minutes=0.4`: this run had hardly time to compile"
    ]


@pytest.mark.parametrize(
    ("limits", "longer"),
    [
        ({"num_epochs": 2}, "--num-epochs 6"),
        ({"minutes": 0.1}, "--minutes 3"),
        ({"minutes": 4.0, "num_epochs": 9}, "--minutes 8 --num-epochs 18"),
    ],
)
def test_to_go_on_is_to_do_more_than_was_done(limits: dict[str, float], longer: str) -> None:
    """Three epochs, in a second and a half."""
    last = report.closing_report(Path("x"), FALLING, metadata(**limits))[-1]
    assert last.endswith(f"--resume {longer}")


def test_what_was_not_measured_is_not_judged() -> None:
    blind = report.closing_report(Path("x"), BLIND, metadata(minutes=2.0))
    assert blind[0].endswith(", on the training text")
    assert blind[1] == "overfitting: cannot be seen without held-out text"
    assert blind[2].startswith("to try: `validation_split=0.1`")
    assert blind[-1].endswith("--minutes 4")
    once = report.closing_report(Path("data/x"), rows((1.0, 2.0)), metadata())
    assert once[1] == "overfitting: cannot be seen in one epoch"
    assert once[2:] == ["more text:  python sample.py --data-dir data/x", GO_ON]


@pytest.mark.parametrize(
    ("history", "settings", "expected"),
    [
        (FALLING, {}, ["a new run with a larger `rnn_size` than 128 and time for as many"]),
        (FALLING[:2], {}, []),
        (APART, {"dropout": 0.5}, ["more text, or a smaller `rnn_size` than 128: the model"]),
        (
            [*RISING, *rows((0.9, 2.1), (0.8, 2.2))], {},
            ["more `dropout` than 0: the validation loss has risen by 22%",
             "`patience=3`: the last 3 epochs were of no use"],
        ),
        ([*RISING, *rows((0.9, 2.1), (0.8, 2.2))], {"patience": 5}, ["more `dropout` than 0: the"]),
    ],
)  # fmt: skip
def test_advice_follows_from_the_losses(
    history: list[Row], settings: dict[str, float], expected: list[str]
) -> None:
    found = report.advice(history, metadata(**settings))
    assert len(found) == len(expected)
    assert all(map(str.startswith, found, expected)), found


def test_a_text_known_by_heart_leaves_a_loss_of_0() -> None:
    by_heart = rows((1.0, 0.0), (0.5, 0.4), (0.0, 0.5))
    assert report.advice(by_heart, metadata())[0].startswith("more `dropout` than 0: the")
    assert report.advice([*FALLING, *rows((0.0, 1.94))], metadata())[0].startswith("more `dropout`")


def test_a_run_that_patience_ended_is_not_to_go_on() -> None:
    stalled = [*FALLING, *rows((1.85, 1.95), (1.85, 1.95))]
    assert report.closing_report(Path("data/x"), stalled, metadata(patience=3))[-1] == GO_ON
    assert GO_ON not in report.closing_report(Path("data/x"), stalled, metadata(patience=2))


def test_the_summary_by_hand() -> None:
    # V = 5, D = 2, H = 3: 10; (2 + 3) * 12 + 12 = 72; 3 * 5 + 5 = 20.
    model = ModelSettings(embedding_size=2, rnn_size=3, num_layers=1)
    settings = TrainingSettings(batch_size=2, seq_length=4, num_epochs=10)
    assert report.summary(model, settings, 5, 1000, "word") == [
        "102 weights: embedding 10, lstm_1 72, logits 20",
        "about 0 MiB of memory beside TensorFlow's own; 1,000 words per epoch; 10 epochs",
    ]


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
    assert readings in report.summary(ModelSettings(), settings, 5, 1000, "word")[-1]


def test_a_run_may_be_measured_in_minutes() -> None:
    lines = report.summary(ModelSettings(), TrainingSettings(minutes=2.0), 5, 1000, "word")
    assert lines[-1].endswith("; 2 minutes")


def test_a_speed_that_is_not_known_yet_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = build_tokenizer("a b", TokenizerSettings("word"))
    clock = RunClock(None, 60.0, tokens_per_step=4)
    progress = report.Progress(clock, TrainingSettings(minutes=1.0), tokenizer)
    row = {"epoch": 1, "loss": 1.0, "seconds": 0.2, "gradient_norm": 1.0}
    progress.show_epoch(row | measures(1.0, 4.0, tokenizer))
    assert capsys.readouterr().err == (
        "epoch 1  loss 1.000  (perplexity 2.7; 0.250 nats, 0.361 bits per character)  0:00\n"
    )
