"""Subwords from a text to a model and on: trained, stopped, resumed, trained further, served."""

import json
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

import textgen
from tests.conftest import VERSES, light_training, write_texts
from tests.training.test_run import After, interrupt, same_weights
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.server import ServerSettings
from textgen.server.app import build_app
from textgen.server.service import Service
from textgen.settings.definitions import TokenizerSettings
from textgen.settings.request import TrainRequest
from textgen.support.errors import TextgenError
from textgen.training import sizing
from textgen.training.plan import Plan, make_plan
from textgen.training.run import fit

pytestmark = [pytest.mark.xdist_group("subwords")]

GIVEN = {
    "subword_tokens": True, "vocab_size": 330, "rnn_size": 16, "num_layers": 1, "embedding_size": 8,
    "batch_size": 4, "seq_length": 20, "seq_step": 10, "num_epochs": 6, "learning_rate": 0.03,
    "random_seed": 1, "batch_parts": 1, "dropout": 0.1,
}  # fmt: skip


def plan_of(folder: Path, resume: bool = False, **given: object) -> Plan:
    return make_plan(TrainRequest(folder, given, resume))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_texts(tmp_path_factory.mktemp("subwords") / "verses")
    with light_training():
        fit(folder, plan_of(folder, **GIVEN))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Generator:
    return textgen.load(folder)


def test_a_model_of_subwords_learns_and_tells_its_loss_by_character(model: Generator) -> None:
    first, last = model.history[0], model.history[-1]
    assert last["val_loss"] < first["val_loss"]
    per_token = len(VERSES[:300]) / len(model.tokenizer.encode(VERSES[:300]))
    assert last["nats_per_character"] == pytest.approx(last["val_loss"] / per_token)
    assert "subwords" in repr(model)


def test_a_resumed_run_of_subwords_ends_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    other = write_texts(tmp_path / "verses")
    with light_training():
        with pytest.raises(KeyboardInterrupt):
            fit(other, plan_of(other, **GIVEN), callbacks=(After(3, interrupt),))
        fit(other, plan_of(other, resume=True))
    same_weights(other, folder)
    assert checkpoint.load(other).metadata.tokenizer.to_dict() == (
        checkpoint.load(folder).metadata.tokenizer.to_dict()
    )


def test_a_model_trained_further_keeps_its_pieces(folder: Path, tmp_path: Path) -> None:
    other = write_texts(tmp_path / "other", "Eine Münze für dich. 雨は川を覚えている。\n" * 40)
    plan = plan_of(other, init_from=str(folder), num_epochs=1, batch_size=4, seq_length=20)
    old = checkpoint.load(folder)
    assert plan.corpus.tokenizer.vocabulary == old.metadata.tokenizer.vocabulary
    assert plan.corpus.training.num_unknown == 0
    assert plan.weights is not None
    assert np.array_equal(plan.weights["logits/bias"], old.weights["logits/bias"])


def test_tokens_that_are_to_be_chosen_are_those_of_the_model(folder: Path, tmp_path: Path) -> None:
    other = write_texts(tmp_path / "other")
    plan = plan_of(other, tokens="auto", init_from=str(folder))
    assert plan.corpus.tokenizer.name == "subword"
    with pytest.raises(TextgenError, match="does not fit: the model in"):
        plan_of(other, tokens="character", init_from=str(folder))


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        ({"minutes": 1.0}, "subword", "only 1.0 times in 1 minute"),
        ({"minutes": 20.0}, "character", "they read the text"),
        ({}, "character", "is taken to be read often"),
    ],
)
def test_auto_takes_subwords_where_the_text_is_read_seldom(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, float],
    name: str,
    reason: str,
) -> None:
    write_texts(tmp_path, VERSES * 2)
    monkeypatch.setattr(sizing, "LEAST_CHARACTERS", 1_000)
    monkeypatch.setattr(sizing, "CHARACTERS_PER_SECOND", len(VERSES * 2) / 60)
    monkeypatch.setattr(sizing, "measure_speed", lambda *given: 50_000.0)
    tokenizer = plan_of(tmp_path, tokens="auto", **given).corpus.tokenizer
    assert tokenizer.name == name
    assert tokenizer.decode(tokenizer.encode("A coin")) == "A coin", "case is kept"
    said = capsys.readouterr().err
    assert f"tokens: {name}s, because" in said
    assert reason in said


