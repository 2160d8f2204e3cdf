import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textgen
from tests.networks import biased_generator, random_generator
from textgen.generation.generator import Generator
from textgen.generation.sampling import log_softmax
from textgen.model.architecture import weight_shapes
from textgen.model.network import Network
from textgen.settings.definitions import ModelSettings, SamplingSettings, TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer


@pytest.fixture(scope="module")
def generator(trained_dir: Path) -> Generator:
    return textgen.load(trained_dir)


def test_length_counts_new_characters_only(generator: Generator) -> None:
    assert len(generator.generate("The river", length=37)) == 37
    assert generator.generate("The river", length=0) == ""


def test_a_random_seed_repeats_the_text(generator: Generator) -> None:
    texts = [generator.generate("The ", 60, random_seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_longer_text_begins_with_the_shorter_one(generator: Generator) -> None:
    short, long = (generator.generate("The ", length, random_seed=4) for length in (20, 40))
    assert long.startswith(short)


def test_the_stream_joins_to_the_whole_text(generator: Generator) -> None:
    pieces = list(generator.stream("The ", 40, random_seed=1))
    assert len(pieces) == 40
    assert "".join(pieces) == generator.generate("The ", 40, random_seed=1)


def test_the_seed_matters(generator: Generator) -> None:
    assert generator.generate("FERRY", 30, 0) != generator.generate("The ", 30, 0)


def test_unknown_and_empty_seeds_are_read(generator: Generator) -> None:
    assert len(generator.generate("日本", 10, random_seed=1)) == 10
    assert generator.generate("", 30, 0) == generator.generate("\n", 30, 0)


def test_the_unknown_token_is_never_generated() -> None:
    tokenizer = build_tokenizer("ab", TokenizerSettings())
    settings = ModelSettings(embedding_size=2, rnn_size=2, num_layers=1)
    weights = {p: np.zeros(s, np.float32) for p, s in weight_shapes(settings, 3).items()}
    weights["logits/bias"] = np.array([9, 0, 0], np.float32)
    text = Generator(Network(settings, weights), tokenizer).generate("a", 200, random_seed=0)
    assert set(text) == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": -2}, "`length` must be at least -1. Received: -2"),
        (
            {"length": -1},
            "`length=-1` has no end, and the text is needed whole here. Give a `length` of",
        ),
        ({"temperature": -0.5}, "`temperature` must be at least 0. Received: -0.5"),
        ({"random_seed": -1}, "`random_seed` must be at least 0. Received: -1"),
    ],
)
def test_values_out_of_range(generator: Generator, options, message: str) -> None:
    with pytest.raises(TextgenError, match=message):
        generator.generate("The ", **options)


FLAT = {"a": 0.4, "b": 0.3, " ": 0.2, ".": 0.1}


def test_every_control_of_the_configuration_is_a_keyword() -> None:
    model = biased_generator(FLAT)
    assert set(model.generate("a", 200, top_k=2, random_seed=1)) == {"a", "b"}
    assert set(model.generate("a", 200, top_p=0.8, random_seed=1)) == {"a", "b", " "}
    assert set(model.generate("a", 200, min_p=0.6, random_seed=1)) == {"a", "b"}
    assert set(model.generate("a", 200, ban=("a", " "), random_seed=1)) == {"b", "."}
    assert "ab" not in model.generate("b", 500, ban=("ab",), random_seed=1)
    assert model.generate("b", 5, sample_mode="argmax") == "aaaaa"
    assert model.generate("b", 5, temperature=0) == "aaaaa"
    assert "." not in model.generate("b", 50, stop=["."], random_seed=1)
    assert model.generate("b", 50, stop=(".",), random_seed=1) in model.generate(
        "b", 50, random_seed=1
    )
    assert "..b" in model.generate("b", 50, force=["..b"], random_seed=1)
    with pytest.raises(TextgenError, match="unknown setting 'top_q'"):
        model.generate("b", 5, top_q=1)


def test_a_strong_repetition_penalty_makes_tokens_take_turns() -> None:
    text = biased_generator(FLAT).generate(
        "a", 40, temperature=0, repetition_penalty=100.0, repetition_window=1
    )
    assert text == "ba" * 20


def test_temperatures_take_turns_from_token_to_token() -> None:
    text = biased_generator(FLAT).generate("a", 400, temperature=(0.0, 1.0), random_seed=1)
    assert set(text[::2]) == {"a"}
    assert set(text[1::2]) == set(FLAT)


def test_spaces_mode_draws_after_spaces_only() -> None:
    text = biased_generator({" ": 0.4, "a": 0.3, "b": 0.3}).generate(
        "a", 400, sample_mode="spaces", random_seed=1
    )
    assert set(text.replace("  ", " ").split(" ")) <= {"", "a", "b"}
    assert {"a", "b"} <= set(text)


def test_a_stop_text_that_is_never_reached_changes_nothing() -> None:
    model = random_generator()
    plain = model.generate("a", 200, random_seed=1)
    assert model.generate("a", 200, random_seed=1, stop=("never",)) == plain


