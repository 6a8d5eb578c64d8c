"""Configuration files of SONATA networks: JSON whose paths may hold variables of a manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...base.errors import NeurosimFormatError, NeurosimMissingError
from ...base.json_toml import read_json

# Variables within variables are replaced at most this often.
MAX_DEPTH = 20
MS = 1e-3
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(eq=False)
class CircuitConfig:
    """A configuration, its settings checked as they are asked for.

    Attributes:
        path: of the file.
        tree: what it says, see `read_config`.
        elsewhere: folder of the components; None: as the configuration says.
        notes: what the engine leaves out, a line each.
    """

    path: Path
    tree: dict[str, Any]
    elsewhere: Path | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run: Mapping[str, Any] = self.tree.get("run", {})
        self.clock = self.number(self.run, "dt", 0.1) * MS
        self._components: dict[Path, dict[str, Any]] = {}

    def networks(self, key: str) -> list[Mapping[str, Any]]:
        """Return the entries of the files of "nodes" or "edges"."""
        entries: list[Mapping[str, Any]] = self.tree["networks"].get(key, [])
        valid = isinstance(entries, list) and all(isinstance(e, Mapping) and f"{key}_file" in e for e in entries)
        if not valid:
            raise NeurosimFormatError(f'{self.path}: networks.{key} must be a list of tables with "{key}_file"')
        return entries

    def number(self, tree: Mapping[str, Any], key: str, default: float | None = None) -> float:
        """Return a number of a table of the configuration."""
        value = tree.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NeurosimFormatError(f'{self.path}: "{key}" must be a number (got {value!r:.60})')
        return float(value)

    def entries(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the tables of "inputs" or "reports", by name."""
        entries: Mapping[str, Mapping[str, Any]] = self.tree.get(key, {})
        if not isinstance(entries, Mapping) or not all(isinstance(each, Mapping) for each in entries.values()):
            raise NeurosimFormatError(f'{self.path}: "{key}" must hold a table of tables, each with its name')
        return entries

    def node_sets(self) -> dict[str, Any]:
        """Return the node sets, of the configuration and of the file that it names."""
        sets = self.tree.get("node_sets", {})
        name = self.tree.get("node_sets_file")
        if name:
            sets = {**read_json(name), **sets}
        return dict(sets)

    def component(self, key: str, name: str) -> Mapping[str, Any]:
        """Return the parameters in a file of the components.

        Raises:
            NeurosimMissingError: no such file.
        """
        folder = Path(str(self.tree.get("components", {}).get(key, self.path.parent)))
        if self.elsewhere is not None:
            folder = self.elsewhere / folder.name
        path = folder / name
        if path not in self._components:
            if not path.is_file():
                raise NeurosimMissingError(
                    f"{path}: no such file of parameters; give the folder that holds {folder.name}: "
                    "--set sonata.components=FOLDER"
                )
            tree = read_json(path)
            if not isinstance(tree, dict):
                raise NeurosimFormatError(f"{path}: must hold a table of parameters")
            self._components[path] = tree
        return self._components[path]


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the tree of a configuration: its paths without variables, and the circuit and the simulation joined.

    A configuration names the other two files ("network", "simulation"), or is one of them. To a circuit alone belongs
    the file simulation_config.json beside it, where there is one.

    Raises:
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or is no configuration.
    """
    path = Path(os.path.abspath(path))
    tree = _read(path)
    if "networks" in tree and "run" not in tree:
        beside = path.parent / "simulation_config.json"
        if beside.is_file():
            tree = {**_read(beside), **tree}
    if "networks" not in tree and isinstance(tree.get("network"), str):
        tree = {**_other(path, tree, "network"), **tree}
    if isinstance(tree.get("simulation"), str):
        tree = {**tree, **_other(path, tree, "simulation")}
    if not isinstance(tree.get("networks"), Mapping):
        raise NeurosimFormatError(f'{path}: has no "networks"; give the configuration of a SONATA network')
    return tree


def _other(path: Path, tree: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the configuration that an entry of another names."""
    other = path.parent / str(tree[key])
    if not other.is_file():
        raise NeurosimMissingError(f'{path}: "{key}" names {other}, which is not there; correct the path')
    return read_config(other)


def _read(path: Path) -> dict[str, Any]:
    """Return one file, its variables replaced and its relative paths made absolute."""
    tree = read_json(path)
    if not isinstance(tree, dict):
        raise NeurosimFormatError(f"{path}: must hold a table in braces (got {type(tree).__name__})")
    manifest = tree.get("manifest", {})
    if not isinstance(manifest, Mapping):
        raise NeurosimFormatError(f'{path}: "manifest" must hold a table (got {type(manifest).__name__})')
    variables = {str(name).strip("${}"): str(value) for name, value in manifest.items()}
    variables.setdefault("configdir", ".")
    replaced: dict[str, Any] = _replaced({k: v for k, v in tree.items() if k != "manifest"}, variables, path)
    return replaced


def _replaced(value: Any, variables: Mapping[str, str], path: Path, key: str = "") -> Any:
    """Return a value of the configuration with its variables replaced, and paths relative to the file made whole."""
    if isinstance(value, Mapping):
        return {name: _replaced(each, variables, path, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, variables, path, key) for each in value]
    if not isinstance(value, str):
        return value
    text = value
    for _ in range(MAX_DEPTH):
        if "$" not in text:
            break
        text = VARIABLE.sub(lambda match: _variable(match[1], variables, path), text)
    if "$" in text:
        raise NeurosimFormatError(f"{path}: the variables of '{value}' name each other in a circle")
    # What held a variable, has a key of files or folders, or looks like a path from here, is one.
    if text != value or key.endswith(("_file", "_dir")) or text.startswith(("./", "../")):
        return os.path.normpath(path.parent / text)
    return text


def _variable(name: str, variables: Mapping[str, str], path: Path) -> str:
    if name not in variables:
        raise NeurosimFormatError(f'{path}: ${name} is not in the "manifest"')
    return variables[name]
