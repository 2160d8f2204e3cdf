import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen.settings.definitions import (
    ModelSettings,
    SamplingSettings,
    TokenizerSettings,
    TrainingSettings,
)
from textgen.support.errors import TextgenError

ALL = (ModelSettings, SamplingSettings, TokenizerSettings, TrainingSettings)


def test_defaults_are_the_documented_ones() -> None:
    model, training = ModelSettings(), TrainingSettings()
    assert (model.embedding_size, model.rnn_size, model.num_layers) == (64, 128, 2)
    assert (training.batch_size, training.seq_length, training.seq_step) == (32, 50, 25)
    assert (training.most_epochs, training.validation_split, training.minutes) == (50, 0, None)
    assert SamplingSettings().temperature == 1


def test_weights_are_tied_only_where_the_sizes_agree() -> None:
    assert ModelSettings(embedding_size=5, rnn_size=5, tie_weights=True).is_tied
    assert not ModelSettings(embedding_size=5, rnn_size=6, tie_weights=True).is_tied
    assert not ModelSettings(embedding_size=5, rnn_size=5).is_tied


def test_what_is_to_be_tied_is_made_equally_wide_or_refused() -> None:
    tied = {"tie_weights": True}
    assert ModelSettings.from_given(tied).embedding_size == 128
    assert ModelSettings.from_given({"rnn_size": 7}, tied | {"embedding_size": 9}).is_tied
    untied = ModelSettings.from_given({"embedding_size": 100}, tied)
    assert (untied.embedding_size, untied.tie_weights) == (100, False), "nobody asked for it"
    with pytest.raises(
        TextgenError,
        match=r"`embedding_size=64` is not `rnn_size=128`\. Leave `embedding_size` out",
    ):
        ModelSettings.from_given(tied | {"embedding_size": 64})


@pytest.mark.parametrize(
    ("limits", "epochs", "length"),
    [
        ({}, 50, "50 epochs"),
        ({"num_epochs": 1}, 1, "1 epoch"),
        ({"minutes": 0.5}, None, "0.5 minutes"),
        ({"minutes": 1.0, "num_epochs": 3}, 3, "1 minute or 3 epochs"),
    ],
)
def test_a_run_has_the_length_that_is_given(
    limits: dict[str, float], epochs: int | None, length: str
) -> None:
    settings = TrainingSettings(**limits)
    assert (settings.most_epochs, settings.length) == (epochs, length)


def test_contradictions_are_refused() -> None:
    with pytest.raises(TextgenError, match="`lowercase` contradicts `pristine_input`"):
        TokenizerSettings(lowercase=True, pristine_input=True)


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (ModelSettings, {"rnn_size": 0}, "`rnn_size` must be at least 1. Received: 0"),
        (ModelSettings, {"num_layers": -2}, "`num_layers` must be at least 1. Received: -2"),
        (ModelSettings, {"dropout": 1.0}, "`dropout` must be below 1. Received: 1.0"),
        (ModelSettings, {"dropout": float("nan")}, "`dropout` must be a finite number"),
        (ModelSettings, {"rnn_size": 1.5}, "`rnn_size` takes a value of type int. Received: 1.5"),
        (ModelSettings, {"rnn_size": True}, "`rnn_size` takes a value of type int"),
        (TrainingSettings, {"minutes": 0}, "`minutes` must be above 0. Received: 0"),
        (TrainingSettings, {"learning_rate": "x"}, "`learning_rate` takes a value of type float"),
        (SamplingSettings, {"temperature": -1}, "`temperature` must be at least 0. Received: -1"),
        (
            SamplingSettings,
            {"temperature": (1, -2)},
            "`temperature` must be at least 0. Received: -2",
        ),
        (SamplingSettings, {"temperature": ()}, "`temperature` takes a value of type float"),
        (SamplingSettings, {"top_k": (1,)}, "`top_k` takes a value of type int. Received: (1,)"),
        (SamplingSettings, {"stop": "text"}, "`stop` takes several values of type str"),
        (SamplingSettings, {"stop": ("a", 1)}, "`stop` takes a value of type str. Received: 1"),
        (SamplingSettings, {"ban": ("",)}, "`ban` must not be empty"),
        (SamplingSettings, {"sample_mode": "best"}, "`sample_mode` must be one of sample, argmax,"),
    ],
)
def test_values_out_of_range_name_the_setting(settings, values, message) -> None:
    with pytest.raises(TextgenError) as error:
        settings(**values)
    assert message in str(error.value)


@pytest.mark.parametrize("settings", ALL)
def test_every_setting_is_explained(settings) -> None:
    for field in dataclasses.fields(settings):
        assert field.metadata["help"], field.name


@given(
    st.builds(
        TrainingSettings,
        batch_size=st.integers(1, 99),
        minutes=st.none() | st.floats(0.1, 1e6),
        random_seed=st.none() | st.integers(0, 2**32 - 1),
    )
)
def test_plain_dict_round_trip(settings: TrainingSettings) -> None:
    assert TrainingSettings.from_dict(settings.to_dict()) == settings


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(TextgenError, match=r"unknown setting 'rnn_sise'\. Nearest: rnn_size$"):
        ModelSettings.from_dict({"rnn_sise": 5})
    with pytest.raises(TextgenError, match=r"unknown setting 'diversity'\. Nearest: temperature$"):
        SamplingSettings.from_dict({"diversity": 1})


def test_residual_connections_need_two_layers() -> None:
    with pytest.raises(TextgenError, match="`residual` needs a second layer"):
        ModelSettings(num_layers=1, residual=True)


def test_a_name_that_is_no_text_is_no_setting() -> None:
    with pytest.raises(TextgenError, match="unknown setting '7'"):
        TokenizerSettings.from_dict({7: True, "lowercase": True})


def test_an_optimizer_that_is_no_name_is_refused() -> None:
    with pytest.raises(TextgenError, match="`optimizer` takes a value of type str"):
        TrainingSettings.from_given({"optimizer": ["adam"]})


def test_what_is_forced_must_not_be_banned() -> None:
    with pytest.raises(TextgenError, match="`ban` 'rag' contradicts `force` 'dragon', which has"):
        SamplingSettings(ban=("x", "rag"), force=("a", "dragon"))
