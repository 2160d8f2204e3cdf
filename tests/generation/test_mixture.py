import numpy as np
import pytest

from tests.networks import biased_generator, random_generator, word_tokenizer
from textgen.generation.generator import Generator
from textgen.settings.definitions import TokenizerSettings
from textgen.support.errors import TextgenError
from textgen.tokens import build_tokenizer


def probabilities(model: Generator, seed: str = "a") -> dict[str, float]:
    return {token: round(p, 4) for token, p in model.next_tokens(seed, 9)}


def test_a_blend_by_hand() -> None:
    one = biased_generator({"a": 0.5, "b": 0.25, "c": 0.25})
    other = biased_generator({"c": 0.8, "a": 0.2})
    # a: 0.5 x 0.2 = 0.1; c: 0.25 x 0.8 = 0.2; the other model does not know b.
    assert probabilities(Generator.mix([one, other], (1, 1))) == {"c": 0.6667, "a": 0.3333}
    # a: 0.5^0.5 x 0.2^0.5 = sqrt(0.1); c: sqrt(0.2)
    assert probabilities(Generator.mix([one, other], (0.5, 0.5))) == {"c": 0.5858, "a": 0.4142}


def test_turns_change_after_a_space() -> None:
    one = biased_generator({"a": 0.6, " ": 0.4})
    other = biased_generator({"b": 0.6, " ": 0.4})
    mixed = Generator.mix([one, other])
    words = mixed.generate("\n", 2000, random_seed=1).split(" ")
    assert all(set(word) <= {"a"} for word in words[::2])
    assert all(set(word) <= {"b"} for word in words[1::2])
    assert {len(word) for word in words} > {0, 1, 2}


def test_a_blend_with_itself_is_the_model() -> None:
    model = random_generator()
    mixed = Generator.mix([model, model], (0.5, 0.5))
    for seed in range(5):
        text = mixed.generate("ab", 80, random_seed=seed)
        assert text == model.generate("ab", 80, random_seed=seed)


def test_every_model_reads_everything() -> None:
    """A model by turns knows what the other wrote."""
    model = random_generator()
    mixed = Generator.mix([model, model])
    assert mixed.generate("ab", 120, random_seed=3) == model.generate("ab", 120, random_seed=3)


def test_streams_of_a_mixture_join_and_leave() -> None:
    mixed = Generator.mix([random_generator(), biased_generator({"a": 0.5, " ": 0.5})])
    stepper = mixed.network.stepper(np.array([[1, 2]]))
    stepper.join(mixed.network.stepper(np.array([[3, 4]])))
    stepper.step(np.array([5, 6]))
    stepper.select(np.array([1, 0]))
    stepper.step(np.array([1, 2]))
    for row, ids in enumerate([[3, 4, 6, 1], [1, 2, 5, 2]]):
        alone = mixed.network.stepper(np.array([ids[:2]]))
        for token_id in ids[2:]:
            alone.step(np.array([token_id]))
        np.testing.assert_allclose(stepper.logits[row], alone.logits[0], atol=1e-5)


def mix_error(*arguments) -> str:
    with pytest.raises(TextgenError) as error:
        Generator.mix(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_models_that_do_not_fit() -> None:
    characters = random_generator()
    words = random_generator(word_tokenizer())
    error = mix_error([characters, words])
    assert "fit together: trained with different `word_tokens`, `pristine_input`. Mix" in error
    lower = random_generator(build_tokenizer("abc", TokenizerSettings()))
    assert "different `pristine_input`. Mix" in mix_error([characters, lower])


def test_weights_that_do_not_fit() -> None:
    model = random_generator()
    for weights in ((1.0,), (1.0, 0.0), (1.0, float("nan"))):
        message = (
            f"`weights` takes one number above 0 for each model, here 2. Received: {[*weights]}"
        )
        assert message in mix_error([model, model], weights)
    one, other = biased_generator({"a": 1, "b": 1}), biased_generator({"c": 1, "d": 1})
    assert "no token in common" in mix_error([one, other], (1, 1))
