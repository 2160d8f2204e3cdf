"""sample.py as a user runs it: flags, seeds, output, errors."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import textgen
from tests.conftest import ROOT, run_here, run_python
from tests.networks import biased_generator, random_generator, word_tokenizer
from tests.processes import beside
from textgen.commands import sample as script
from textgen.commands.sample import open_output, shaded
from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer


@pytest.fixture
def sample(trained_dir: Path):
    """Run sample.py's `main` on the trained model and return what it printed."""

    def run(*flags: object):
        return run_here(script.main, "--data-dir", trained_dir, *flags)

    return run


def error_of(result: "subprocess.CompletedProcess[str]") -> str:
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_no_echo_prints_the_new_text_alone(sample) -> None:
    flags = ("--seed", "The river", "--length", "40", "--random-seed", "3")
    echoed, alone = sample(*flags), sample(*flags, "--no-echo")
    assert echoed.stdout == "The river" + alone.stdout
    assert len(alone.stdout) == 41
    assert alone.stderr == ""


def test_seeds_from_a_file_and_from_standard_input(
    sample, trained_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "seed.txt"
    path.write_bytes(b"\xef\xbb\xbfThe\r\nriver\n")
    flags = ("--length", "20", "--random-seed", "1", "--seed-file")
    from_file = sample(*flags, path).stdout
    assert from_file.startswith("The\nriver")
    assert len(from_file) == len("The\nriver") + 20 + 1
    command = ("sample.py", "--data-dir", trained_dir, *flags, "-")
    assert run_python(*command, input="The\nriver\n").stdout == from_file
    assert "no/such" in error_of(sample(*flags, "no/such"))
    path.write_bytes(b"caf\xe9")
    assert "is not UTF-8 (byte 3)" in error_of(sample(*flags, path))


def test_an_empty_seed_starts_a_line(sample) -> None:
    flags = ("--length", "20", "--random-seed", "1", "--no-echo", "--seed")
    assert sample(*flags, "").stdout == sample(*flags, "\n").stdout


def test_samples_are_divided_and_can_be_made_again(sample) -> None:
    flags = ("--seed", "The ", "--length", "30")
    many = sample(*flags, "--num-samples", "3", "--random-seed", "7").stdout
    texts = many.removesuffix("\n").split("\n\n" + "-" * 20 + "\n")
    assert len(texts) == 3
    for number, text in enumerate(texts, start=7):
        assert sample(*flags, "--random-seed", number).stdout == text + "\n"


def test_json_lines(sample) -> None:
    result = sample("--seed", "The ", "--length", "25", "--num-samples", "2", "--json",
                    "--random-seed", "7", "--diversity", "0.2,0.8", "--stop", "zzz")  # fmt: skip
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["seed"] == "The "
    assert (len(first["text"]), first["tokens"]) == (25, 25)
    assert (first["random_seed"], second["random_seed"]) == (7, 8)
    assert first["mean_log_probability"] < 0
    assert first["config"]["temperature"] == [0.2, 0.8]
    assert first["config"]["stop"] == ["zzz"]
    assert result.stderr == ""


def test_colour_shades_tokens_but_changes_no_text(sample) -> None:
    flags = ("--length", "30", "--random-seed", "1")
    plain, shaded = sample(*flags).stdout, sample(*flags, "--color").stdout
    assert shaded.count("\x1b[38;5;") == 30
    assert re.sub(r"\x1b\[[0-9;]*m", "", shaded) == plain


def test_models_mix(sample, trained_dir: Path, tmp_path: Path) -> None:
    flags = ("--data-dir", trained_dir, "--length", "40", "--random-seed", "1", "--seed", "The")
    alone = sample(*flags[2:]).stdout
    assert sample(*flags, "--weights", "0.5,0.5").stdout == alone
    assert sample(*flags).stdout == alone
    assert "--weights takes one number above 0 for each model, here 2. Received: [1.0]" in error_of(
        sample(*flags, "--weights", "1")
    )
    assert "no model in" in error_of(sample("--data-dir", tmp_path))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--top-p", "0"], "--top-p must be above 0. Received: 0.0"),
        (["--top-p", "nan"], "--top-p must be a finite number"),
        (["--top-k", "0"], "--top-k must be at least 1"),
        (["--min-p", "1.5"], "--min-p must be at most 1"),
        (["--repetition-penalty", "0"], "--repetition-penalty must be above 0"),
        (["--diversity", "0.5,-1"], "--diversity must be at least 0. Received: -1.0"),
        (["--diversity", "warm"], "--diversity"),
        (["--sample-mode", "best"], "--sample-mode must be one of sample, argmax, spaces"),
        (["--diversity", "-1"], "--diversity must be at least 0. Received: -1.0"),
        (["--random-seed", "-1"], "--random-seed must be at least 0. Received: -1"),
        (["--length", "-2"], "--length must be at least -1"),
        (["--stop", ""], "--stop must not be empty"),
        (["--num-samples", "0"], "must be at least 1. Received: 0"),
        (
            ["--num-samples", "2", "--length", "-1"],
            "--length -1 has no end, and the text is",
        ),
        (["--num-samples", "2", "--beam-size", "2"], "--beam-size finds one text"),
        (
            ["--force", "né"],
            "--force 'né' has a character that the training text had not: 'é'. For",
        ),
        (["--beam-size", "2", "--diversity", "0.5"], "so that --diversity has no use. Leave one"),
        (["--prime", "The"], "unrecognized arguments: --prime The. Nearest: --seed (see"),
        (["-primetext", "The"], "arguments: -primetext The. Nearest: --seed (see"),
        (["--seed", "a", "--seed-file", "b"], "not allowed with"),
        (["--json", "--color"], "--color does not go with --json"),
        (["--color", "--beam-size", "2"], "--color does not go with --beam-size"),
        (["--interactive", "--json"], "--interactive does not go with --json"),
        (["--interactive", "--num-samples", "2"], "--interactive does not go with --num-samples"),
        (["--interactive", "--beam-size", "2"], "--interactive does not go with --beam-size"),
        (["--interactive", "--force", "a"], "--interactive does not go with --force"),
        (["--interactive", "0"], "must be at least 1. Received: 0"),
    ],
)
def test_flags_out_of_range(sample, flags: list[str], message: str) -> None:
    assert message in error_of(sample(*flags))


