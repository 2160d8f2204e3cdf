"""The rows of `history.csv`: what is known of each epoch, and its text."""

import csv
import io
import math

COLUMNS = ("epoch", "step", "seconds", "loss", "val_loss", "learning_rate", "tokens_per_second")
"""In every history; more columns follow in the order in which rows have them."""
RATIO = "update_ratio_"
"""What the columns of update ratios begin with; the layer's name follows."""

LARGEST_EXPONENT = 700.0
"""Of what `math.exp` takes without an error; a loss may be higher where training has diverged."""

Row = dict[str, float]


def judged(row: Row) -> float:
    """The loss a model is chosen by: the validation loss, or else the training loss.

    Infinity for a model whose first epoch was not finished.
    """
    return row.get("val_loss", row.get("loss", math.inf))


def in_units(loss: float, unit: str) -> tuple[str, float]:
    """A loss in nats per token as its field quotes it: bits per character, or perplexity.

    Args:
        loss: in nats per token.
        unit: what a token is called, `character` or `word`.
    """
    if unit == "character":
        return "bits_per_character", loss / math.log(2)
    return "perplexity", math.inf if loss > LARGEST_EXPONENT else math.exp(loss)


def in_field_units(loss: float, unit: str) -> str:
    """The same for people: `2.000 bits per character`, `perplexity 80.0`."""
    name, value = in_units(loss, unit)
    return f"perplexity {value:.1f}" if unit == "word" else f"{value:.3f} {name.replace('_', ' ')}"


def csv_text(rows: list[Row]) -> str:
    """`history.csv` for `rows`."""
    columns = dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
