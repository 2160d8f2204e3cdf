import numpy as np

from tests.networks import random_network
from textgen.generation.beam import beam_search
from textgen.generation.sampling import Rules

RULES = Rules(ban=((0,),))
PROMPT = np.array([1, 2])


def never(ids: list[int]) -> bool:
    return False


def test_the_score_is_the_mean_log_probability() -> None:
    model = random_network()
    found = beam_search(model, PROMPT, RULES, 4, 3, never)
    total, prompt = 0.0, PROMPT.tolist()
    for token_id in found.ids:
        logits = model.stepper(np.array([prompt])).logits[0, 1:].astype(np.float64)
        total += logits[token_id - 1] - np.log(np.exp(logits).sum())
        prompt.append(token_id)
    assert abs(found.score - total / 4) < 1e-5


def test_more_candidates_than_tokens_are_no_trap() -> None:
    assert len(beam_search(random_network(), PROMPT, RULES, 2, 10_000, never).ids) == 2


def test_a_text_that_is_over_is_not_continued() -> None:
    found = beam_search(random_network(), PROMPT, RULES, 50, 4, lambda ids: len(ids) == 3)
    assert len(found.ids) == 3


def test_bans_look_back_into_the_prompt() -> None:
    free = beam_search(random_network(), PROMPT, RULES, 1, 2, never).ids
    rules = Rules(ban=((0,), (2, *free)))
    assert beam_search(random_network(), PROMPT, rules, 1, 2, never).ids != free
