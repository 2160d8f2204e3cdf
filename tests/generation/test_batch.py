import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import random_network
from textgen.generation.batch import BLOCK, Batch
from textgen.generation.sampling import NoTokenLeftError, Rules, log_softmax

PLAIN = Rules(banned=((0,),))
VARIED = (
    PLAIN,
    Rules(banned=((0,), (1, 2)), repetition_penalty=1.5, repetition_window=5),
    Rules(temperatures=(0.5, 0.0, 2.0), banned=((0,),)),
    Rules(drawn_after=frozenset({1, 2}), top_k=3, banned=((0,),)),
)
PROMPT = np.array([1, 2, 3])


def alone(rules: Rules, random_seed: int, steps: int, prompt: np.ndarray = PROMPT) -> list[int]:
    batch = Batch(random_network())
    batch.add(prompt, rules, [np.random.default_rng(random_seed)])
    return [int(batch.step()[0]) for _ in range(steps)]


def test_streams_are_what_they_are_alone() -> None:
    batch = Batch(random_network())
    for seed, rules in enumerate(VARIED * 3):
        batch.add(PROMPT[seed % 3 :], rules, [np.random.default_rng(seed)])
    together = np.array([batch.step() for _ in range(BLOCK + 20)]).T
    for seed, rules in enumerate(VARIED * 3):
        expected = alone(rules, seed, BLOCK + 20, PROMPT[seed % 3 :])
        assert together[seed].tolist() == expected, rules


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90)), min_size=1, max_size=6), st.data()
)
def test_who_joins_and_leaves_does_not_matter(streams, data) -> None:
    """Streams join after some steps and leave in any order."""
    batch, names = Batch(random_network()), []
    waiting = sorted(enumerate(streams), key=lambda stream: stream[1][1])
    made: dict[int, list[int]] = {name: [] for name, _ in waiting}
    for step in range(100):
        while waiting and waiting[0][1][1] == step:
            name, (kind, _) = waiting.pop(0)
            batch.add(PROMPT, VARIED[kind], [np.random.default_rng(name)])
            names.append(name)
        if len(names) > 1 and step % 20 == 19:
            row = data.draw(st.integers(0, len(names) - 1))
            batch.remove([row])
            del names[row]
        for name, token_id in zip(names, batch.step().tolist(), strict=True):
            made[name].append(token_id)
    for name, (kind, _) in enumerate(streams):
        assert made[name] == alone(VARIED[kind], name, len(made[name]))


def test_streams_that_differ_in_temperature_alone_are_sampled_together() -> None:
    batch, temperatures = Batch(random_network()), (0.3, 1.0, 0.0, 1.7, 1.0)
    rules = [Rules(temperatures=(each,), top_k=4, banned=((0,),)) for each in temperatures]
    for seed, each in enumerate(rules):
        batch.add(PROMPT, each, [np.random.default_rng(seed)])
    assert len(batch._groups) == 2, "argmax is another kind"
    together = np.array([batch.step() for _ in range(100)]).T
    for seed, each in enumerate(rules):
        assert together[seed].tolist() == alone(each, seed, 100)


def test_an_empty_batch_makes_nothing() -> None:
    batch = Batch(random_network())
    assert (len(batch), batch.step().tolist()) == (0, [])
    batch.add(PROMPT, PLAIN, [np.random.default_rng(1)])
    batch.remove([0])
    assert (len(batch), batch.step().tolist()) == (0, [])


def test_streams_with_one_prompt_differ_by_their_chance() -> None:
    batch = Batch(random_network())
    batch.add(PROMPT, PLAIN, [np.random.default_rng(seed) for seed in (5, 5, 6)])
    one, same, other = np.array([batch.step() for _ in range(40)]).T.tolist()
    assert one == same != other


