from dataclasses import replace
from pathlib import Path

import pytest

from textgen.model.checkpoint import Metadata
from textgen.model.history import Row, measures
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.tokens import build_tokenizer
from textgen.training import report
from textgen.training.schedule import RunClock


def rows(*losses: tuple[float, float | None], first: int = 1) -> list[Row]:
    return [
        {
            "epoch": epoch, "seconds": 30 * epoch - 0.1, "loss": loss, "nats_per_character": loss,
            **({} if val is None else {"val_loss": val}),
        }
        for epoch, (loss, val) in enumerate(losses, start=first)
    ]  # fmt: skip


def metadata(dropout: float = 0.0, **training: object) -> Metadata:
    tokenizer = build_tokenizer("a b", TokenizerSettings("word"))
    settings = TrainingSettings(**training)
    return Metadata(replace(ModelSettings(), dropout=dropout), tokenizer, settings, {})


RISING = rows((2.0, 2.1), (1.5, 1.8), (1.0, 2.0))
FALLING = rows((2.0, 2.1), (1.9, 2.0), (1.85, 1.95))
APART = rows((2.0, 2.1), (1.5, 2.0), (1.3, 1.95))
BLIND = rows((2.0, None), (1.5, None))
X = Path("data/x")
GO_ON = "go on:      python train.py --data-dir data/x --resume --num-epochs +50"
NEW = "python train.py --config data/x/model.yaml"
MORE_TEXT = "more text:  python sample.py --data-dir data/x"


def test_the_panel_says_what_was_reached_and_what_comes_next() -> None:
    assert report.closing_report(Path("data/x"), APART, metadata()) == [
        "best: epoch 3 of 3, 1.950 nats per word, perplexity 7.0",
        "overfitting: some, the validation loss is 50% above the training loss",
        "to try:     the model learns the text by heart, and dropout helps against that:"
        f" {NEW} --dropout 0.2",
        MORE_TEXT,
        GO_ON,
    ]


@pytest.mark.usefixtures("as_in_python")
def test_in_python_it_is_said_in_keywords() -> None:
    *_, advice, more, longer = report.closing_report(X, APART, metadata())
    assert advice.endswith("helps against that: a new run with `dropout=0.2`")
    assert more == "more text:  textgen.load('data/x').generate()"
    assert longer == "go on:      textgen.train('data/x', resume=True, num_epochs='+50')"


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
    judged = epochs >= report.EPOCHS_TO_JUDGE
    assert ("none seen" in said) == (judged and ("by heart" not in said))
    assert ("by heart" in said) == (judged and gap > report.GAP)


def test_commands_can_be_pasted_where_the_folder_has_a_space() -> None:
    *_, sample, train = report.closing_report(Path("data/my book"), FALLING, metadata())
    assert sample.endswith("python sample.py --data-dir 'data/my book'")
    assert "python train.py --data-dir 'data/my book' --resume" in train


def test_a_model_that_knows_the_text_by_heart_is_not_trained_on() -> None:
    assert report.closing_report(Path("data/x"), RISING, metadata())[1:] == [
        "overfitting: yes, the validation loss rises after epoch 2",
        "to try:     the validation loss has risen by 11%, and dropout helps against that:"
        f" {NEW} --dropout 0.2",
        MORE_TEXT,
        "the newest, of epoch 3: python sample.py --data-dir data/x/latest",
    ]


def test_a_run_that_only_compiled_is_said_to_be_too_short() -> None:
    short: list[Row] = [{"epoch": 1, "seconds": 9.9, "loss": 5.2, "tokens_per_second": 0}]
    assert report.advice(X, short, metadata(minutes=0.2)) == [
        "this run had hardly time to compile: python train.py --data-dir data/x --resume --minutes"
        " +1"
    ]


@pytest.mark.parametrize(
    ("limits", "longer"),
    [
        ({"num_epochs": 2}, "--num-epochs +3"),
        ({"minutes": 0.1}, "--minutes +1.5"),
        ({"minutes": 4.0, "num_epochs": 9}, "--minutes +4 --num-epochs +9"),
    ],
)
def test_to_go_on_is_to_do_as_much_again(limits: dict[str, float], longer: str) -> None:
    """Three epochs, in a second and a half."""
    last = report.closing_report(Path("x"), FALLING, metadata(**limits))[-1]
    assert last.endswith(f"--resume {longer}")


