"""`neurosim schema`: what every config may hold, for editors and other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions

if TYPE_CHECKING:
    from ..runs.frame.kind import Kind

FOLDER = "folder"  # dataset.toml of a folder of recordings
# Descriptions of the configs that are not the main config of a kind.
TITLES = {"lm-train": "a training of a language model", FOLDER: "dataset.toml in a folder of recordings"}


@click.command(cls=Command)
@click.argument("name", required=False)
@common(without=("config", "sets", "seed", "threads"))
def command(options: CommandOptions, name: str | None) -> CommandResult:
    """Print the JSON Schema of the config NAME, or list the names; with --out DIR, write NAME.json there, or all.

    \b
    neurosim schema train                 keys, types, defaults and meanings of the config of `train`
    neurosim schema network --out .       network.json, which editors read by '#:schema network.json'

    --show-config prints the values that a run would have.
    """
    from ...base.errors import lookup
    from ...base.json_toml import write_json
    from ..runs.frame.command import to_json
    from ..runs.frame.tables import table

    builders = schemas(name)
    if name is not None:
        lookup(builders, name, "config")
    if options.out is not None:
        names = [name] if name is not None else list(builders)
        for each in names:
            write_json(options.out / f"{each}.json", builders[each]())
        return CommandResult({"folder": str(options.out), "written": names}, f"{len(names)} in {options.out}")
    if name is None:
        rows = {**_kinds(), **TITLES}
        return CommandResult(rows, table(rows.items()))
    tree = builders[name]()
    return CommandResult(tree, to_json(tree))


def schemas(name: str | None = None) -> Mapping[str, Callable[[], Mapping[str, object]]]:
    """Return functions that return the JSON Schema of each config, by name.

    Args:
        name: the only schema needed; kinds of plugins are not imported where it is the package's own.
    """
    return {**{name: builder for each in _all(name) for name, builder in each.schemas().items()}, FOLDER: _folder}


def _kinds() -> dict[str, str]:
    """Return the title of the kind of each config, by name."""
    return {name: each.title for each in _all() for name in each.schemas()}


def _all(name: str | None = None) -> list[Kind[Any, Any, Any]]:
    from ..runs.frame.registry import KINDS, PLUGINS, find_kind

    own = [find_kind(each) for each in KINDS]
    if name == FOLDER or any(name in each.schemas() for each in own):
        return own
    return [*own, *(find_kind(each) for each in PLUGINS.every() if each not in KINDS)]


def _folder() -> Mapping[str, object]:
    from ...base.schema import settings_schema
    from ...data.folder.options import FolderOptions

    return settings_schema(FolderOptions)
