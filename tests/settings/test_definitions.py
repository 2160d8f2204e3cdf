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
from textgen.settings.fields import ArgumentParser
from textgen.support.errors import TextgenError

ALL = (ModelSettings, SamplingSettings, TokenizerSettings, TrainingSettings)


def parsed(*flags: str):
    # "resolve": training and sampling each have a --random-seed, and no script has both.
    parser = ArgumentParser(prog="program", conflict_handler="resolve")
    for settings in ALL:
        settings.add_flags(parser)
    return parser.parse_args(flags)


def test_defaults_are_the_documented_ones() -> None:
    model, training = ModelSettings(), TrainingSettings()
    assert (model.embedding_size, model.rnn_size, model.num_layers) == (64, 128, 2)
    assert (training.batch_size, training.seq_length, training.seq_step) == (32, 50, 25)
    assert (training.num_epochs, training.validation_split, training.minutes) == (50, 0, None)
    assert SamplingSettings().temperature == 1


@pytest.mark.parametrize("settings", ALL)
def test_flags_without_arguments_give_the_defaults(settings) -> None:
    assert settings.from_flags(parsed()) == settings()


def test_word_models_have_defaults_of_their_own() -> None:
    flags = parsed("--rnn-size", "7")
    assert ModelSettings.from_flags(flags, word_tokens=True) == ModelSettings(
        256, 7, 1, 0.5, 0.3, True
    )
    training = TrainingSettings.from_flags(flags, word_tokens=True)
    assert (training.batch_size, training.seq_length) == (16, 35)
    untied = ModelSettings.from_flags(parsed("--no-tie-weights"), word_tokens=True)
    assert not untied.tie_weights


def test_weights_are_tied_only_where_the_sizes_agree() -> None:
    assert ModelSettings(embedding_size=5, rnn_size=5, tie_weights=True).is_tied
    assert not ModelSettings(embedding_size=5, rnn_size=6, tie_weights=True).is_tied
    assert not ModelSettings(embedding_size=5, rnn_size=5).is_tied


def test_contradictions_are_refused() -> None:
    with pytest.raises(TextgenError, match="--lowercase contradicts --pristine-input"):
        TokenizerSettings(lowercase=True, pristine_input=True)


def test_flags_set_fields() -> None:
    flags = parsed("--rnn-size", "7", "--word-tokens", "--minutes", "1.5", "--temperature", "0.2")
    assert ModelSettings.from_flags(flags) == ModelSettings(rnn_size=7)
    assert TokenizerSettings.from_flags(flags) == TokenizerSettings(word_tokens=True)
    assert TrainingSettings.from_flags(flags) == TrainingSettings(minutes=1.5)
    assert SamplingSettings.from_flags(flags) == SamplingSettings(temperature=0.2)


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (ModelSettings, {"rnn_size": 0}, "--rnn-size must be at least 1. Received: 0"),
        (ModelSettings, {"num_layers": -2}, "--num-layers must be at least 1. Received: -2"),
        (ModelSettings, {"dropout": 1.0}, "--dropout must be below 1. Received: 1.0"),
        (ModelSettings, {"dropout": float("nan")}, "--dropout must be a finite number"),
        (ModelSettings, {"rnn_size": 1.5}, "--rnn-size takes a value of type int. Received: 1.5"),
        (ModelSettings, {"rnn_size": True}, "--rnn-size takes a value of type int"),
        (TrainingSettings, {"minutes": 0}, "--minutes must be above 0. Received: 0"),
        (TrainingSettings, {"learning_rate": "x"}, "--learning-rate takes a value of type float"),
        (SamplingSettings, {"temperature": -1}, "--diversity must be at least 0. Received: -1"),
        (
            SamplingSettings,
            {"temperature": (1, -2)},
            "--diversity must be at least 0. Received: -2",
        ),
        (SamplingSettings, {"temperature": ()}, "--diversity takes a value of type float"),
        (SamplingSettings, {"top_k": (1,)}, "--top-k takes a value of type int. Received: (1,)"),
        (SamplingSettings, {"stop": "text"}, "--stop takes several values of type str"),
        (SamplingSettings, {"stop": ("a", 1)}, "--stop takes a value of type str. Received: 1"),
        (SamplingSettings, {"ban": ("",)}, "--ban must not be empty"),
        (SamplingSettings, {"sample_mode": "best"}, "--sample-mode must be one of sample, argmax,"),
    ],
)
def test_values_out_of_range_name_the_flag(settings, values, message) -> None:
    with pytest.raises(TextgenError) as error:
        settings(**values)
    assert message in str(error.value)


