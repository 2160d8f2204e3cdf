"""The rows of `history.csv`: what is known of each epoch, and its text."""

import csv
import io
import math

COLUMNS = ("epoch", "step", "seconds", "loss", "val_loss", "learning_rate", "tokens_per_second")
"""In every history; more columns follow in the order in which rows have them."""
RATIO = "update_ratio_"
"""What the columns of update ratios begin with; the layer's name follows."""

Row = dict[str, float]


def judged(row: Row) -> float:
    """The loss a model is chosen by: the validation loss, or else the training loss.

    Infinity for a model whose first epoch was not finished.
    """
    return row.get("val_loss", row.get("loss", math.inf))


def csv_text(rows: list[Row]) -> str:
    """`history.csv` for `rows`."""
    columns = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
