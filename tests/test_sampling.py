import numpy as np
import pytest

from textgen.config import SamplingConfig
from textgen.sampling import draw, sample_next, softmax

LOGITS = np.log(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32))


def test_softmax_by_hand() -> None:
    np.testing.assert_allclose(softmax(LOGITS), [[0.1, 0.2, 0.3, 0.4]], rtol=1e-6)
    # At temperature 0.5 the probabilities are squared: 1, 4, 9, 16 of 30.
    np.testing.assert_allclose(softmax(LOGITS, 0.5), [np.array([1, 4, 9, 16]) / 30], rtol=1e-6)


def test_softmax_survives_extremes() -> None:
    extreme = np.array([[1e30, -1e30, 0, -np.inf]], np.float32)
    assert softmax(extreme, 1e-30).tolist() == [[1, 0, 0, 0]]
    assert softmax(extreme, 1e300).tolist() == [[pytest.approx(1 / 3)] * 3 + [0]]


def test_temperature_zero_takes_the_likeliest() -> None:
    rng = np.random.default_rng(0)
    assert (
        sample_next(np.repeat(LOGITS, 5, 0), rng, SamplingConfig(temperature=0)).tolist() == [3] * 5
    )


def test_impossible_tokens_are_never_drawn() -> None:
    logits = np.repeat(np.array([[-np.inf, 0, -np.inf, 0, -np.inf]], np.float32), 5000, 0)
    drawn = sample_next(logits, np.random.default_rng(0), SamplingConfig())
    assert set(drawn.tolist()) == {1, 3}


def test_draw_inverts_the_cumulative_distribution() -> None:
    class Fixed:
        def random(self, shape):
            return np.array([[0.0], [0.0999], [0.1], [0.5999], [0.6], [0.999999]])

    probabilities = np.repeat([[0.1, 0.5, 0.4]], 6, 0)
    assert draw(probabilities, Fixed()).tolist() == [0, 0, 1, 1, 2, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_match_the_softmax(temperature: float) -> None:
    count = 200_000
    logits = np.repeat(LOGITS, count, 0)
    drawn = sample_next(logits, np.random.default_rng(7), SamplingConfig(temperature=temperature))
    expected = softmax(LOGITS, temperature)[0] * count
    chi_square = ((np.bincount(drawn, minlength=4) - expected) ** 2 / expected).sum()
    assert chi_square < 16.27, "above the 0.1 % quantile of chi-square with 3 degrees of freedom"
