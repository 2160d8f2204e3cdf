from dataclasses import replace
from itertools import pairwise

import pytest

from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support.errors import TextgenError
from textgen.training import sizing


def chosen(minutes: float, tokens: int = 1_000_000, words: bool = False, speed: float = 1.0):
    return sizing.choose(minutes, tokens, words, speed * sizing.REFERENCE_GFLOPS).settings


def weights(settings) -> int:
    return settings["num_layers"] * settings["rnn_size"] ** 2


def test_more_time_or_a_faster_machine_gives_a_larger_model() -> None:
    sizes = [weights(chosen(minutes)) for minutes in (0.1, 0.4, 1.17, 10)]
    assert sizes == sorted(set(sizes))
    assert chosen(1.17)["rnn_size"] == 320
    assert weights(chosen(1.17, speed=0.1)) < weights(chosen(1.17))


def test_a_text_that_is_read_more_often_gets_more_dropout() -> None:
    shares = [chosen(10, tokens)["dropout"] for tokens in (10**9, 10**6, 10**5, 10**4)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 0.5)


def test_dropout_grows_in_small_steps_with_the_time() -> None:
    shares = [chosen(minutes / 4)["dropout"] for minutes in range(1, 41)]
    assert max(abs(later - share) for share, later in pairwise(shares)) < 0.11


def test_choices_are_valid_settings() -> None:
    for words in (False, True):
        settings = chosen(5, words=words)
        values = ModelSettings().to_dict() | TrainingSettings().to_dict()
        assert settings.keys() <= values.keys()
        if words:
            assert settings["embedding_size"] == settings["rnn_size"], "so that weights are tied"


def test_words_that_are_read_a_few_times_are_learned_in_small_steps() -> None:
    often, seldom = chosen(2, 140_000, words=True), chosen(2, 150_000, words=True)
    assert (often["rnn_size"], often["dropout"]) == (256, 0.5), "10.3 readings"
    assert "cell" not in often
    assert (seldom["cell"], seldom["tie_weights"], seldom["batch_size"]) == ("gru", False, 8)
    assert chosen(2, 150_000, words=True, speed=2)["rnn_size"] == 256


def test_the_reason_has_the_numbers() -> None:
    choice = sizing.choose(2, 960_000, False, sizing.REFERENCE_GFLOPS)
    assert choice.reason == ("about 40,000 characters/s here read the text 5.0 times in 2 minutes")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"minutes": 1.0}, True),
        ({"minutes": 1.0, "dropout": 0.1}, True),
        ({"minutes": 1.0, "rnn_size": 64}, False),
        ({"num_layers": 1, "minutes": 1.0}, False),
        ({}, False),
    ],
)
def test_sizes_are_chosen_only_for_minutes_alone(given, wanted: bool) -> None:
    assert sizing.is_wanted(given) is wanted


def test_the_speed_of_this_machine_is_plausible() -> None:
    assert 0.1 < sizing.measure_gflops(seconds=0.01) < 100_000


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