def test_models_that_do_not_fit_are_told_apart_by_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"letters": random_generator(), "words": random_generator(word_tokenizer())}
    monkeypatch.setattr(textgen, "load", lambda folder: models[folder.name])
    result = run_here(script.main, "--data-dir", "letters", "--data-dir", "words")
    assert "trained with different --word-tokens, --pristine-input. Mix" in error_of(result)


def test_top_k_larger_than_the_vocabulary_keeps_all(sample) -> None:
    flags = ("--length", "30", "--random-seed", "1")
    assert sample(*flags, "--top-k", "9999").stdout == sample(*flags).stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk(sample, trained_dir: Path) -> None:
    assert "cannot write /dev/full (No space left" in error_of(sample("--output", "/dev/full"))
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "sample.py", "--data-dir", trained_dir]
        result = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert result.returncode == 2
    assert result.stderr == (
        "error: cannot write standard output (No space left on device): check the folder, its"
        " permissions and the free space\n"
    )


def test_ctrl_c_keeps_the_file(trained_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    command = ("sample.py", "--data-dir", trained_dir, "--length", -1, "--output", path)
    with beside(*command, stderr=subprocess.PIPE) as process:
        while not any(p.stat().st_size > 5_000 for p in tmp_path.iterdir()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert len(path.read_text(encoding="utf-8")) >= 5_000


def test_weights_that_are_no_numbers(trained_dir: Path, tmp_path: Path) -> None:
    import h5py

    for name in ("model.h5", "model.pkl"):
        shutil.copy(trained_dir / name, tmp_path)
    with h5py.File(tmp_path / "model.h5", "a") as file:
        file["model_weights/logits/logits/bias"][2] = float("nan")
    result = run_here(script.main, "--data-dir", tmp_path)
    assert "has weights that are not finite numbers" in error_of(result)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with open_output(path) as stream:
        stream.write("new \ud800\n")
        stream.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == b"new ?\n"


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), open_output(path) as stream:
        stream.write(str(1 / 0))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"

    def interrupted() -> None:
        with open_output(path) as stream:
            stream.write("so far")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "so far"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no" / "out.txt"
    with pytest.raises(TextgenError, match=re.escape(f"cannot write {path} (No such file")):
        open_output(path).__enter__()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device() -> None:
    with (
        pytest.raises(TextgenError, match="cannot write /dev/full"),
        open_output(Path("/dev/full")) as s,
    ):
        s.write("text")
    assert not Path("/dev/full").is_file(), "the device was replaced by a file"


@pytest.mark.parametrize(
    ("log_probability", "color"),
    [(-99, 196), (-3, 208), (-1.5, 226), (-0.5, 154), (0, 46), (1e-9, 46)],
)
def test_likelier_tokens_are_greener(log_probability: float, color: int) -> None:
    assert shaded("a", log_probability) == f"\x1b[38;5;{color}ma\x1b[0m"


# --- several prompts, documents, what is new ---


def test_several_seeds_are_written_in_their_order(sample) -> None:
    flags = ("--length", "15", "--random-seed", "5")
    several = sample("--seed", "The river", "--seed", "A dog", *flags)
    alone = [
        sample("--seed", seed, "--length", "15", "--random-seed", str(5 + number)).stdout
        for number, seed in enumerate(("The river", "A dog"))
    ]
    assert several.stdout == f"{alone[0]}{script.DIVIDER}{alone[1]}"
    assert error_of(sample("--seed", "a", "--seed", "b", "--color")).startswith(
        "error: --color does not go with several seeds"
    )


def objects_of(result: "subprocess.CompletedProcess[str]"):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_prompts_in_lines_and_as_json_with_settings_of_their_own(sample, tmp_path: Path) -> None:
    lines, objects = tmp_path / "prompts.txt", tmp_path / "prompts.jsonl"
    lines.write_text("The river\n\nA dog\n")
    flags = ("--random-seed", "5", "--num-samples", "2", "--json")
    found = objects_of(sample("--prompts", lines, *flags, "--length", "9"))
    assert [one["seed"] for one in found] == ["The river"] * 2 + ["A dog"] * 2
    assert [one["random_seed"] for one in found] == [5, 6, 7, 8]
    objects.write_text('{"seed": "The river", "length": 4}\n{"seed": "A dog", "random_seed": 9}\n')
    own = objects_of(sample("--prompts", objects, "--json", "--length", "9"))
    assert [(one["seed"], len(one["text"])) for one in own] == [("The river", 4), ("A dog", 9)]
    assert own[1]["random_seed"] == 9
    assert sample("--seed", "A dog", "--random-seed", "9", "--length", "9").stdout == (
        f"A dog{own[1]['text']}\n"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("\n", "has no prompts: give one in each line"),
        (
            '{"seed": "a"}\n{"seed": ',
            'prompts, prompt 2: no JSON object like {"seed": "The "}, but {"seed": ',
        ),
        ('{"seed": 1}', "prompts, prompt 1: its seed is no text, but 1"),
        (
            '{"seed": "a", "lenght": 1}',
            "prompts, prompt 1: unknown setting 'lenght'",
        ),
        ('{"seed": "a", "length": -2}', "prompts, prompt 1: --length must be at least -1"),
    ],
)
def test_mistakes_in_prompts(sample, tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "prompts"
    path.write_text(content)
    assert problem in error_of(sample("--prompts", path))


@pytest.fixture
def listing(trained_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run sample.py's `main` on a model of documents, of so many lines or paragraphs."""

    def run(documents: str, *flags: object):
        settings = TokenizerSettings(documents=documents, pristine_input=True)
        tokenizer = build_tokenizer("<|x|>ab\n\n<|y|>ba", settings)
        generator = biased_generator({"<|endoftext|>": 0.3, "a": 0.3, "b": 0.4}, tokenizer)
        generator.data_dir = tmp_path
        (tmp_path / "input.txt").write_text("<|x|>a\n\n<|y|>b\n")
        monkeypatch.setattr(textgen, "load", lambda folder: generator)
        return run_here(script.main, *flags)

    return run


def test_documents_are_written_one_a_line_or_with_what_shows_their_end(listing) -> None:
    flags = ("--num-samples", "30", "--random-seed", "1")
    lines = listing("lines", *flags).stdout
    assert lines.count("\n") == 30
    assert listing("paragraphs", *flags).stdout == lines.replace("\n", "\n\n").removesuffix("\n")
    marked = listing("<|endoftext|>", *flags).stdout
    assert marked.split(script.DIVIDER) == [f"{line}\n" for line in lines.split("\n")[:-1]] or (
        marked.replace(script.DIVIDER, "") == lines
    )
    assert "<|" not in lines + marked
    assert listing("lines", "--random-seed", "1").stdout == lines.split("\n")[0] + "\n"


def test_new_documents_with_a_label_as_json(listing) -> None:
    flags = ("--num-samples", "12", "--random-seed", "1", "--new", "--label", "y", "--json")
    found = objects_of(listing("paragraphs", *flags))
    texts = [one["text"] for one in found]
    assert len(set(texts)) == 12
    assert not {"a", "b", ""} & set(texts)
    assert {one["label"] for one in found} == {"y"}
    refused = error_of(listing("paragraphs", "--label", "z"))
    assert refused == "error: --label must be one of x, y. Received: z\n"


def test_new_texts_need_the_training_text(sample, trained_dir: Path, tmp_path: Path) -> None:
    lines = sample("--new", "--num-samples", "5", "--random-seed", "1", "--diversity", "0.2").stdout
    assert len(set(lines.split("\n")[:-1])) == 5
    known = {line.strip() for line in (trained_dir / "input.txt").read_text().split("\n")}
    assert not known & set(lines.split("\n")[:-1])
    for name in ("model.h5", "model.pkl"):
        shutil.copy(trained_dir / name, tmp_path)
    refused = run_here(script.main, "--data-dir", tmp_path, "--new")
    assert "--new needs the text that the model was trained on" in error_of(refused)


def test_escapes_are_read_where_they_are_asked_for(sample) -> None:
    flags = ("--seed", r"FERRYMAN:\nThe\\n", "--length", "0")
    plain = sample(*flags)
    assert plain.stdout == "FERRYMAN:\\nThe\\\\n\n"
    assert r"--seed: \n is read as two characters; with --escapes as a new line" in plain.stderr
    read = sample(*flags, "--escapes")
    assert read.stdout == "FERRYMAN:\nThe\\n\n"
    stopped = sample("--seed", "The", "--stop", r"\n", "--escapes", "--random-seed", "1")
    assert stopped.stdout.count("\n") == 1
    assert stopped.stderr == ""
    assert sample("--seed", "The", "--until-line", "--random-seed", "1").stdout == stopped.stdout


def test_a_seed_is_shown_as_the_model_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = biased_generator({"a": 0.5, "b": 0.5}, build_tokenizer("ab", TokenizerSettings()))
    monkeypatch.setattr(textgen, "load", lambda folder: generator)
    for flags in (("--num-samples", "2"), ("--json",), ()):
        shown = run_here(script.main, "--seed", "AbA", "--length", "3", *flags)
        assert "aba" in shown.stdout
        assert "A" not in shown.stdout
        assert shown.stderr == ""


def test_words_without_a_flag_may_be_a_seed(sample) -> None:
    assert "arguments: once upon. A seed is given as --seed 'once upon' (see" in error_of(
        sample("once upon")
    )


@pytest.mark.parametrize("name", ["input.txt", "validate.txt", "model.h5", "model.pkl"])
def test_a_text_never_takes_the_place_of_what_is_needed(
    trained_dir: Path, tmp_path: Path, name: str
) -> None:
    """Nor that of a seed; other files it may replace."""
    folder = tmp_path / "copy"
    shutil.copytree(trained_dir, folder)
    before, seed = (folder / name).read_bytes(), tmp_path / "seed.txt"
    seed.write_text("The ")
    command = ("--data-dir", folder, "--length", 9, "--seed-file", seed, "--output")
    for output in (folder / name, seed):
        refused = run_here(script.main, *command, output)
        assert f"{output} is what is read here, or belongs to the model" in error_of(refused)
    assert (folder / name).read_bytes() == before
    (tmp_path / "old.txt").write_text("old")
    assert run_here(script.main, *command, tmp_path / "old.txt").returncode == 0


def test_models_of_other_kinds_do_not_mix(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        "c": build_tokenizer("ab", TokenizerSettings()),
        "s": build_tokenizer("ab", TokenizerSettings("subword", vocab_size=258)),
    }
    monkeypatch.setattr(textgen, "load", lambda folder: random_generator(kinds[folder.name]))
    for pair in ("cs", "sc"):
        flags = [word for name in pair for word in ("--data-dir", name)]
        told = error_of(run_here(script.main, *flags, "--seed", "a"))
        assert "fit together: trained with different" in told
        assert "--subword-tokens" in told
