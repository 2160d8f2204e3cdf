"""What a command line asks to be searched: settings that are given, and what is tried."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from textgen.search import space
from textgen.settings.definitions import ModelSettings, TokenizerSettings, TrainingSettings
from textgen.support.errors import TextgenError

CONFIGS = (TokenizerSettings, ModelSettings, TrainingSettings)
"""What has the flags of train.py."""
MINUTES = 2.0
"""For each trial, where neither --minutes nor --num-epochs is given."""
TRIALS = 20
BEST = -1
"""What --apply stands for without a number."""


@dataclass(frozen=True)
class Request:
    """What is to be searched, by the flags."""

    fixed: dict[str, Any]
    """Settings that all trials have."""
    file: space.SpaceFile
    objective: str | None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Request:
        """Raises TextgenError if flags and space file contradict each other."""
        names = {name for kind in CONFIGS for name in kind.names()}
        given = {
            name: value
            for name, value in vars(arguments).items()
            if name in names or name.endswith("_tokens")
        }
        file = space.SpaceFile({}, {}, False)
        if arguments.space:
            file = space.read(arguments.space)
        for name in given.keys() & (file.space.keys() | file.fixed.keys()):
            setting, flag = name.replace("_", "-"), f"`{name}={given[name]}`"
            raise TextgenError(
                f"{flag} contradicts {arguments.space}, which has {setting} too. Leave one of them"
                " out"
            )
        return cls(file.fixed | given, file, arguments.objective)

    @property
    def with_budget(self) -> dict[str, Any]:
        """The settings that all trials have, among them how long a trial is."""
        has_budget = self.fixed.keys() & {"minutes", "num_epochs"}
        return self.fixed if has_budget else self.fixed | {"minutes": MINUTES}

    def full_space(self, base: dict[str, Any]) -> space.Space:
        """What is tried. Raises TextgenError where nothing is."""
        default = {} if self.file.replaces else space.default(base)
        found = {n: e for n, e in default.items() if n not in self.fixed} | self.file.space
        if not found:
            raise TextgenError("there is nothing to search: every setting is given")
        return found

    def refuse_others(self, facts: dict[str, Any]) -> None:
        """Refuse to go on with a search of something else. Raises TextgenError."""
        before, now = facts["fixed"], self.fixed
        for name, value in now.items():
            if name not in before or before[name] != value:
                begun = f"the search was begun with {before[name]}" if name in before else ""
                flag = f"`{name}={value}`"
                raise TextgenError(
                    f"{flag} does not fit: {begun or 'it was searched, or the default'}. Leave it"
                    " out, or begin another search with --study NAME"
                )
        for what, old, new in (
            ("--space", facts["file"], self.file.space),
            ("--objective", facts["objective"], self.objective),
        ):
            if new and new != old:
                raise TextgenError(
                    f"{what} does not fit: the search was begun with another. Leave {what} out, or"
                    " begin another with --study NAME"
                )