def test_an_endless_stream_goes_on() -> None:
    pieces = random_generator().stream("a", -1, random_seed=1)
    assert len("".join(itertools.islice(pieces, 2000))) == 2000


def test_a_sample_is_what_its_random_seed_gives_alone() -> None:
    model = random_generator()
    settings = SamplingSettings(length=90, random_seed=40, stop=("aa",))
    samples = list(model.samples(150, "a", settings, scored=True))
    assert [sample.random_seed for sample in samples] == list(range(40, 190))
    for sample in samples[::29]:
        assert sample.text == model.generate("a", 90, random_seed=sample.random_seed, stop=("aa",))
        assert 0 < sample.tokens <= 90
    assert samples[0].settings == settings


def test_samples_report_progress_and_mean_log_probability() -> None:
    made: list[int] = []
    model = biased_generator({"a": 0.5, "b": 0.5})
    settings = SamplingSettings(length=100, random_seed=1)
    samples = list(model.samples(3, "a", settings, scored=True, progress=made.append))
    assert sum(made) == 300
    assert samples[0].mean_log_probability == pytest.approx(np.log(0.5), abs=1e-6)
    assert next(model.samples(1, "a", settings)).mean_log_probability is None
    nothing = SamplingSettings(length=0)
    assert [s.text for s in model.samples(2, "a", nothing, scored=True)] == ["", ""]


def test_samples_without_a_random_seed_differ_but_can_be_made_again() -> None:
    model = random_generator()
    one, other = (next(model.samples(1, "a", SamplingSettings(length=80))) for _ in range(2))
    assert one.text != other.text
    assert model.generate("a", 80, random_seed=one.random_seed) == one.text


def test_threads_share_a_generator() -> None:
    model = random_generator()
    seeds = range(24)
    alone = [model.generate("a", 120, random_seed=seed, top_k=6) for seed in seeds]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda seed: model.generate("a", 120, random_seed=seed, top_k=6), seeds)
        assert list(together) == alone


def test_next_tokens_are_what_would_be_drawn() -> None:
    model = biased_generator(FLAT)
    expected = [("a", 0.4), ("b", 0.3), (" ", 0.2)]
    assert model.next_tokens("a", 3) == [(t, pytest.approx(p, abs=1e-6)) for t, p in expected]
    assert model.next_tokens("a", 9, SamplingSettings(top_k=1)) == [("a", 1.0)]


def test_next_tokens_mind_bans_that_are_longer_than_the_seed() -> None:
    model = biased_generator(FLAT)
    shown = {token for token, _ in model.next_tokens("a", 9, SamplingSettings(ban=("aab", "ba.b")))}
    assert shown == set(FLAT), "of what must come before, half is there"
    assert "b" not in dict(model.next_tokens("aa", 9, SamplingSettings(ban=("aab", "ba.b"))))


def test_the_beam_finds_what_greed_misses() -> None:
    model = random_generator()

    def score(text: str) -> float:
        logits = [
            model.network.stepper(model.tokenizer.encode("a" + text[:i])[np.newaxis]).logits[0]
            for i in range(len(text))
        ]
        ids = model.tokenizer.encode(text)
        return sum(
            log_softmax(row[np.newaxis, 1:])[0, i - 1] for row, i in zip(logits, ids, strict=True)
        )

    every = ["".join(t) for t in itertools.product(model.tokenizer.vocabulary[1:], repeat=3)]
    best = max(every, key=score)
    assert model.generate("a", 3, beam_size=200) == best
    assert score(model.generate("a", 3, beam_size=3)) >= score(model.generate("a", 3, beam_size=1))
    assert model.generate("a", 3, beam_size=1) == model.generate("a", 3, temperature=0)


def test_the_beam_minds_stops_bans_and_limits() -> None:
    model = biased_generator({"a": 0.6, "b": 0.4})
    assert model.generate("a", 4, beam_size=3, ban=("aa",)) == "baba"
    assert model.generate("a", 4, beam_size=3, ban=("ba", "bb")) == "aaaa", "b ends nowhere"
    stuck = model.generate("b", 4, beam_size=3, ban=("aa", "ab"), stop=("b",))
    assert stuck == "", "b has ended when a cannot go on"
    with pytest.raises(TextgenError, match="leave no token"):
        model.generate("a", 4, beam_size=3, ban=("aa", "ab"))
    assert model.generate("a", 9, beam_size=3, stop=("aaaa",)) in ("", "aaa")
    assert model.generate("a", 0, beam_size=3) == ""
    for wrong in ({"force": ("b",)}, {"length": -1}, {"top_p": 0.9}, {"sample_mode": "argmax"}):
        with pytest.raises(TextgenError):
            "".join(model.stream("a", beam_size=2, **wrong))
    with pytest.raises(TextgenError, match=r"`beam_size` finds one text. Ask for one, or leave"):
        next(model.samples(2, "a", SamplingSettings(beam_size=2)))


