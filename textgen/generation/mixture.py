"""Several models that write one text: by turns, or blended."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from textgen.generation.batch import Model, Stepper
from textgen.generation.texts import boundaries
from textgen.model.architecture import Array
from textgen.support.errors import TextgenError
from textgen.tokens.tokenizer import UNKNOWN_ID, Ids, Tokenizer


def common_tokenizer(parts: Sequence[Tokenizer]) -> Tokenizer:
    """Returns a tokenizer with the tokens of all `parts`.

    Raises:
        TextgenError: if some model words and others characters, or they treat text differently.
    """
    first = parts[0]
    for other in parts[1:]:
        if other.settings != first.settings:
            one, another = first.settings.to_dict(), other.settings.to_dict()
            both = dict.fromkeys([*one, *another])
            names = [f"`{name}`" for name in both if one.get(name) != another.get(name)]
            raise TextgenError(
                f"the models do not fit together: trained with different {', '.join(names)}. Mix"
                " models that were trained with the same"
            )
    return first.joined(parts[1:])


class Mixture:
    """Several models over one common vocabulary that act like one.

    Blended, the probability of a token is the product of its probabilities in all models, each
    raised to the power of the model's weight, normalised: a log-linear mixture. A token that
    a model with a weight does not know cannot be made. By turns, each model in order writes a
    word (word models: a sentence).

    Args:
        models: the networks.
        parts: their tokenizers.
        tokenizer: `common_tokenizer(parts)`.
        weights: one number above 0 per model; or None, for turns.

    Raises:
        TextgenError: if the weights do not fit the models.
    """

    def __init__(
        self,
        models: Sequence[Model],
        parts: Sequence[Tokenizer],
        tokenizer: Tokenizer,
        weights: Sequence[float] | None,
    ) -> None:
        if weights is not None and not (
            len(weights) == len(models) and all(0 < weight < np.inf for weight in weights)
        ):
            raise TextgenError(
                f"`weights` takes one number above 0 for each model, here {len(models)}. Received:"
                f" {list(weights)}"
            )
        self.models = models
        self.weights = weights
        self.vocabulary_size = len(tokenizer.vocabulary)
        self.multiplications = sum(model.multiplications for model in models)
        ids = {token: i for i, token in enumerate(tokenizer.vocabulary)}
        self.common = [np.array([ids[token] for token in part.vocabulary]) for part in parts]
        """For each model: its token id -> the common one."""
        self.own = [self._inverse(common) for common in self.common]
        """For each model: the common token id -> its own, or the unknown one."""
        if weights is not None and len(set.intersection(*({*c.tolist()} for c in self.common))) < 2:
            raise TextgenError("the models have no token in common. Leave `weights` away")
        self.ends_turn = np.zeros(self.vocabulary_size, bool)  # (V,)
        self.ends_turn[list(boundaries(tokenizer))] = True

    def _inverse(self, common: Ids) -> Ids:
        own = np.full(self.vocabulary_size, UNKNOWN_ID, np.intp)
        own[common] = np.arange(len(common))
        return own

    def stepper(self, ids: Ids) -> "MixtureStepper":
        """Streams that have read the prompts `ids`, (B, T), and can go on together."""
        steppers = [
            model.stepper(own[ids]) for model, own in zip(self.models, self.own, strict=True)
        ]
        return MixtureStepper(self, steppers, np.zeros(len(ids), np.intp))


class MixtureStepper:
    """Streams that advance together in all models; see `textgen.model.network.Stepper`."""

    def __init__(
        self, mixture: Mixture, steppers: Sequence[Stepper], turns: npt.NDArray[np.intp]
    ) -> None:
        self._mixture, self._steppers, self._turns = mixture, steppers, turns
        self.logits = self._mixed()

    def step(self, ids: Ids) -> None:
        """Reads one token per stream, ids (B,)."""
        for stepper, own in zip(self._steppers, self._mixture.own, strict=True):
            stepper.step(own[ids])
        self._turns = (self._turns + self._mixture.ends_turn[ids]) % len(self._steppers)
        self.logits = self._mixed()

    def read(self, ids: Ids) -> None:
        """Reads more of the prompts, (B, T), which end no turns."""
        for stepper, own in zip(self._steppers, self._mixture.own, strict=True):
            stepper.read(own[ids])
        self.logits = self._mixed()

    def select(self, rows: Ids) -> None:
        """Goes on with these rows, in this order."""
        for stepper in self._steppers:
            stepper.select(rows)
        self._turns, self.logits = self._turns[rows], self.logits[rows]

    def copy(self) -> "MixtureStepper":
        """Returns the same streams, which go on apart."""
        return MixtureStepper(
            self._mixture, [stepper.copy() for stepper in self._steppers], self._turns.copy()
        )

    def join(self, other: "MixtureStepper") -> None:
        """Takes over the streams of `other`, after its own."""
        for stepper, others in zip(self._steppers, other._steppers, strict=True):
            stepper.join(others)
        self._turns = np.concatenate([self._turns, other._turns])
        self.logits = np.concatenate([self.logits, other.logits])

    def _mixed(self) -> Array:
        """Returns log-probabilities of the common vocabulary, (B, V), up to a constant per row."""
        shape = (len(self._turns), self._mixture.vocabulary_size)
        mixed = np.zeros(shape, np.float32)  # (B, V)
        for number, stepper in enumerate(self._steppers):
            logits = np.full(shape, -np.inf, np.float32)  # (B, V)
            logits[:, self._mixture.common[number]] = stepper.logits
            if self._mixture.weights is None:
                mixed = np.where((self._turns == number)[:, np.newaxis], logits, mixed)
            else:
                mixed += np.float32(self._mixture.weights[number]) * logits
        return mixed
