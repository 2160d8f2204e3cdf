"""What is about to be trained, as a table: layers, weights, memory, time."""

import math

from textgen.model.architecture import weight_shapes
from textgen.model.checkpoint import Metadata
from textgen.settings.definitions import ModelSettings, TrainingSettings
from textgen.support import console
from textgen.training import sizing
from textgen.training.batches import pass_offsets

COLUMNS = "{:<14}{:>22}{:>14}"


def say(metadata: Metadata, known: float, tokens: int) -> None:
    """Say what is about to be trained.

    Args:
        metadata: its settings.
        known: the share of the text that is in the vocabulary.
        tokens: in an epoch.
    """
    model, settings, tokenizer = metadata.model, metadata.training, metadata.tokenizer
    size = len(tokenizer.vocabulary)
    console.say(
        f"vocabulary: {size - 1:,} different {tokenizer.unit}s, which are {known:.1%} of the text"
    )
    for line in table(model, settings, size, tokens, tokenizer.unit):
        console.say(line)
    for name, value in (model.to_dict() | settings.to_dict()).items():
        console.detail(f"  {name}: {value}")


def table(
    model: ModelSettings, settings: TrainingSettings, vocabulary_size: int, tokens: int, unit: str
) -> list[str]:
    """The lines of the table.

    Args:
        model: the sizes of the layers.
        settings: how they are trained.
        vocabulary_size: V.
        tokens: in an epoch.
        unit: what a token is called.
    """
    counts = weights_per_layer(model, vocabulary_size)
    lines = [COLUMNS.format("layer", "output (B, T, size)", "weights")]
    for name, (size, count) in counts.items():
        shape = f"({settings.batch_size}, {settings.seq_length}, {size})"
        lines.append(COLUMNS.format(name, shape, f"{count:,}"))
    memory = sizing.memory_needed(model, settings, vocabulary_size) / 2**20
    total = sum(count for _, count in counts.values())
    return [
        *lines,
        COLUMNS.format("all", "", f"{total:,}"),
        f"about {memory:,.0f} MiB of memory beside TensorFlow's own; {tokens:,} {unit}s per epoch"
        f"{_readings(settings)}; {_time(model, settings, vocabulary_size, tokens)}",
    ]


def weights_per_layer(model: ModelSettings, vocabulary_size: int) -> dict[str, tuple[int, int]]:
    """What each layer gives, and how many weights it has to learn, by its name in Keras."""
    counts: dict[str, tuple[int, int]] = {}
    for path, shape in weight_shapes(model, vocabulary_size).items():
        name = path.split("/")[0]
        is_fixed = name == "embedding" and not model.embedding_size
        is_shared = path == "logits/kernel" and model.is_tied
        count = 0 if is_fixed or is_shared else math.prod(shape)
        before = counts.get(name, (0, 0))[1]
        counts[name] = (_gives(name, model, vocabulary_size), before + count)
    return counts


def _gives(name: str, model: ModelSettings, vocabulary_size: int) -> int:
    """The size of a layer's output."""
    if name == "logits":
        return vocabulary_size
    if name == "embedding":
        return model.embedding_size or vocabulary_size
    return model.rnn_size


def _readings(settings: TrainingSettings) -> str:
    """How often an epoch reads the text, where that is more than once."""
    passes = len(pass_offsets(settings.seq_length, settings.seq_step))
    if passes == 1 or settings.steps_per_epoch:
        return ""
    return f", which reads the text {'twice' if passes == 2 else f'{passes} times'}"


def _time(
    model: ModelSettings, settings: TrainingSettings, vocabulary_size: int, tokens: int
) -> str:
    if settings.minutes:
        return console.counted(settings.minutes, "minute")
    gflops = sizing.measure_gflops(seconds=0.3)
    seconds = sizing.estimated_seconds(model, vocabulary_size, tokens, gflops)
    epochs = console.counted(settings.num_epochs, "epoch")
    return f"about {console.duration(settings.num_epochs * seconds)} for {epochs}"
