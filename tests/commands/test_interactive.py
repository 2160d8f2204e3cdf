import io
import sys
from pathlib import Path

import pytest

from tests.networks import biased_generator, random_generator, word_tokenizer
from tests.processes import in_a_terminal
from textgen.commands.interactive import Interactive, ask
from textgen.settings.definitions import SamplingSettings, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer

MODEL = biased_generator({"a": 0.5, "b": 0.3, ".": 0.2})


def written(answers: list[str], model=MODEL, seed: str = "", **controls) -> str:
    """What comes of a person's answers; after the last one the input ends."""
    waiting = iter(answers)

    def answer(prompt: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    together = Interactive(model, seed, SamplingSettings(**controls), 3, answer)
    together.run()
    return together.written


def test_numbers_take_the_tokens_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(["1", "2", "3"], seed="b") == "ab."
    out, err = capsys.readouterr()
    assert out == ""
    assert "  1   50.0%  'a'\n  2   30.0%  'b'\n  3   20.0%  '.'\n" in err


def test_own_text_and_going_back() -> None:
    assert written(["bb", "1", "<", " a.", "q", "1"], seed="b") == "bb a."


def test_there_is_nothing_before_the_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(["<", "1"], seed="bb") == "a"
    assert "this is the beginning" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["0", "4", "99"])
def test_numbers_that_are_not_there(answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert written([answer]) == ""
    assert f"choose a number from 1 to 3. Received: {answer}" in capsys.readouterr().err


def test_the_model_draws_a_token_or_a_sentence() -> None:
    assert written(["", ""], random_seed=3, sample_mode="argmax") == "aa"
    sentence = written(["."], random_seed=3)
    assert sentence.endswith(".")
    assert "." not in sentence[:-1]
    assert written(["", "", "", "", "", ""], random_seed=1) != written([""] * 6, random_seed=2)


def test_a_sentence_ends_where_it_does_everywhere() -> None:
    model = biased_generator({"…": 0.5, "a": 0.4, "\n": 0.1})
    for seed in range(9):
        assert set(written(["."], model, "a", random_seed=seed)[:-1]) <= {"a", "\n"}


def test_what_leaves_no_choice_is_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    words = random_generator(word_tokenizer())
    assert written(["  ", "The"], words) == "The"
    assert "has no words. Received: '  '. Going back" in capsys.readouterr().err
    with pytest.raises(TextgenError, match="leave no token"):
        written(["1"], ban=("a", "b", "."))


def test_a_sentence_that_does_not_end_is_cut() -> None:
    assert written(["."], sample_mode="argmax") == "a" * 400


def test_help_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(["?"]) == ""
    assert capsys.readouterr().err.count("go back") == 2


def test_chosen_words_are_set_like_prose() -> None:
    model = random_generator(word_tokenizer())
    shown = [token for token, _ in model.next_tokens("The old", 3)]
    text = written(["1"], model, seed="The old")
    decoder = model.tokenizer.prompt("The old").decoder
    assert text == decoder.push(shown[0])
    assert text.strip() in (shown[0], shown[0].strip())


def test_a_session_in_a_terminal(trained_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    command = (
        "sample.py", "--data-dir", str(trained_dir), "--seed", "The river", "--interactive", "4",
        "--random-seed", "1", "--output", str(path),
    )  # fmt: skip
    with in_a_terminal(*command) as terminal:
        first = terminal.read_until("> ")
        assert "go back" in first
        assert [f"{n}  " in first for n in (1, 2, 3, 4, 5)] == [True] * 4 + [False]
        for answer in (" keeps", "1", "<", "."):
            terminal.type(answer + "\n")
            assert "Traceback" not in terminal.read_until("> ")
        terminal.type("q\n")
        assert "Traceback" not in terminal.read_to_end()
    assert terminal.process.returncode == 0
    assert path.read_text(encoding="utf-8").startswith("The river keeps")


def test_ctrl_c_keeps_what_was_written_together(trained_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    command = (
        "sample.py", "--data-dir", str(trained_dir), "--seed", "The river", "--interactive",
        "--output", str(path),
    )  # fmt: skip
    with in_a_terminal(*command) as terminal:
        terminal.read_until("> ")
        terminal.type(" keeps\n")
        terminal.read_until("> ")
        terminal.type("\x03")
        assert "Traceback" not in terminal.read_to_end()
    assert terminal.process.returncode == 130
    assert path.read_text(encoding="utf-8") == "The river keeps\n"


def test_a_terminal_shows_the_text_in_colour_while_it_is_made(trained_dir: Path) -> None:
    command = ("sample.py", "--data-dir", str(trained_dir), "--seed", "The", "--length", "-1")
    with in_a_terminal(*command) as terminal:
        shown = ""
        while len(shown) < 3000:
            shown += terminal.read_until("e")
        assert shown.startswith("\x1b[36mThe\x1b[0m")
        terminal.type("\x03")
        rest = terminal.read_until("interrupted") + terminal.read_to_end()
        assert "Traceback" not in rest
    assert terminal.process.returncode == 130


def test_the_end_of_input_ends_the_line_of_the_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
    assert ask("> ") == "a"
    with pytest.raises(EOFError):
        ask("> ")
    assert capsys.readouterr() == ("", "> > \n")


def test_choosing_the_end_of_a_document_ends_it_and_a_label_is_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = TokenizerSettings(documents="lines")
    tokenizer = build_tokenizer("<|x|>ab\n<|y|>a", settings)
    model = biased_generator({"<|endoftext|>": 0.5, "<|y|>": 0.3, "a": 0.2}, tokenizer)
    # The label is banned once it is given: the end and the letters are left to choose from.
    assert written(["2", "2", "2", "1", "2"], model) == "aa"
    shown = capsys.readouterr().err
    assert "1   50.0%  '<|endoftext|>'\n  2   30.0%  '<|y|>'\n" in shown
    assert written([""], model, sample_mode="argmax") == ""
    assert "the model would end the text here" in capsys.readouterr().err


def test_what_is_typed_in_another_encoding_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(TextgenError, match=r"input is not utf-8 \(byte 0xe9\)\. Set PYTHONIO"):
        ask("> ")


def test_a_choice_may_be_what_the_text_ends_with() -> None:
    """A model of subwords, which leaves the end of a text open: after `1`, another `1`."""
    tokenizer = build_tokenizer("11 11 1", TokenizerSettings("subword", vocab_size=258))
    together = Interactive(random_generator(tokenizer), "11", SamplingSettings(), 300)
    shown = [text for text, _ in together._generator.next_tokens("11", 300)]
    together._add(str(shown.index("1") + 1), shown)
    assert together.written == "1"
