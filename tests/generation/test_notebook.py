"""What a notebook shows of samples and models."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

import textgen
from tests.networks import random_generator, random_network
from textgen.generation import notebook
from textgen.generation.generator import Generator
from textgen.settings.definitions import ModelSettings
from textgen.support.errors import TextgenError


def test_a_text_is_shaded_token_by_token_and_escaped() -> None:
    page = notebook.shaded(
        "<i>", [("a&b", math.log(0.25)), ("<", 0.0), ("?", math.nan), ("", -1.0)]
    )
    assert "<b>&lt;i&gt;</b>" in page
    assert '<span style="background: hsla(60, 90%, 45%, 0.3)" title="25.0%">a&amp;b</span>' in page
    assert '<span style="background: hsla(120, 90%, 45%, 0.3)" title="100.0%">&lt;</span>' in page
    assert page.endswith("?</div>")
    assert page.count("<span") == 2


def test_a_sample_tells_each_token_and_shows_itself(trained_dir: Path) -> None:
    model = textgen.load(trained_dir)
    sample = model.sample("The ", length=30, random_seed=3, temperature=0.5)
    assert sample.text == model.generate("The ", length=30, random_seed=3, temperature=0.5)
    assert "".join(text for text, _ in sample.pieces) == sample.text
    assert sample.mean_log_probability == pytest.approx(sum(p for _, p in sample.pieces) / 30)
    shown = sample._repr_html_()
    assert shown.count("<span") == 30
    assert re.sub("<[^>]+>", "", shown).replace("&#x27;", "'").replace("&quot;", '"') == str(sample)
    assert "pieces" not in sample.to_dict()


def test_a_sample_without_probabilities_is_plain() -> None:
    [sample] = random_generator().samples(1, "a", textgen.SamplingSettings(length=5, random_seed=1))
    assert "<span" not in sample._repr_html_()
    assert sample.text in sample._repr_html_()


def test_a_sample_that_is_stopped_or_searched_for_is_whole(trained_dir: Path) -> None:
    model = textgen.load(trained_dir)
    stopped = model.sample("The ", length=200, random_seed=1, stop=["e"])
    assert stopped.text == model.generate("The ", length=200, random_seed=1, stop=["e"])
    found = model.sample("The ", length=10, beam_size=2)
    assert found.text == model.generate("The ", length=10, beam_size=2)
    with pytest.raises(TextgenError, match="has no end"):
        model.sample("The ", length=-1)


def test_a_model_shows_what_it_is(trained_dir: Path) -> None:
    model = textgen.load(trained_dir)
    for shown in (repr(model), model._repr_html_()):
        assert "2 x lstm of 16" in shown
        assert str(trained_dir) in shown
        assert "bits per character, epoch 20" in shown


def test_a_mixture_has_no_folder_and_no_history(trained_dir: Path) -> None:
    model = textgen.Generator.mix([textgen.load(trained_dir)] * 2)
    assert model.history == []
    assert "characters" in repr(model)
    with pytest.raises(TextgenError, match="is in no folder"):
        model.save("x")
    with pytest.raises(TextgenError, match="no epoch of the training has ended"):
        model.plot_history()


def test_a_copy_is_the_same_model_and_nothing_is_written_over(
    trained_dir: Path, tmp_path: Path
) -> None:
    model = textgen.load(trained_dir)
    model.save(tmp_path / "new" / "copy")
    copy = textgen.load(tmp_path / "new" / "copy")
    texts = [each.generate("The ", 30, random_seed=1) for each in (model, copy)]
    assert texts[0] == texts[1]
    assert copy.history == model.history != []
    with pytest.raises(TextgenError, match="has a model already"):
        model.save(tmp_path / "new" / "copy")


def test_tied_weights_are_counted_once() -> None:
    vocabulary = len(random_generator().tokenizer.vocabulary)
    tied = ModelSettings(embedding_size=6, rnn_size=6, num_layers=1, tie_weights=True)
    for settings in (tied, replace(tied, tie_weights=False)):
        model = Generator(random_network(settings, vocabulary), random_generator().tokenizer)
        # Token vectors, an LSTM of 6 that reads 6, and the output's bias; else its kernel too.
        learned = 6 * vocabulary + 4 * 6 * (6 + 6 + 1) + vocabulary
        learned += 0 if settings.is_tied else 6 * vocabulary
        assert f"weights {learned:,}" in repr(model)
