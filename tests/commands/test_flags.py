"""Flags that are made from settings."""

from pathlib import Path

import pytest

from textgen.commands.flags import (
    ArgumentParser,
    add_common,
    add_settings,
    flag_fields,
    given_settings,
    numbers,
)
from textgen.settings.definitions import (
    ModelSettings,
    SamplingSettings,
    TokenizerSettings,
    TrainingSettings,
)
from textgen.support import console
from textgen.support.errors import TextgenError
from textgen.tokens.words import WordTokenizer

ALL = (ModelSettings, SamplingSettings, TokenizerSettings, TrainingSettings)


def parsed(*flags: str):
    """Returns the settings that the flags give, by name."""
    # "resolve": training and sampling each have a --random-seed, and no script has both.
    parser = ArgumentParser(prog="program", conflict_handler="resolve")
    for settings in ALL:
        add_settings(parser, settings)
    return given_settings(parser.read(flags), *ALL)


@pytest.mark.parametrize("settings", ALL)
def test_flags_without_arguments_give_the_defaults(settings) -> None:
    assert settings.from_given(parsed()) == settings()


def test_word_models_have_defaults_of_their_own() -> None:
    flags = parsed("--rnn-size", "7")
    assert ModelSettings.from_given(flags, WordTokenizer.defaults) == ModelSettings(
        7, 7, 1, 0.5, 0.3, True
    )
    training = TrainingSettings.from_given(flags, WordTokenizer.defaults)
    assert (training.batch_size, training.seq_length) == (16, 35)
    untied = ModelSettings.from_given(parsed("--no-tie-weights"), WordTokenizer.defaults)
    assert not untied.tie_weights


def test_flags_set_fields() -> None:
    flags = parsed("--rnn-size", "7", "--word-tokens", "--minutes", "1.5", "--temperature", "0.2")
    assert ModelSettings.from_given(flags) == ModelSettings(rnn_size=7)
    assert TokenizerSettings.from_given(flags) == TokenizerSettings("word")
    assert TrainingSettings.from_given(flags) == TrainingSettings(minutes=1.5)
    assert SamplingSettings.from_given(flags) == SamplingSettings(temperature=0.2)


def test_each_tokenizer_but_the_default_has_a_flag() -> None:
    parser = ArgumentParser()
    add_settings(parser, TokenizerSettings)
    said = " ".join(parser.format_help().split())
    assert "how text becomes tokens: --tokens KIND what a token is: character, word," in said
    assert "--word-tokens model words instead of characters" in said
    assert "--subword-tokens model pieces of words" in said
    assert "--character-tokens" not in said


@pytest.mark.parametrize("flags", [["--rnn-size", "many"], ["--no-such-flag"], ["--rnn-size"]])
def test_wrong_command_lines_raise_one_line(flags: list[str]) -> None:
    with pytest.raises(TextgenError, match=r"^[^\n]*\(see program --help\)$"):
        parsed(*flags)


def test_help_shows_defaults_and_ranges_of_words() -> None:
    parser = ArgumentParser()
    add_settings(parser, ModelSettings)
    assert "units per recurrent layer (H) (default: 128; word models: 256)" in " ".join(
        parser.format_help().split()
    )


def test_help_has_headings_made_of_the_fields() -> None:
    parser = ArgumentParser()
    add_settings(parser, SamplingSettings)
    written, drawn = parser.format_help().split("how each token is drawn:")
    assert "what is written:\n  --length N" in written
    assert "--stop TEXT" in written
    assert drawn.startswith("\n  --diversity")


def test_a_heading_without_flags_is_not_shown() -> None:
    parser = ArgumentParser()
    fields = frozenset(field.name for field in flag_fields(TokenizerSettings))
    add_settings(parser, TokenizerSettings, without=fields - {"lowercase"})
    assert "how text becomes tokens:\n  --lowercase" in parser.format_help()
    parser = ArgumentParser()
    add_settings(parser, TokenizerSettings, without=fields)
    assert "how text becomes tokens" not in parser.format_help()


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [
        ("--minuts", "--minutes"), ("--rnn_size=3", "--rnn-size"), ("--diversty", "--diversity"),
        ("--lstm-size=9", "--rnn-size"), ("-rnn_size", "--rnn-size"),
    ],
)  # fmt: skip
def test_the_flag_that_was_meant_is_named(flag: str, nearest: str) -> None:
    with pytest.raises(TextgenError, match=rf"{flag}\. Nearest: {nearest} \(see"):
        parsed(flag)


