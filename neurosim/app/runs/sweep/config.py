"""Settings of a sweep: what runs, the grid, the seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....base import plain
from ....base.errors import NeurosimInputError, require
from ....base.json_toml import read_toml
from ..frame.command_options import with_folder
from ..frame.folder import CONFIG, MANIFEST, RunFolder, open_run
from ..frame.kind import Kind
from ..frame.registry import KINDS, UNNAMED, find_kind, kind_of
from ..frame.settings import assignments

MAX_CELLS = 100_000
# Kinds that put other runs together.
NOT_SWEPT = ("sweep", "comparison")
# Kinds with a model that is no setting: only the folder of a run names it.
WITH_A_MODEL = ("convert", "linearise")
# Suffixes of tables and arrays, which a run of them has among its settings.
DATA = (".csv", ".tsv", ".npz", ".npy", ".parquet", ".feather", ".h5")
# Keys of the seed, of a run and of a network.
SEEDS = ("seed", "simulation.seed")
OPENING = "[{("
CLOSING = "]})"


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Settings of a sweep.

    Attributes:
        kind: name of the kind of run.
        run: folder of the run of that kind that is the start, with its settings and arguments; "" for none.
        file: TOML with settings; "" for none.
        values: further settings by dotted key, such as the dataset.
        sets: `key=value` texts that every cell has.
        grid: the values of each key that varies, as texts.
        seeds: of every point of the grid.
    """

    kind: str
    run: str = ""
    file: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    grid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)

    def tree(self) -> Mapping[str, object]:
        """Return the tree that config.toml holds."""
        tree: Mapping[str, object] = plain.to_plain(self)
        return tree

    @property
    def points(self) -> Iterator[tuple[str, ...]]:
        """Points of the grid, a value for each key; the last key varies fastest."""
        return itertools.product(*self.grid.values())

    @property
    def source(self) -> Path | None:
        """File with the settings that the cells share."""
        if self.run:
            return Path(self.run) / CONFIG
        return Path(self.file) if self.file else None

    def check_keys(self) -> None:
        """Raise for a setting that the sweep itself decides in every cell, so that it would count for nothing.

        Raises:
            NeurosimInputError: the seed or the CONFIG of the sweep in `grid` or `sets`.
        """
        varied: set[str] = set()
        for name, values in self.grid.items():
            for value in values:
                varied |= _leaves_of([f"{name}={value}"])
        for option, keys in (("--grid", varied), ("--set", _leaves_of(self.sets))):
            for key in sorted(keys):
                if key in SEEDS:
                    raise NeurosimInputError(f"{option}: {key} is set by --seeds N, the number, and --seed, the first")
                if key in self.values:
                    own = self.values[key]
                    raise NeurosimInputError(f"{option}: {key} is {own}, the CONFIG of the sweep; give it a TOML file")

    def cell_kind(self) -> Kind[Any, Any, Any]:
        """Return the kind of the cells, with the arguments of the run that is the start.

        Raises:
            NeurosimMissingError, NeurosimInputError: that run is gone, or does not say all that decides its results.
        """
        if self.run:
            folder = open_run(Path(self.run))
            return kind_of(folder).again(folder)
        return find_kind(self.kind)


def new_sweep(
    target: str, kind: str | None, grid: Sequence[str], seeds: Sequence[int], sets: Sequence[str]
) -> SweepConfig:
    """Return the settings of a new sweep.

    Args:
        target: the folder of a run, a TOML file, a dataset, or a folder of recordings.
        kind: name of the kind of run; None: the target says.
        grid: `key=a,b,c` texts.
        seeds: of every point.
        sets: `key=value` texts that every cell has.

    Raises:
        NeurosimInputError: a grid that cannot be read, a kind that is unknown or that the target needs.
        NeurosimMissingError: no such file, folder or dataset.
    """
    levels = read_grid(grid)
    check_sets(levels, sets)
    cells = math.prod(map(len, levels.values())) * len(seeds)
    require(cells <= MAX_CELLS, "sweep", f"has at most {MAX_CELLS:,} runs; take fewer values or seeds", f"{cells:,}")
    shared: dict[str, Any] = {"sets": tuple(sets), "grid": levels, "seeds": tuple(seeds)}
    path = Path(target)
    if (path / MANIFEST).is_file():
        return _of_run(path, kind, shared)
    if path.is_file():
        rule = "must be a TOML file, a dataset, or the folder of a run, such as one of this file"
        require(path.suffix.lower() not in DATA, "sweep", f"{rule}: its settings are varied", target)
        name = kind or _kind_of_file(path)
        return SweepConfig(kind=_checked(name, target), file=str(path.resolve()), **shared)
    if kind is None:
        raise NeurosimInputError(
            f"--kind: is needed for a dataset, such as train, or {UNNAMED} for `neurosim simulate` (got {target} alone)"
        )
    values = with_folder({"data.name": target})
    if "data.root" in values:
        values["data.root"] = str(path.resolve())
    return SweepConfig(kind=_checked(kind, target), values={k: str(v) for k, v in values.items()}, **shared)


