"""JavaScript modules -> one script, for pages that are a single file.

Each module becomes a function that is called once and returns what it exports. That is all that
modules need which have named imports from files beside them, each import on a line of its own.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from textgen.support.errors import TextgenError

IMPORT = re.compile(r'^import \{ ([^}]*) \} from "\./([\w-]+\.js)";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const|let)) ([\w$]+)", re.MULTILINE)


def bundle(entry: str, folders: Sequence[Path]) -> str:
    """Returns the script of a module and of all that it imports.

    Args:
        entry: the file of the module.
        folders: where modules are; the first that has one counts.

    Raises:
        TextgenError: if a module is in none of them.
    """
    done: dict[str, str] = {}
    _add(entry, folders, done)
    return '"use strict";\nconst modules = {};\n' + "".join(done.values())


def _add(name: str, folders: Sequence[Path], done: dict[str, str]) -> None:
    """Adds a module after those that it imports."""
    if name in done:
        return
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise TextgenError(f"the script {name} is missing: install textgen again")
    text = path.read_text(encoding="utf-8")
    for _, imported in IMPORT.findall(text):
        _add(imported, folders, done)
    exported = ", ".join(name for _, name in EXPORT.findall(text))
    body = IMPORT.sub(
        lambda found: f'const {{ {_renamed(found[1])} }} = modules["{found[2]}"];', text
    )
    body = EXPORT.sub(r"\1 \2", body)
    done[name] = f'modules["{name}"] = (() => {{\n{body}return {{ {exported} }};\n}})();\n'


def _renamed(names: str) -> str:
    """Returns names of an import as they stand in an assignment: `a as b` is `a: b`."""
    return re.sub(r"([\w$]+) as ([\w$]+)", r"\1: \2", names)
