from pathlib import Path

import pytest

from textgen import closing
from textgen.config import ModelConfig, TrainingConfig
from textgen.history import Row


def rows(*losses: tuple[float, float | None]) -> list[Row]:
    return [
        {"epoch": epoch, "loss": loss, **({} if val is None else {"val_loss": val})}
        for epoch, (loss, val) in enumerate(losses, start=1)
    ]


RISING = rows((2.0, 2.1), (1.5, 1.8), (1.0, 2.0))
FALLING = rows((2.0, 2.1), (1.9, 2.0))
BLIND = rows((2.0, None), (1.5, None))


def test_the_panel_says_what_was_reached_and_what_comes_next() -> None:
    lines = closing.panel(Path("data/x"), RISING, ModelConfig(), TrainingConfig(), "word")
    assert lines[0] == "best: epoch 2 of 3, 1.800 nats per word, 6.05 perplexity"
    assert lines[1] == "overfitting: yes, the validation loss rises after epoch 2"
    assert lines[2].startswith("to try: more --dropout than 0: in 10 minutes")
    assert lines[-2:] == [
        "more text:  python sample.py --data-dir data/x",
        "go on:      python train.py --data-dir data/x --resume --num-epochs 100",
    ]


@pytest.mark.parametrize(
    ("history", "verdict", "first"),
    [
        (FALLING, "overfitting: none seen", "a larger --rnn-size"),
        (BLIND, "overfitting: cannot be seen without held-out text", "--validation-split 0.1"),
        (rows((1.0, 2.0)), "overfitting: none seen", "more --dropout"),
    ],
)
def test_verdict_and_advice_fit_the_history(history, verdict: str, first: str) -> None:
    lines = closing.panel(Path("x"), history, ModelConfig(), TrainingConfig(minutes=2.0), "word")
    assert lines[1] == verdict
    assert lines[2].startswith(f"to try: {first}")
    assert lines[-1].endswith("--minutes 4")


def test_three_rules_of_thumb_at_most() -> None:
    config = TrainingConfig(optimizer="sgd")
    assert len(closing.advice(FALLING, ModelConfig(), config)) == 3
    lines = closing.panel(Path("x"), FALLING, ModelConfig(), config, "character")
    assert sum(line.startswith("to try: ") for line in lines) == closing.MOST_ADVICE
