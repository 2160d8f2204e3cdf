"""Studies with trials of every kind, for tests of what is made of them."""

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from textgen.search import study

DISTRIBUTIONS = {
    "dropout": FloatDistribution(0, 0.9), "cell": CategoricalDistribution(["lstm", "gru"])
}  # fmt: skip


def results(loss: float, speed: float) -> dict[str, float]:
    return {
        "validation_loss": loss, "training_loss": loss - 0.5, "epochs": 4,
        "seconds_per_epoch": 1.5, "parameters": 1234, "tokens_per_second": speed,
        "nats_per_character": loss / 5, "bits_per_character": loss / 3.5,
    }  # fmt: skip


def add(
    to: optuna.Study, state: TrialState, loss: float = 0, speed: float = 0, **attributes: object
) -> None:
    """Add a trial; with a `loss` it has results."""
    number = len(to.trials)
    params = {"dropout": number / 10, "cell": "gru" if number % 2 else "lstm"}
    attributes = {"settings": {"rnn_size": 8, **params}, **attributes}
    if loss:
        attributes = {"results": results(loss, speed)} | attributes
    values = [loss, speed][: len(to.directions)]
    to.add_trial(
        optuna.trial.create_trial(
            state=state, values=values if state == TrialState.COMPLETE else None,
            params=params, distributions=DISTRIBUTIONS, user_attrs=attributes,
        )
    )  # fmt: skip


def mixed(objective: str = "loss") -> optuna.Study:
    """Eight trials: complete ones of the numbers 0, 1, 2 and 6, and one of each other kind."""
    made = study.new_study(study.OBJECTIVES[objective])
    add(made, TrialState.COMPLETE, 2.0, 300, defaults=True)
    add(made, TrialState.COMPLETE, 1.5, 100)
    add(made, TrialState.COMPLETE, 1.6, 200)
    add(made, TrialState.PRUNED, 2.5, 50)
    add(made, TrialState.FAIL, failure="MemoryError: no room")
    add(made, TrialState.FAIL)
    add(made, TrialState.COMPLETE, 1.7, 150)
    add(made, TrialState.PRUNED, left_out="memory: 9 of 1 GiB")
    made.enqueue_trial({"dropout": 0.1})
    return made
