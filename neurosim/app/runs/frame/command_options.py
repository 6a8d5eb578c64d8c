"""The options that every command takes, as a record, and the checks of several of them together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from ....base.errors import NeurosimInputError, NeurosimMissingError, nearest, require
from .options import RunOptions

NO_RUN = ("config", "sets", "seed", "out", "threads")  # options of commands that run nothing


@dataclass(frozen=True, kw_only=True)
class CommandOptions(RunOptions):
    """The options that every command takes; None where the user left one out.

    Attributes:
        config: file of settings in TOML.
        sets: settings as `key=value`.
        seed: key of every random draw.
        json: whether to print JSON.
        resumed: folder of the run to continue; None: a new run.
        settings: values of the options of the command that are settings, by dotted key, and `seed`; see
            `arguments.setting`.
    """

    config: Path | None = None
    sets: tuple[str, ...] = ()
    seed: int | None = None
    json: bool = False
    resumed: Path | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    def check_resume(self, *others: object) -> None:
        """Refuse options that change the results beside `--resume`: the run has its own settings.

        Args:
            others: further arguments that change the results; None where the user left one out.

        Raises:
            NeurosimInputError: there is such an option.
        """
        # Not among them: --threads, --device, --log and --quiet, which change no result.
        shown = "--show-config" if self.show_config else None
        every = (*others, shown, *self.settings.values(), self.config, self.out, *self.sets)
        words = ", ".join(str(value) for value in every if value is not None)
        require(not words, "--resume", "cannot be combined with options that change the result; leave them out", words)

    def refuse(self, *names: str) -> None:
        """Refuse options that have no effect on the command.

        Args:
            names: fields of this record.

        Raises:
            NeurosimInputError: the user gave one of them.
        """
        for name in names:
            # An option that the user left out is None, or () if it can be repeated.
            if getattr(self, name) not in (None, ()):
                flag = "set" if name == "sets" else name
                raise NeurosimInputError(f"--{flag}: this command has no use for it; leave it out")

    def require_dataset(self) -> None:
        """Raise click.UsageError where neither an argument names a dataset nor a file or `--set` could."""
        self.require_argument(
            "data.name", "DATASET", "a folder of recordings, or a name of 'neurosim datasets list', e.g. digits"
        )

    def require_argument(self, key: str, name: str, wanted: str) -> None:
        """Raise click.UsageError where a new run has no argument, and neither a file nor `--set` could say it.

        Args:
            key: the setting that the argument gives.
            name: of the argument, as in the help.
            wanted: what to give, for the error.
        """
        if self.resumed is None and self.settings[key] is None and self.config is None and not self.sets:
            raise click.UsageError(f"no {name} given; {wanted}")

    def with_default_dataset(self, name: str) -> CommandOptions:
        """Return options with a dataset where neither these nor a file name one."""
        from .config import sources_of
        from .settings import merge

        data = merge(sources_of(self.config, self.sets, self.settings)).get("data", {})
        if not isinstance(data, Mapping) or "name" in data:
            return self
        return replace(self, settings={**self.settings, "data.name": name})


def with_folder(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings in which a folder in the place of a dataset's name is the root of the dataset "folder".

    Raises:
        NeurosimInputError: it is empty, or a file, and no configuration in JSON.
        NeurosimMissingError: it is a path, and nothing is there.
    """
    from ....data import catalog

    name = settings.get("data.name")
    if not isinstance(name, str) or name in catalog.names():
        return dict(settings)
    # An unset variable of the shell; as a path it would be the folder where the command runs.
    if not name:
        raise NeurosimInputError(
            "DATASET: must not be empty (got ''); give a folder of recordings, . for this one, or a name of "
            "'neurosim datasets list'"
        )
    path = Path(name)
    # The configuration of a SONATA network, which `neurosim simulate` takes.
    if path.is_file() and path.suffix == ".json":
        return dict(settings)
    if path.is_dir():
        return {**settings, "data.name": "folder", "data.root": name}
    use = _use_of(path)
    if path.is_file():
        other = f"give the folder that holds a folder for each class, or see it: neurosim view {path}"
        raise NeurosimInputError(f"{name}: is a file; {use or other}")
    if use:
        raise NeurosimMissingError(f"{name}: no such file; check the path; {use}")
    # A word without a slash may be a misspelt name; the catalogue then suggests the nearest one.
    if len(path.parts) > 1 or name.endswith(os.sep) or nearest(name, catalog.names()) is None:
        raise NeurosimMissingError(
            f"{name}: no dataset of this name, and no such folder; check the path, or see 'neurosim datasets list'"
        )
    return dict(settings)


def _use_of(path: Path) -> str:
    """Return what takes a file with such a name, where a dataset is expected; "" for recordings and unknown names."""
    match path.suffix.lower():
        case ".toml":
            return f"settings are given as --config {path}"
        case ".json":
            return f"'neurosim simulate {path}' takes a SONATA network"
        case ".csv" | ".tsv" | ".parquet":
            return (
                f"give a folder of recordings; of tables, 'neurosim series {path}' takes values over time, 'neurosim "
                f"simulate --edges {path}' edges of a network, and 'neurosim view {path}' shows events"
            )
        case ".npz" | ".npy":
            return (
                f"give a folder of recordings; 'neurosim continual run {path}' takes embeddings, and 'neurosim view "
                f"{path}' shows events"
            )
        case ".gguf":
            return f"'neurosim convert {path}' takes a language model"
        case _:
            return ""