def test_what_was_not_measured_is_not_judged() -> None:
    blind = report.closing_report(Path("x"), BLIND, metadata(minutes=2.0))
    assert blind[0].endswith(", on the training text")
    assert blind[1] == "overfitting: cannot be seen without held-out text"
    assert blind[2].endswith(": python train.py --config x/model.yaml --validation-split 0.1")
    assert blind[-1].endswith("--minutes +2")
    once = report.closing_report(X, rows((1.0, 2.0)), metadata())
    assert once[1] == "overfitting: cannot be seen yet"
    assert once[2:] == [MORE_TEXT, GO_ON]
    twice = report.closing_report(X, rows((1.5, 2.1), (1.0, 2.0)), metadata())
    assert twice[1] == "overfitting: cannot be seen yet"


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([(0.9, None), (0.29, None)], "the text is known by heart: what the model writes will"),
        ([(0.9, None), (0.31, None)], "cannot be seen without held-out text"),
        ([(2.0, 2.1), (1.5, 2.0), (0.9, 1.95)], "yes, the validation loss is 117% above"),
    ],
)
def test_a_text_that_is_known_by_heart_is_said_to_be(
    losses: list[tuple[float, float | None]], told: str
) -> None:
    said = report.closing_report(X, rows(*losses), metadata())[1]
    assert said.startswith(f"overfitting: {told}")
    assert ("known by heart" in said) == (told.startswith(("the text", "yes")))


def test_a_text_of_few_words_is_for_characters() -> None:
    """Two words, each eight times: that is enough."""
    assert not any("few to learn" in line for line in report.advice(X, FALLING, metadata(), 16))
    assert not any("few" in one for one in report.advice(X, FALLING, metadata(init_from="y"), 15))
    told, *_ = report.advice(X, FALLING, metadata(minutes=2.0, validation_split=0.1), 15)
    assert told == (
        "15 words are few to learn 2 different ones from; characters need less text: python"
        " train.py --data-dir data/x --pristine-input --validation-split 0.1 --minutes 2"
    )


def test_a_larger_model_gets_more_time_and_wider_vectors_where_they_are_tied() -> None:
    tied = replace(metadata(minutes=2.0), model=ModelSettings(64, 64, tie_weights=True))
    assert report.advice(X, FALLING, tied)[0].endswith(
        f"{NEW} --rnn-size 96 --embedding-size 96 --minutes 4"
    )


@pytest.mark.parametrize(
    ("history", "settings", "expected"),
    [
        (FALLING, {}, [f"so a larger one may do both better: {NEW} --rnn-size 192"]),
        (FALLING[:2], {}, []),
        (APART, {"dropout": 0.4}, [f"and dropout helps against that: {NEW} --dropout 0.5"]),
        (APART, {"dropout": 0.5}, ["heart: more text, or a new run with a smaller `rnn_size`"]),
        (
            [*RISING, *rows((0.9, 2.1), (0.8, 2.2), first=4)], {},
            [f"risen by 22%, and dropout helps against that: {NEW} --dropout 0.2",
             f"the last 3 epochs were of no use, and patience ends them: {NEW} --patience 3"],
        ),
        (
            [*RISING, *rows((0.9, 2.1), (0.8, 2.2), first=4)], {"patience": 5},
            [f"dropout helps against that: {NEW} --dropout 0.2"],
        ),
    ],
)  # fmt: skip
def test_advice_follows_from_the_losses(
    history: list[Row], settings: dict[str, float], expected: list[str]
) -> None:
    found = report.advice(X, history, metadata(**settings))
    assert len(found) == len(expected)
    assert all(map(str.endswith, found, expected)), found


def test_a_text_known_by_heart_leaves_a_loss_of_0() -> None:
    by_heart = rows((1.0, 0.0), (0.5, 0.4), (0.0, 0.5))
    for known in (by_heart, [*FALLING, *rows((0.0, 1.94))]):
        assert report.advice(X, known, metadata())[0].endswith("--dropout 0.2")


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


def progress_of(
    capsys: pytest.CaptureFixture[str], seconds: list[float], **settings: float
) -> list[str]:
    """Returns the lines of a run whose epochs end at these times."""
    tokenizer = build_tokenizer("a b", TokenizerSettings("word"))
    clock = RunClock(None, 600.0, tokens_per_step=4)
    progress = report.Progress(clock, TrainingSettings(minutes=10.0, **settings), tokenizer)
    for epoch, end in enumerate(seconds, start=1):
        clock.step, clock.seconds = epoch, end
        progress.show_steps(epoch, 1.0, 0.01)
        row = {"epoch": epoch, "loss": 1.0, "seconds": end, "gradient_norm": 1.0}
        progress.show_epoch(row | measures(1.0, 4.0, tokenizer))
    progress.close()
    return capsys.readouterr().err.splitlines()


def test_ten_thousand_epochs_are_no_flood(capsys: pytest.CaptureFixture[str]) -> None:
    told = progress_of(capsys, [0.01 * epoch for epoch in range(1, 10_001)])
    assert [line.split()[1] for line in told[:50]] == [str(epoch) for epoch in range(1, 51)]
    assert 150 < len(told) < 170  # 1.05 ** 109 is 10,000 / 50
    assert told[-1].startswith("epoch 10000  loss 1.000")


def test_a_long_epoch_is_not_silent_where_there_is_no_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = progress_of(capsys, [50.0, 100.0, 161.0])
    assert [line.split("  ")[0] for line in told] == ["epoch 1", "epoch 2", "step 3", "epoch 3"]