def test_samples_do_not_depend_on_the_threads_that_make_them(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SamplingSettings(length=20, random_seed=1)
    monkeypatch.setattr("textgen.support.parallel.cores", lambda: 3)
    alone = [sample.text for sample in generator.samples(9, "a", settings)]
    monkeypatch.setattr("textgen.generation.generator.SMALLEST_WORK", 1)
    assert [sample.text for sample in generator.samples(9, "a", settings)] == alone


# --- documents ---


def document_generator(end: float = 0.2) -> Generator:
    """A model of documents of a, b and c, of which each token may be the last."""
    text = "<|dog|>abc\n<|cat|>abc"
    tokenizer = build_tokenizer(text, TokenizerSettings(documents="lines"))
    shares = {"<|endoftext|>": end, "a": 0.4, "b": 0.2, "c": 0.2}
    return biased_generator(shares, tokenizer)


@pytest.mark.parametrize("scored", [False, True])
def test_documents_end_where_the_model_ends_them(scored: bool) -> None:
    samples = list(document_generator().samples(400, length=50, random_seed=1, scored=scored))
    lengths = np.array([len(sample.text) for sample in samples])
    assert set("".join(sample.text for sample in samples)) == set("abc")
    assert abs(lengths.mean() - 4) < 0.7  # of a geometric distribution: 0.8 / 0.2
    assert lengths.min() == 0
    assert [sample.tokens for sample in samples] == lengths.tolist()
    if scored:
        means = [sample.mean_log_probability for sample in samples if sample.text]
        assert all(np.log(0.19) < mean < np.log(0.41) for mean in means)


def test_a_document_alone_is_the_one_among_many_and_in_pieces() -> None:
    generator = document_generator()
    many = [sample.text for sample in generator.samples(5, length=50, random_seed=7)]
    alone = [generator.generate(length=50, random_seed=7 + number) for number in range(5)]
    streamed = ["".join(generator.stream(length=50, random_seed=7 + n)) for n in range(5)]
    assert many == alone == streamed
    assert len(set(many)) > 1


def test_the_length_and_stop_texts_end_documents_too() -> None:
    generator = document_generator(end=0.001)
    assert len(generator.generate(length=12, random_seed=1)) == 12
    text = generator.generate(length=100, random_seed=1)
    stopped = generator.generate(length=100, random_seed=1, stop="bc")
    assert stopped == text[: text.index("bc")]
    short = document_generator(end=0.3)
    texts = [short.generate(length=100, random_seed=n, stop="zz") for n in range(20)]
    assert texts == [short.generate(length=100, random_seed=n) for n in range(20)]


def test_a_document_does_not_end_before_what_it_must_contain() -> None:
    generator = document_generator(end=0.5)
    for number in range(20):
        text = generator.generate(length=60, random_seed=number, force=["cab", "bac"])
        assert "bac" in text[text.index("cab") + 3 :]
        assert len(text) < 60


def test_a_label_is_drawn_or_given_and_is_no_part_of_the_text() -> None:
    text = "<|dog|>abc\n<|cat|>abc"
    tokenizer = build_tokenizer(text, TokenizerSettings(documents="lines"))
    generator = biased_generator({"<|dog|>": 0.5, "<|endoftext|>": 0.1, "a": 0.4}, tokenizer)
    assert generator.labels == ["cat", "dog"]
    samples = list(generator.samples(50, length=30, random_seed=1))
    assert {sample.label for sample in samples} == {"dog", None}
    assert all(set(sample.text) <= {"a"} for sample in samples)
    assert next(generator.samples(1, label="cat", random_seed=1)).label == "cat"
    with pytest.raises(TextgenError, match="`label` must be one of cat, dog"):
        generator.generate(label="cow")


def test_beam_search_ends_a_document() -> None:
    generator = document_generator(end=0.45)
    assert generator.generate(length=20, beam_size=3) in ("", "a", "aa")


def test_a_text_with_its_probabilities_is_not_written_until_it_is_new(trained_dir: Path) -> None:
    with pytest.raises(TextgenError, match="`new` is for `generate` and `samples`"):
        textgen.load(trained_dir).sample("The ", length=5, new=True)


def test_a_folder_that_cannot_be_looked_at_is_told() -> None:
    with pytest.raises(TextgenError, match=r"the folder 'a+\.\.\.a+' cannot be read \(File name"):
        textgen.load("a" * 300)


def test_mistakes_in_calls_name_what_was_wrong(trained_dir: Path) -> None:
    model: Any = textgen.load(trained_dir)
    for call, name in (
        (lambda: model.generate(3), "seed"),
        (lambda: model.generate(None), "seed"),
        (lambda: model.generate(["a"]), "seed"),
        (lambda: list(model.samples("x")), "count"),
        (lambda: list(model.samples(-1)), "count"),
        (lambda: list(model.samples(1.5)), "count"),
        (lambda: list(model.samples(1, 7)), "seed"),
        (lambda: model.next_tokens("a", "x"), "count"),
        (lambda: model.next_tokens("a", 0), "count"),
    ):
        with pytest.raises(TextgenError, match=f"`{name}` is "):
            call()
    with pytest.raises(TextgenError, match=r"`tokens` takes a value of type str"):
        textgen.train(trained_dir, tokens=["word"])
