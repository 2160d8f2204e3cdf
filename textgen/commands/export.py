"""`python -m textgen export`: a trained model as what runs without textgen."""

from collections.abc import Sequence
from pathlib import Path

from textgen.commands.flags import ArgumentParser, add_settings, given_settings
from textgen.export import FORMATS, ExportSettings, export_model
from textgen.settings.definitions import DEFAULT_FOLDER
from textgen.support import console


def main(argv: Sequence[str]) -> None:
    """Writes the model in the form that is asked for. Raises TextgenError."""
    arguments = parser().read(argv)
    settings = given_settings(arguments, ExportSettings)
    folder = arguments.data_dir or DEFAULT_FOLDER
    written = export_model(folder, arguments.to, arguments.output, **settings)
    for note in written.notes:
        console.say(note)
    files = [str(path) for path in (written.path, written.tokenizer) if path]
    console.say(f"wrote {' and '.join(files)}", "green")


def parser() -> ArgumentParser:
    """Returns the flags of the command."""
    parser = ArgumentParser(
        prog=console.program("export"),
        description="Write the model that was trained in FOLDER in a form that runs without"
        " textgen.",
        epilog=f"example: {console.program('export')} --data-dir data/mine --to page",
    )
    forms = "; ".join(f"{name}: {form.summary}" for name, form in FORMATS.items())
    files = ", ".join(form.file for form in FORMATS.values())
    parser.add_argument(
        "--data-dir", metavar="FOLDER", type=Path,
        help=f"folder with model.h5 and model.pkl (default: {DEFAULT_FOLDER})",
    )  # fmt: skip
    parser.add_argument("--to", metavar="FORMAT", required=True, help=forms)
    parser.add_argument(
        "--output", metavar="FILE", type=Path,
        help=f"where to (default: {files} in FOLDER); for saved-model a folder",
    )  # fmt: skip
    add_settings(parser, ExportSettings)
    return parser