@pytest.mark.parametrize("flag", ["--xyzzy", "file.txt", "-9"])
def test_nothing_is_named_where_nothing_is_near(flag: str) -> None:
    with pytest.raises(TextgenError, match=rf"unrecognized arguments: {flag} \(see"):
        parsed(flag)


def test_flags_for_several_values() -> None:
    flags = parsed("--diversity", "0.2,0.8", "--stop", "a", "--stop", "b,c")
    settings = SamplingSettings.from_given(flags)
    assert (settings.temperature, settings.stop, settings.ban) == ((0.2, 0.8), ("a", "b,c"), ())
    assert hash(settings) == hash(SamplingSettings.from_dict(settings.to_dict()))
    assert SamplingSettings.from_dict({"stop": ["a"], "temperature": [1, 2]}).stop == ("a",)


def test_an_optimizer_brings_its_own_learning_rate_unless_one_is_given() -> None:
    settings = TrainingSettings.from_given(parsed("--optimizer", "rmsprop"))
    assert (settings.learning_rate, settings.weight_decay) == (0.005, 0.0)
    flags = ("--optimizer", "sgd", "--learning-rate", "3", "--weight-decay", "0.1")
    settings = TrainingSettings.from_given(parsed(*flags))
    assert (settings.learning_rate, settings.weight_decay) == (3, 0.1)
    assert TrainingSettings.from_given(parsed("--optimizer", "adamw")) == TrainingSettings()


def test_settings_in_messages_are_printed_as_their_flags(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = "`rnn_size` 3, `temperature=0.5`, `tie_weights=False`, `residual=True`, `unknown`"
    with console.flags_for_settings():
        parsed()
        console.say(message)
    said = "--rnn-size 3, --diversity 0.5, --no-tie-weights, --residual, `unknown`"
    assert capsys.readouterr().err == f"{said}\n"
    console.say(message)
    assert capsys.readouterr().err == f"{message}\n", "outside of a command"


def test_numbers_have_commas_between_them() -> None:
    assert (numbers("1"), numbers("0.5,2")) == (1.0, (0.5, 2.0))
    problem = "argument --diversity/--temperature: must be a number, or several as in 0.5,0.8. Re"
    with pytest.raises(TextgenError, match=problem):
        parsed("--diversity", "x")
    with pytest.raises(TextgenError, match=r"--rnn-size: must be a whole number. Received: '2.5'"):
        parsed("--rnn-size", "2.5")


def test_a_length_may_be_more_of_it() -> None:
    flags = parsed("--minutes", "+2.5", "--num-epochs", "7")
    assert (flags["minutes"], flags["num_epochs"]) == ("+2.5", 7)
    with pytest.raises(TextgenError, match=r"--minutes: must be a number.*'\+x'"):
        parsed("--minutes", "+x")
    with pytest.raises(TextgenError, match=r"--num-epochs: must be a whole number"):
        parsed("--num-epochs", "+1.5")


def test_a_folder_or_a_file_without_its_flag_is_told_how_to_be_given(tmp_path: Path) -> None:
    parser = ArgumentParser(prog="program")
    add_common(parser)
    text = tmp_path / "my book.txt"
    text.write_text("x")
    with pytest.raises(TextgenError, match=rf"{tmp_path}\. A folder is given as --data-dir /"):
        parser.read([str(tmp_path)])
    with pytest.raises(TextgenError, match=r"python -m textgen corpus '.*my book.txt' --out") as no:
        parser.read([str(text)])
    assert "--out 'data/my book' (see program --help)" in str(no.value)
    with pytest.raises(TextgenError, match=r"arguments: gone \(see program --help\)"):
        parser.read(["gone"])


def test_a_value_of_a_switch_is_told_to_be_none() -> None:
    parser = ArgumentParser(prog="program")
    add_common(parser)
    with pytest.raises(TextgenError, match=r"arguments: True\. A switch has no value: give the"):
        parser.read(["--quiet", "True"])


def test_a_folder_that_is_given_twice_is_refused() -> None:
    parser = ArgumentParser(prog="program")
    add_common(parser)
    with pytest.raises(TextgenError, match=r"--data-dir is given twice: a and b\. Give one \(see"):
        parser.read(["--data-dir", "a", "--data-dir", "b"])
