"""What a command line asks to be searched."""

from pathlib import Path

import pytest

from textgen.commands import search
from textgen.search.request import Request
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support.errors import TextgenError

BASE = ModelSettings().to_dict() | TrainingSettings().to_dict()


def request_of(*flags: object) -> Request:
    return Request.of(search.parse([str(flag) for flag in flags]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "space.yaml").write_text("dropout: {float: [0, 0.2]}\nbatch-size: 8\n")
    return tmp_path / "space.yaml"


def test_flags_that_are_given_are_not_searched() -> None:
    asked = request_of("--word-tokens", "--cell", "gru", "--rnn-size", "64")
    assert asked.fixed == {"word_tokens": True, "cell": "gru", "rnn_size": 64}
    assert not {"cell", "rnn_size"} & asked.full_space(BASE).keys()


def test_a_trial_takes_two_minutes_unless_told_otherwise() -> None:
    assert request_of().with_budget == {"minutes": 2.0}
    assert request_of("--minutes", 5).with_budget == {"minutes": 5.0}
    assert request_of("--num-epochs", 3).with_budget == {"num_epochs": 3}


def test_a_space_file_narrows_the_default_space_or_replaces_it(file: Path) -> None:
    narrowed = request_of("--space", file)
    full = narrowed.full_space(BASE)
    assert full["dropout"] == {"float": [0.0, 0.2]}
    assert "cell" in full
    assert "batch_size" not in full
    assert narrowed.fixed == {"batch_size": 8}
    file.write_text("base: none\n" + file.read_text())
    assert set(request_of("--space", file).full_space(BASE)) == {"dropout"}


def test_flags_and_space_file_must_agree(file: Path) -> None:
    with pytest.raises(TextgenError, match=r"--dropout 0.1 contradicts .*, which has dropout too"):
        request_of("--space", file, "--dropout", 0.1)
    file.write_text("base: none\ndropout: 0.1\n")
    with pytest.raises(TextgenError, match="nothing to search: every setting is given"):
        request_of("--space", file).full_space(BASE)


def test_a_search_of_something_else_is_refused(file: Path) -> None:
    facts = {"fixed": {"rnn_size": 8, "minutes": 1.0}, "file": {}, "objective": "loss"}
    request_of("--rnn-size", "8").refuse_others(facts | {"fixed": {"rnn_size": 8, "num_layers": 2}})
    request_of("--minutes", 1, "--objective", "loss").refuse_others(facts)
    for flags, problem in (
        (("--minutes", 2), "--minutes 2.0 does not fit: the search was begun with 1.0"),
        (("--no-tie-weights",), "--no-tie-weights does not fit: it was searched"),
        (("--dropout", 0.1), "--dropout 0.1 does not fit: it was searched"),
        (("--objective", "loss,speed"), "--objective does not fit"),
        (("--space", file), "--batch-size 8 does not fit"),
    ):
        with pytest.raises(TextgenError, match=problem):
            request_of(*flags).refuse_others(facts)
