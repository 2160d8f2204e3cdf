"""A trained model -> what runs without textgen: a web page, ONNX, TensorFlow, Keras, plain arrays.

Each format is a module here with `write(model, path, settings, folder)`, and a line of `FORMATS`;
only the module that is asked for is imported. What is written beside the page comes with a
`tokenizer.json`, see `textgen.export.tokenizer_file`.
"""

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from textgen.settings.fields import Settings, setting
from textgen.support.errors import TextgenError
from textgen.support.files import refuse_needed

if TYPE_CHECKING:
    from textgen.generation.generator import Generator

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class ExportSettings(Settings):
    """What is told on a page, and how its weights are kept."""

    title: str | None = setting(
        None, "the page's title (default: the name of the folder)", group="of a page"
    )
    author: str | None = setting(None, "who made the model, shown under the title", metavar="NAME")
    note: str | None = setting(None, "a note about the corpus, shown at the end of the page")
    int8: bool = setting(
        False,
        "keep weights as numbers of 8 bits, with a scale for each unit: half as large as the usual"
        " 16 bits; what that costs is measured and said",
    )
    float32: bool = setting(
        False, "keep weights as they are, in 32 bits: twice as large as the usual 16"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.int8 and self.float32:
            raise TextgenError("`int8` contradicts `float32`. Leave one of them out")


class Format(NamedTuple):
    """A form that a model is written in."""

    module: str
    """The module here whose `write(model, path, settings, folder)` writes it, and returns what to
    tell; `folder` is where the model is."""
    file: str
    """Its name in the data directory, unless another place is given."""
    summary: str
    needs: tuple[str, ...] = ()
    """Packages that it needs besides."""
    has_tokenizer: bool = True
    """Whether a `tokenizer.json` goes with it."""


FORMATS = {
    "page": Format(
        "page", "model.html", "a web page that writes in any browser, offline", has_tokenizer=False
    ),
    "onnx": Format("onnx_file", "model.onnx", "ONNX, with the state in and out", ("onnx",)),
    "saved-model": Format(
        "saved_model", "saved-model", "TensorFlow's SavedModel, likewise",
        ("tensorflow", "keras"),
    ),
    "keras": Format(
        "keras_file", "model.keras", "Keras' own file, of a model without state",
        ("tensorflow", "keras"),
    ),
    "safetensors": Format(
        "safetensors_file", "model.safetensors", "the arrays alone, by name", ("safetensors",)
    ),
}  # fmt: skip
"""By the value of `to`."""


class Exported(NamedTuple):
    """What has been written."""

    path: Path
    """The file, or of `saved-model` the folder."""
    tokenizer: Path | None
    """The `tokenizer.json` beside it; a page has its own within."""
    notes: tuple[str, ...] = ()
    """What there is to know of it, a sentence each."""


def export_model(
    model: "Generator | str | Path", to: str, output: str | Path | None = None, **settings: Any
) -> Exported:
    """Writes a trained model in a form that runs without textgen.

    Args:
        model: the data directory, or what `textgen.load` made of it.
        to: one of `FORMATS`.
        output: the file to write, or the folder for `saved-model`; without it one in the data
            directory.
        settings: fields of `ExportSettings`, for a page.

    Returns:
        Where it is.

    Raises:
        TextgenError: if there is no model, it does not go into this form, or a package is missing.

    Example:
        >>> textgen.export_model(folder, "page", title="Verses").path.name
        'model.html'
    """
    if to not in FORMATS:
        raise TextgenError(f"`to` must be one of {', '.join(FORMATS)}. Received: {to}")
    form, chosen = FORMATS[to], ExportSettings.from_dict(settings)
    _refuse_unused(to, chosen)
    _check_installed(to, form)
    from textgen.generation.generator import Generator, folder_of
    from textgen.model import checkpoint

    folder = model.data_dir if isinstance(model, Generator) else folder_of(model)
    if folder is None:
        raise TextgenError(
            "this model is in no folder that it could be read from: it is a mixture, or one of"
            " Keras, which `textgen.save` saves"
        )
    found = checkpoint.load(folder)
    path = Path(output).expanduser() if output else folder / form.file
    refuse_needed(path, checkpoint.files_of(folder))
    module = importlib.import_module(f"textgen.export.{form.module}")
    notes: list[str] = module.write(found, path, chosen, folder)
    tokenizer = None
    if form.has_tokenizer:
        from textgen.export.tokenizer_file import write

        tokenizer = (path if path.is_dir() else path.parent) / TOKENIZER_FILE
        write(found.metadata.tokenizer, tokenizer)
    return Exported(path, tokenizer, tuple(notes))


def _refuse_unused(to: str, settings: ExportSettings) -> None:
    given = settings.changed()
    if given and to != "page":
        raise TextgenError(f"`{next(iter(given))}` is for pages, not for {to}. Leave it out")


def _check_installed(to: str, form: Format) -> None:
    missing = [name for name in form.needs if find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        raise TextgenError(f"{to} needs {names}, not installed here. Run: pip install {names}")