def test_a_demand_is_met_and_read() -> None:
    batch = Batch(random_network())
    batch.add(PROMPT, PLAIN, [np.random.default_rng(0), np.random.default_rng(0)])
    assert batch.step([6, None]).tolist()[0] == 6
    second = batch.step()
    expected = Batch(random_network())
    expected.add(np.array([1, 2, 3, 6]), PLAIN, [np.random.default_rng(0)])
    expected._uniforms = np.roll(expected._uniforms, -1)
    assert second[0] == expected.step()[0]


def test_scores_are_the_models_own_log_probabilities() -> None:
    model = random_network()
    batch = Batch(model)
    rules = Rules(temperatures=(0.0,), banned=((0,), (5,)))
    batch.add(PROMPT, rules, [np.random.default_rng(0)], alternatives=0)
    logits = model.stepper(PROMPT[np.newaxis]).logits
    (token_id,) = batch.step()
    assert batch.scores.log_probabilities[0] == pytest.approx(log_softmax(logits)[0, token_id])


def test_some_streams_tell_what_was_likeliest_too() -> None:
    model = random_network()
    batch = Batch(model)
    for alternatives in (None, 3, 0):
        batch.add(PROMPT, PLAIN, [np.random.default_rng(1)], alternatives)
    expected = log_softmax(model.stepper(PROMPT[np.newaxis]).logits)[0]
    ids = batch.step()
    shown = batch.scores.likeliest
    assert shown.keys() == {1}
    assert [i for i, _ in shown[1]] == np.argsort(-expected)[:3].tolist()
    assert [score for _, score in shown[1]] == pytest.approx(np.sort(expected)[::-1][:3])
    scores = batch.scores.log_probabilities
    assert np.isnan(scores).tolist() == [True, False, False]
    assert scores[1:] == pytest.approx(expected[ids[1:]])


def test_a_prompt_may_be_read_beforehand_and_in_parts() -> None:
    model = random_network()
    stepper = model.stepper(PROMPT[np.newaxis, :1])
    stepper.read(PROMPT[np.newaxis, 1:])
    batch = Batch(model)
    batch.add(PROMPT, VARIED[1], [np.random.default_rng(4)], stepper=stepper)
    assert [int(batch.step()[0]) for _ in range(50)] == alone(VARIED[1], 4, 50)


def test_streams_that_cannot_go_on_are_named_and_the_others_can() -> None:
    everything = Rules(banned=tuple((token,) for token in range(7)))
    batch = Batch(random_network())
    for rules in (PLAIN, everything, PLAIN):
        batch.add(PROMPT, rules, [np.random.default_rng(5)])
    with pytest.raises(NoTokenLeftError) as caught:
        batch.step()
    assert caught.value.rows.tolist() == [1]
    batch.remove([1])
    assert [int(batch.step()[0]) for _ in range(40)] == alone(PLAIN, 5, 40)


def test_frequencies_match_the_models_probabilities() -> None:
    """End to end: 200,000 streams from one prompt, one step."""
    count = 200_000
    model = random_network()
    batch = Batch(model)
    batch.add(PROMPT, PLAIN, [np.random.default_rng(seed) for seed in range(2000)])
    logits = model.stepper(PROMPT[np.newaxis]).logits[0, 1:].astype(np.float64)
    expected = np.exp(logits - logits.max())
    expected *= count / expected.sum()
    counts = np.zeros(7)
    for _ in range(count // 2000):
        first = batch._stepper  # every round goes on from the prompt, not from what was drawn
        assert first is not None
        counts += np.bincount(batch._sample(first.logits, ()), minlength=7)
        batch._column += 1
        if batch._column == BLOCK:
            batch._column = 0
            batch._uniforms = np.stack([rng.random(BLOCK) for rng in batch._generators])
    assert counts[0] == 0
    chi_square = ((counts[1:] - expected) ** 2 / expected).sum()
    assert chi_square < 20.52, "above the 0.1 % quantile of chi-square with 5 degrees of freedom"