def stored_sweep(folder: RunFolder) -> SweepConfig:
    """Return the settings in the folder of a sweep.

    Raises:
        NeurosimInputError: they are damaged.
    """
    return plain.from_plain(SweepConfig, read_toml(folder.path / CONFIG), "sweep")


def read_grid(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of each key of `key=a,b,c` texts; a comma in brackets or quotes separates no values.

    Raises:
        NeurosimInputError: no key, no values, or a key or value that is named twice.
    """
    grid: dict[str, tuple[str, ...]] = {}
    for text in texts:
        key, equals, rest = text.partition("=")
        key = key.strip()
        values = tuple(_split(rest))
        if not equals or not key or not all(values):
            raise NeurosimInputError(f"--grid: must read key=a,b,c, e.g. liquid.neurons=100,200 (got '{text}')")
        require(key not in grid, "--grid", "takes each key once; give all its values together", key)
        twice = [value for k, value in enumerate(values) if value in values[:k]]
        require(not twice, "--grid", f"takes each value of {key} once; leave the second out", ", ".join(twice))
        grid[key] = values
    for key in grid:
        inner = [other for other in grid if other.startswith(f"{key}.")]
        require(not inner, "--grid", f"takes a table or keys of it; give only one of {key} and these", inner)
    return grid


def check_sets(grid: Mapping[str, Sequence[str]], sets: Sequence[str]) -> None:
    """Raise for a `key=value` text of a key that the grid varies: every point has a value of its own.

    Raises:
        NeurosimInputError: the first such text.
    """
    for text in sets:
        key = text.partition("=")[0].strip()
        varied = [name for name in grid if f"{key}.".startswith(f"{name}.")]
        require(not varied, f"--set {key}", "has no use beside --grid of the same key; leave one of them out", text)


def _leaves_of(sets: Iterable[str]) -> set[str]:
    """Return the dotted keys that `key=value` texts set, those inside of tables, too."""
    leaves: set[str] = set()
    tables: list[tuple[str, Mapping[str, object]]] = [("", assignments(sets))]
    while tables:
        prefix, table = tables.pop()
        for key, value in table.items():
            if isinstance(value, Mapping):
                tables.append((f"{prefix}{key}.", value))
            else:
                leaves.add(prefix + key)
    return leaves


def _split(text: str) -> Iterator[str]:
    """Yield the parts of a text between commas that are neither in brackets nor in quotes."""
    depth = 0
    quote = ""
    part = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in OPENING:
            depth += 1
        elif character in CLOSING:
            depth -= 1
        if character == "," and not quote and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += character
    yield part.strip()


def _of_run(path: Path, kind: str | None, shared: Mapping[str, Any]) -> SweepConfig:
    folder = open_run(path)
    name = folder.manifest.kind or UNNAMED
    if kind not in (None, name):
        raise NeurosimInputError(f"--kind: {path} is a run of the kind {name} (got {kind}); leave --kind out")
    require(name not in NOT_SWEPT, "sweep", "needs a run of one model, or its settings", f"{path}, of the kind {name}")
    return SweepConfig(kind=name, run=str(path.resolve()), **shared)


def _kind_of_file(path: Path) -> str:
    """Return the kind of run that a TOML file describes.

    Raises:
        NeurosimInputError: the file alone does not say.
    """
    from ..edges.config import is_edges
    from ..frame.config import sources_of
    from ..frame.settings import merge
    from ..network.config import is_network
    from ..pipeline.config import is_pipeline

    if is_pipeline(path):
        return "pipeline"
    if is_network(path):
        return "network"
    if is_edges(merge(sources_of(path, (), {}))):
        return "edges"
    raise NeurosimInputError(
        f"--kind: is needed for settings without a network, such as train, or {UNNAMED} for `neurosim simulate` "
        f"(got {path} alone)"
    )


def _checked(name: str, target: str) -> str:
    """Return the name of a kind that can be swept without the folder of a run.

    Raises:
        NeurosimInputError: it cannot.
    """
    find_kind(name)
    known = ", ".join(each for each in KINDS if each not in (*NOT_SWEPT, *WITH_A_MODEL))
    require(name not in NOT_SWEPT, "--kind", f"must be of one model: {known}", name)
    if name in WITH_A_MODEL:
        raise NeurosimInputError(
            f"--kind: the model of {name} is no setting; give the folder of such a run in the place of {target}"
        )
    return name
