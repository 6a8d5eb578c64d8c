"""The config of a continual run: the stream, the learners with their settings, the seeds, and a grid of settings."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from ...continual.learners import LEARNERS, kind
from ...continual.streams import STREAMS, Recipe
from ...errors import NeurosimInputError, lookup, require
from ..config import Count, Seed, section_of, sources_of
from ..folder import CONFIG, RunFolder
from ..settings import Section, Source, overlay, resolve

DEFAULT = ("plain", "joint", "replay")
Tree = Mapping[str, Any]


class Head(Section):
    """What is not the stream's or a learner's.

    Attributes:
        seed: the first; the others follow it.
        seeds: how many.
        on: which items accuracies are measured on; None: those of test, or of validation in a sweep, whose results are
            for choosing.
    """

    seed: Seed = 0
    seeds: Count = 1
    on: Literal["test", "validation"] | None = None


@dataclass(frozen=True)
class ContinualConfig:
    """Everything that decides a continual run's results.

    Attributes:
        head: seeds and items.
        stream: `kind`, a name in `STREAMS`, and the settings of that recipe.
        learners: settings by name in `LEARNERS`.
        sweep: lists of values by the place they belong to: a learner's name, or "stream".
    """

    head: Head
    stream: Tree
    learners: Mapping[str, Tree]
    sweep: Mapping[str, Mapping[str, Sequence[Any]]]

    def tree(self) -> dict[str, Any]:
        """As it is written to `config.toml`."""
        tables = {"stream": dict(self.stream), "learners": {n: dict(s) for n, s in self.learners.items()}}
        return {**self.head.model_dump(), **tables, "sweep": {n: dict(v) for n, v in self.sweep.items()}}

    @property
    def on(self) -> str:
        """Which items accuracies are measured on."""
        return self.head.on or ("validation" if self.sweep else "test")


@dataclass(frozen=True)
class Row:
    """One learner with one choice of settings on one stream: a row of the results, measured over seeds.

    Attributes:
        name: in tables, e.g. "replay, memory 100".
        learner: a name in `LEARNERS`.
        settings: of it, every one.
        stream: `kind` and settings, every one.
    """

    name: str
    learner: str
    settings: Tree
    stream: Tree

    def recipe(self) -> Recipe:
        """The stream's.

        Raises:
            NeurosimInputError: a value that breaks its rule.
        """
        return STREAMS[self.stream["kind"]](**_without_kind(self.stream))

    def options(self) -> Any:
        """The learner's settings. Raises as `recipe`."""
        try:
            return kind(self.learner).SETTINGS(**self.settings)
        except NeurosimInputError as error:
            # The class says `ReplaySettings.memory: ...`; the user said learners.replay.
            raise NeurosimInputError(f"learners.{self.learner}.{str(error).partition('.')[2]}") from None


def configure(
    file: Path | str | None = None,
    sets: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
) -> ContinualConfig:
    """The config of a new run. Later wins: defaults, `file`, `sets`, `given` (by dotted key).

    Args:
        file: TOML, with tables `stream`, `learners.NAME`, `common` (settings of every learner that has them) and
            `sweep.NAME` (lists of values; NAME is a learner, "common" or "stream").
        only: learners to run, whether the file names them or not.

    Raises:
        NeurosimInputError: a key that is unknown or breaks its rule.
        NeurosimFormatError: `file` is not TOML.
        NeurosimMissingError: a learner needs torch, which is not installed.
    """
    # TOML has lists where the settings are tuples.
    sources = [Source(s.name, _tuples(s.tree)) for s in sources_of(file, sets, given or {})]
    merged: dict[str, Any] = {}
    for source in sources:
        merged = overlay(merged, source.tree)
    learners = _table(merged, "learners") or {name: {} for name in DEFAULT}
    names = only or tuple(learners)
    owners = {name: kind(name).SETTINGS for name in names}
    common = _table(merged, "common")
    lost = sorted(key for key in common if not any(key in _fields(owner) for owner in owners.values()))
    # Where some learners were left out, a setting may have been theirs.
    require(
        bool(only) or not lost, "common", f"must be settings of the learners {', '.join(names)}; these are not", lost
    )
    recipe = lookup(STREAMS, _table(merged, "stream").get("kind", "permuted"), "stream.kind")
    own = {
        name: overlay({k: v for k, v in common.items() if k in _fields(owner)}, learners.get(name, {}))
        for name, owner in owners.items()
    }
    sweep = _spread(_table(merged, "sweep"), owners, recipe, bool(only))
    rest = {key: value for key, value in merged.items() if key not in ("common", "sweep", "learners")}
    rest["stream"] = _without_kind(rest.get("stream", {}))
    checked = resolve(_model(recipe, owners), [Source("the config", {**rest, "learners": own}), *_named(sources)])
    tree = checked.model_dump()
    stream = {"kind": _name_of(recipe), **tree["stream"]}
    config = ContinualConfig(Head(**{n: tree[n] for n in Head.model_fields}), stream, tree["learners"], sweep)
    for row in rows(config):
        row.recipe()
        row.options()
    return config