@pytest.mark.parametrize("flags", [["--rnn-size", "many"], ["--no-such-flag"], ["--rnn-size"]])
def test_wrong_command_lines_raise_one_line(flags: list[str]) -> None:
    with pytest.raises(TextgenError, match=r"^[^\n]*\(see program --help\)$"):
        parsed(*flags)


def test_help_shows_defaults_and_ranges_of_words() -> None:
    parser = ArgumentParser()
    ModelSettings.add_flags(parser)
    assert "units per recurrent layer (H) (default: 128; word models: 256)" in " ".join(
        parser.format_help().split()
    )


def test_help_has_headings_made_of_the_fields() -> None:
    parser = ArgumentParser()
    SamplingSettings.add_flags(parser)
    written, drawn = parser.format_help().split("how each token is drawn:")
    assert "what is written:\n  --length N" in written
    assert "--stop TEXT" in written
    assert drawn.startswith("\n  --diversity X")


def test_a_heading_without_flags_is_not_shown() -> None:
    parser = ArgumentParser()
    fields = frozenset(field.name for field in dataclasses.fields(TokenizerSettings))
    TokenizerSettings.add_flags(parser, without=fields - {"lowercase"})
    assert "how text becomes tokens:\n  --lowercase" in parser.format_help()
    parser = ArgumentParser()
    TokenizerSettings.add_flags(parser, without=fields)
    assert "how text becomes tokens" not in parser.format_help()


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [("--minuts", "--minutes"), ("--rnn_size=3", "--rnn-size"), ("--diversty", "--diversity")],
)
def test_the_flag_that_was_meant_is_named(flag: str, nearest: str) -> None:
    with pytest.raises(TextgenError, match=rf"{flag}\. Nearest: {nearest} \(see"):
        parsed(flag)


@pytest.mark.parametrize("flag", ["--xyzzy", "file.txt", "-9"])
def test_nothing_is_named_where_nothing_is_near(flag: str) -> None:
    with pytest.raises(TextgenError, match=rf"unrecognized arguments: {flag} \(see"):
        parsed(flag)


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


def test_flags_for_several_values() -> None:
    flags = parsed("--diversity", "0.2,0.8", "--stop", "a", "--stop", "b,c")
    settings = SamplingSettings.from_flags(flags)
    assert (settings.temperature, settings.stop, settings.ban) == ((0.2, 0.8), ("a", "b,c"), ())
    assert hash(settings) == hash(SamplingSettings.from_dict(settings.to_dict()))
    assert SamplingSettings.from_dict({"stop": ["a"], "temperature": [1, 2]}).stop == ("a",)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(TextgenError, match=r"unknown setting 'rnn_sise'; known: .*rnn_size"):
        ModelSettings.from_dict({"rnn_sise": 5})


def test_residual_connections_need_two_layers() -> None:
    settings = ModelSettings(num_layers=2, residual=True)
    assert [settings.is_residual(layer) for layer in range(2)] == [False, True]
    with pytest.raises(TextgenError, match="--residual needs a second layer"):
        ModelSettings(num_layers=1, residual=True)


def test_an_optimizer_brings_its_own_learning_rate_unless_one_is_given() -> None:
    settings = TrainingSettings.from_flags(parsed("--optimizer", "rmsprop"))
    assert (settings.learning_rate, settings.weight_decay) == (0.005, 0.0)
    flags = ("--optimizer", "sgd", "--learning-rate", "3", "--weight-decay", "0.1")
    settings = TrainingSettings.from_flags(parsed(*flags))
    assert (settings.learning_rate, settings.weight_decay) == (3, 0.1)
    assert TrainingSettings.from_flags(parsed("--optimizer", "adamw")) == TrainingSettings()