def test_a_short_text_has_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_texts(tmp_path)
    monkeypatch.setattr(sizing, "measure_speed", lambda *given: 50_000.0)
    plan = plan_of(tmp_path, tokens="auto", minutes=1.0, vocab_size=400)
    assert plan.corpus.tokenizer.name == "character"
    assert "the text is short" in capsys.readouterr().err


def test_without_the_package_auto_takes_characters_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_texts(tmp_path)
    monkeypatch.setattr(sizing, "LEAST_CHARACTERS", 1_000)
    monkeypatch.setattr(sizing, "CHARACTERS_PER_SECOND", 10)
    monkeypatch.setattr(sizing, "measure_speed", lambda *given: 50_000.0)
    monkeypatch.setattr("textgen.tokens.subwords.is_installed", lambda: False)
    plan = plan_of(tmp_path, tokens="auto", minutes=1.0)
    assert plan.corpus.tokenizer.name == "character"
    assert "pip install tokenizers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "name", "value", "mend"),
    [
        ("character", "vocab_size", 512, "give `max_vocab` instead, or add `subword_tokens`"),
        ("word", "vocab_size", 512, "give `max_vocab` instead, or add `subword_tokens`"),
        ("subword", "max_vocab", 512, "give `vocab_size` instead"),
        ("subword", "min_count", 2, "give `vocab_size` instead"),
        ("subword", "pristine_output", True, "leave it out"),
    ],
)
def test_settings_that_mean_nothing_to_the_tokens_are_refused(
    tmp_path: Path, tokens: str, name: str, value: object, mend: str
) -> None:
    write_texts(tmp_path)
    with pytest.raises(TextgenError, match=f"`{name}` means nothing to {tokens}s: {mend}"):
        plan_of(tmp_path, tokens=tokens, **{name: value})


def test_auto_leaves_out_what_means_nothing_to_the_tokens_chosen(tmp_path: Path) -> None:
    write_texts(tmp_path)
    plan = plan_of(tmp_path, tokens="auto", vocab_size=512, max_vocab=30)
    assert plan.corpus.tokenizer.settings == TokenizerSettings(max_vocab=30, pristine_input=True)


def test_documents_of_subwords_end_and_have_labels(tmp_path: Path) -> None:
    lines = [f"<|{label}|>{line}" for line in VERSES.split("\n") if line for label in ("a", "b")]
    write_texts(tmp_path, "\n".join(lines))
    with light_training():
        given = GIVEN | {"documents": "lines", "validation_split": 0.1, "num_epochs": 30}
        fit(tmp_path, plan_of(tmp_path, **given))
    model = textgen.load(tmp_path)
    assert sorted(model.labels) == ["a", "b"]
    samples = list(model.samples(20, "", length=80, label="a", random_seed=1))
    assert all("\n" not in sample.text for sample in samples)
    assert any(sample.tokens < 80 for sample in samples), "some have ended"


def test_the_service_writes_what_python_writes(folder: Path, model: Generator) -> None:
    with TestClient(build_app(Service([folder], ServerSettings()))) as client:
        wanted = {"seed": "The riv", "length": 30, "random_seed": 2, "alternatives": 20}
        answer = client.post("/api/generate", json=wanted | {"temperature": 2.0})
        content = json.loads(answer.text)
        assert content["text"] == model.generate("The riv", 30, 2.0, 2)
        assert "".join(token["text"] for token in content["details"]) == content["text"]
        shown = [text for token in content["details"] for text, _ in token["alternatives"]]
        assert all(text.isprintable() or text.isspace() for text in shown)
        first = content["details"][-1]["text"]
        branch = client.post("/api/generate", json={"seed": "The", "length": 5, "first": first})
        assert branch.json()["text"].startswith(first)