def stored(run: RunFolder) -> ContinualConfig:
    """The config of a run that is taken up again."""
    return configure(run.path / CONFIG)


def reconfigure_continual(
    run: RunFolder, sources: Sequence[Source], changeable: Sequence[str]
) -> ContinualConfig | None:
    """A continual run's own config, of which nothing can change when it has run; None of a comparison.

    Raises:
        NeurosimInputError: a setting was given, or its operations are asked for, which it does not count.
    """
    if changeable:
        raise NeurosimInputError(
            f"{run.path}: a continual run has accuracies and counts no operations; print them with "
            "'neurosim continual compare'"
        )
    given = [key for source in sources for key in source.tree]
    require(not given, str(run.path), "is a continual run, of which nothing can be changed; leave these out", given)
    return None if "compared" in run.manifest else stored(run)


def rows(config: ContinualConfig) -> list[Row]:
    """Every learner with every point of the grid that concerns it.

    Raises:
        NeurosimInputError: a value in the grid that no setting takes.
    """
    found = []
    for learner, settings in config.learners.items():
        axes = [
            (place, key, value) for place in ("stream", learner) for key, value in config.sweep.get(place, {}).items()
        ]
        for point in itertools.product(*(values for _, _, values in axes)):
            chosen: dict[str, dict[str, Any]] = {"stream": dict(config.stream), learner: dict(settings)}
            words = [learner]
            for (place, key, _), value in zip(axes, point, strict=True):
                chosen[place][key] = value
                words.append(f"{key} {_said(value)}")
            model = _model(STREAMS[config.stream["kind"]], {learner: kind(learner).SETTINGS})
            tables = {"stream": _without_kind(chosen["stream"]), "learners": {learner: chosen[learner]}}
            tree = resolve(model, [Source("sweep", tables)]).model_dump()
            stream = {"kind": config.stream["kind"], **tree["stream"]}
            found.append(Row(", ".join(words), learner, tree["learners"][learner], stream))
    return found


def _spread(sweep: Tree, owners: Mapping[str, type], recipe: type, narrowed: bool) -> dict[str, dict[str, list[Any]]]:
    """The grid by learner and stream: what is under "common" goes to every learner that has it."""
    found: dict[str, dict[str, list[Any]]] = {}
    known = {**{name: _fields(owner) for name, owner in owners.items()}, "stream": _fields(recipe)}
    for place, table in sweep.items():
        if place == "common":
            places = list(owners)
        elif narrowed and place in LEARNERS and place not in owners:
            continue
        else:
            lookup(known, place, "sweep")
            places = [place]
        require(isinstance(table, Mapping), f"sweep.{place}", "must be a table of lists of values", table)
        for key, values in table.items():
            good = isinstance(values, tuple) and len(values) > 0
            require(good, f"sweep.{place}.{key}", "must be a list of values, one at least", values)
            having = [name for name in places if key in known[name]]
            require(
                narrowed or bool(having), f"sweep.{place}.{key}", "must be a setting; there is none of that name", key
            )
            for name in having:
                found.setdefault(name, {})[key] = values
    return found


def _model(recipe: type, owners: Mapping[str, type]) -> Any:
    """The closed tables of a config with this stream and these learners."""
    stream = section_of(recipe, without=())
    sections = {name: section_of(owner, without=()) for name, owner in owners.items()}
    learners: dict[str, Any] = {name: (section, section()) for name, section in sections.items()}
    table = create_model("Learners", __base__=Section, **learners)
    fields: dict[str, Any] = {"stream": (stream, stream()), "learners": (table, table())}
    return create_model("Continual", __base__=Head, **fields)


def _named(sources: Sequence[Source]) -> list[Source]:
    """Where each key came from, for messages: without the parts that have been worked into others."""
    return [
        Source(s.name, {k: _without_kind(v) if k == "stream" else v for k, v in s.tree.items() if k in _KEPT})
        for s in sources
    ]


_KEPT = ("seed", "seeds", "on", "stream")


def _without_kind(table: Any) -> Any:
    """A stream's settings."""
    return {k: v for k, v in table.items() if k != "kind"} if isinstance(table, Mapping) else table


def _table(tree: Tree, name: str) -> dict[str, Any]:
    found = tree.get(name, {})
    require(isinstance(found, Mapping), name, "must be a table of settings", found)
    return dict(found)


def _fields(owner: type) -> list[str]:
    return [field.name for field in dataclasses.fields(owner)]


def _name_of(recipe: type) -> str:
    return next(name for name, found in STREAMS.items() if found is recipe)


def _tuples(value: Any) -> Any:
    """Lists in a tree as tuples."""
    if isinstance(value, Mapping):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(_said(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
