"""`history.csv` and its picture."""

import math
import struct
import sys
import warnings
from pathlib import Path

import pytest

from tests.networks import LETTERS, word_tokenizer
from textgen.model import history
from textgen.model.history import Row, csv_text, loss_text, measures, selection_loss
from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer


def test_columns_begin_with_the_documented_ones_and_gaps_stay_empty() -> None:
    rows = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "gradient_norm": 0.5}]
    assert csv_text(rows).splitlines() == [
        "epoch,step,seconds,loss,val_loss,learning_rate,tokens_per_second,gradient_norm",
        "1,,,2.5,,,,",
        "2,,,2.0,,,,0.5",
    ]


def test_models_are_judged_by_validation_where_there_is_one() -> None:
    assert selection_loss({"loss": 1.0, "val_loss": 2.0}) == 2.0
    assert selection_loss({"loss": 1.0}) == 1.0
    assert selection_loss({}) == math.inf


CHARACTERS, WORDS = build_tokenizer(LETTERS, TokenizerSettings()), word_tokenizer()
LABELLED = build_tokenizer("<|x|>ab\nba", TokenizerSettings(documents="lines"))


def test_perplexity_is_the_number_of_equally_likely_tokens() -> None:
    assert history.perplexity(0.0) == 1.0
    assert history.perplexity(math.log(80)) == pytest.approx(80)
    assert history.perplexity(1000.0) == math.inf, "of a run that is about to diverge"


def test_a_loss_in_other_measures() -> None:
    """8 equally likely words of 3 characters: 3 bits each, 1 bit per character."""
    assert measures(math.log(8), 3.0, WORDS) == pytest.approx(
        {"perplexity": 8, "nats_per_character": math.log(2), "bits_per_character": 1}
    )
    assert measures(math.log(8), 1.0, CHARACTERS) == pytest.approx(
        {"nats_per_character": math.log(8), "bits_per_character": 3}
    )


def test_words_are_told_by_word_and_by_character() -> None:
    row = {"loss": 1.0, "val_loss": math.log(8), **measures(math.log(8), 3.0, WORDS)}
    beside = "perplexity 8.0; 0.693 nats, 1.000 bits per character"
    assert loss_text(row, WORDS) == f"2.079 nats per word, {beside}"
    assert loss_text(row, WORDS, beside=True) == beside


def test_where_a_token_is_a_character_its_nats_are_told_once() -> None:
    row = {"loss": math.log(8), **measures(math.log(8), 1.0, CHARACTERS)}
    assert loss_text(row, CHARACTERS) == "2.079 nats, 3.000 bits per character"
    assert loss_text(row, CHARACTERS, beside=True) == "3.000 bits per character"


def test_where_labels_are_tokens_a_token_is_no_character() -> None:
    row = {"loss": math.log(8), **measures(math.log(8), 1.5, LABELLED)}
    per_character = "1.386 nats, 2.000 bits per character"
    assert loss_text(row, LABELLED) == f"2.079 nats per token; {per_character}"
    assert loss_text(row, LABELLED, beside=True) == per_character


def test_a_row_of_before_there_were_measures_per_character_is_told_as_it_was() -> None:
    assert loss_text({"loss": math.log(8), "perplexity": 8}, WORDS) == (
        "2.079 nats per word, perplexity 8.0"
    )
    row = {"loss": math.log(8), "bits_per_character": 3.0}
    assert loss_text(row, CHARACTERS) == "2.079 nats, 3.000 bits per character"
    assert loss_text({"loss": 2.0}, CHARACTERS) == "2.000 nats per character"


def rows(count: int) -> list[Row]:
    return [
        {
            "epoch": epoch, "loss": 3 / epoch, "val_loss": 3 / epoch + 0.01 * epoch,
            "learning_rate": 0.004, "update_ratio_embedding": 0.01, "update_ratio_lstm_1": 0.002,
        }
        for epoch in range(1, count + 1)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 50])
def test_a_picture_of_the_run(tmp_path: Path, count: int) -> None:
    history.draw(tmp_path, rows(count), CHARACTERS)
    data = (tmp_path / "history.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">2I", data[16:24]) == (990, 990)


def test_the_picture_tells_the_best_loss_in_all_measures() -> None:
    best = rows(2)[1] | measures(1.52, 4.0, WORDS)
    _, _, label = history.picture([rows(1)[0], best], WORDS).axes[0].get_legend().get_texts()
    assert label.get_text().splitlines() == [
        "best: epoch 2,", "1.520 nats per word,", "perplexity 4.6;", "0.380 nats,",
        "0.548 bits per character",
    ]  # fmt: skip


def test_updates_that_end_at_nothing_leave_room_for_the_others() -> None:
    for last, share in ((1e-12, 1e-4), (1e-3, 10**-1.1)):  # matplotlib's margins are a twentieth
        two: list[Row] = [
            {"epoch": 1, "update_ratio_a": 1e-2},
            {"epoch": 2, "update_ratio_a": last},
        ]
        bottom, top = history.picture(two, WORDS).axes[2].get_ylim()
        assert bottom / top == pytest.approx(share)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written: list[Row] = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "val_loss": 2.25}]
    (tmp_path / "history.csv").write_text(csv_text(written))
    assert history.read(tmp_path) == written
    assert [type(row["epoch"]) for row in history.read(tmp_path)] == [int, int]


@pytest.mark.parametrize("content", [None, b"", b"epoch,loss\n1,abc\n", b"\xff\xfe\n"])
def test_what_is_no_history_has_no_rows(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "history.csv").write_bytes(content)
    assert history.read(tmp_path) == []


def test_a_picture_of_nothing_or_without_matplotlib_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(TextgenError, match="no epoch of the training has ended"):
        history.picture([], WORDS)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(TextgenError, match="pip install matplotlib"):
        history.picture(rows(1), WORDS)


def test_nothing_is_drawn_of_no_epochs(tmp_path: Path) -> None:
    history.draw(tmp_path, [], WORDS)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_before_a_column_was_there_leave_a_gap(tmp_path: Path) -> None:
    history.draw(tmp_path, [{"epoch": 1, "loss": 2.0}, *rows(2)[1:]], WORDS)
    assert (tmp_path / "history.png").exists()


def test_without_matplotlib_training_goes_on_and_says_once_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    history.has_matplotlib.cache_clear()
    for _ in range(2):
        history.draw(tmp_path, rows(1), CHARACTERS)
    history.has_matplotlib.cache_clear()
    assert capsys.readouterr().err.count("pip install matplotlib") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ended_at_once_is_drawn_without_a_warning() -> None:
    """One step, with a learning rate of zero."""
    rows = [{"epoch": 0.08, "loss": 2.0, "learning_rate": 0.0, "update_ratio_logits": 0.0}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history.picture(rows, CHARACTERS).canvas.draw()


def test_a_cell_too_many_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,loss\n1,2.0,3\n")
    assert history.read(tmp_path) == [{"epoch": 1, "loss": 2.0}]
