import math

from textgen.callbacks import in_field_units


def test_losses_in_field_units() -> None:
    assert in_field_units(math.log(2) * 2, "character") == "2.000 bits per character"
    assert in_field_units(math.log(80), "word") == "perplexity 80.0"
