import math

from textgen.training.history import csv_text, judged


def test_columns_begin_with_the_documented_ones_and_gaps_stay_empty() -> None:
    rows = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "gradient_norm": 0.5}]
    assert csv_text(rows).splitlines() == [
        "epoch,step,seconds,loss,val_loss,learning_rate,tokens_per_second,gradient_norm",
        "1,,,2.5,,,,",
        "2,,,2.0,,,,0.5",
    ]


def test_models_are_judged_by_validation_where_there_is_one() -> None:
    assert judged({"loss": 1.0, "val_loss": 2.0}) == 2.0
    assert judged({"loss": 1.0}) == 1.0
    assert judged({}) == math.inf
