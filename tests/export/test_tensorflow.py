"""The SavedModel and the file of Keras, in a process without textgen, against the NumPy network."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import run_python
from tests.export.models import (
    CASES,
    TOKENS,
    expected,
    likeliest_text,
    random_model,
    real_ids,
    write,
)
from textgen.export.keras_file import stateless
from textgen.generation.sampling import softmax

pytestmark = pytest.mark.xdist_group("export-tensorflow")  # which shares what is costly
SOME = ["lstm", "gru, tied", "rnn, one-hot"]
"""Between them every cell and every option."""
WITHOUT_TEXTGEN = """
import sys
import numpy as np
sys.modules["textgen"] = None
import keras
import tensorflow as tf
folder, cases = sys.argv[1], sys.argv[2:]
for case in cases:
    ids = np.load(f"{folder}/{case}.npy")[np.newaxis]
    model = keras.models.load_model(f"{folder}/{case}.keras")
    np.save(f"{folder}/{case}.keras.npy", model.predict(ids, verbose=0)[0])
    step = tf.saved_model.load(f"{folder}/{case}").signatures["serving_default"]
    given = step.structured_input_signature[1]
    states = {n: tf.zeros((1, given[n].shape[1])) for n in given if n != "ids"}
    logits = []
    for part in (ids[:, :100], ids[:, 100:]):
        out = step(ids=tf.constant(part, tf.int32), **states)
        logits.append(out["logits"].numpy()[0])
        states = {n: out["next_" + n] for n in states}
    np.save(f"{folder}/{case}.saved.npy", np.concatenate(logits))
    text, states = [0], {n: tf.zeros((1, given[n].shape[1])) for n in states}
    for _ in range(len(ids[0])):
        out = step(ids=tf.constant([text[-1:]], tf.int32), **states)
        text.append(int(out["logits"].numpy()[0, 0].argmax()))
        states = {n: out["next_" + n] for n in states}
    np.save(f"{folder}/{case}.text.npy", text[1:])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every case, and what a process without textgen computed with them."""
    folder = tmp_path_factory.mktemp("tensorflow")
    for case in SOME:
        model = random_model(CASES[case])
        write(model, "keras", folder / f"{case}.keras")
        write(model, "saved-model", folder / case)
        np.save(folder / f"{case}.npy", real_ids(model))
    done = run_python("-c", WITHOUT_TEXTGEN, folder, *SOME)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", SOME)
@pytest.mark.parametrize("form", ["keras", "saved"])
def test_it_computes_what_the_network_does(case: str, form: str, folder: Path) -> None:
    model = random_model(CASES[case])
    ids = real_ids(model)
    assert len(ids) == TOKENS
    found = softmax(np.load(folder / f"{case}.{form}.npy"))
    np.testing.assert_allclose(found, expected(model, ids), atol=1e-4)


@pytest.mark.parametrize("case", SOME)
def test_the_likeliest_text_is_the_same(case: str, folder: Path) -> None:
    assert np.load(folder / f"{case}.text.npy").tolist() == likeliest_text(
        random_model(CASES[case])
    )


def test_a_model_with_dropout_has_it_in_keras_alone(tmp_path: Path) -> None:
    from dataclasses import replace

    model = random_model(replace(CASES["gru"], dropout=0.3, embedding_dropout=0.2))
    made = stateless(model)
    assert (
        sum(layer.name.startswith(("dropout", "embedding_dropout")) for layer in made.layers) == 3
    )
    write(model, "saved-model", tmp_path / "saved")
    again = write(model, "saved-model", tmp_path / "saved")
    assert (again / "saved_model.pb").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
