"""The config of a continual run: the stream, the learners with their settings, the seeds, and a grid of settings."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

from ....base.errors import lookup, require
from ....base.json_toml import read_toml
from ....base.measure.profiles import find as find_profile
from ....learning.continual.learners import LEARNERS, kind
from ....learning.continual.streams import STREAMS
from ..frame.config import Energy, sources_of
from ..frame.folder import CONFIG, RunFolder
from ..frame.settings import ConfigSource, check_tables, keys_of, merge, overlay, resolve, table_of
from .settings import ContinualConfig, Head, Row, Tree
from .uses import check_uses, without_common

DEFAULT = ("plain", "joint", "replay")
# Passes over a task of every learner that takes several, so that budgets are equal where none are given.
EPOCHS = 5
FILES = ("root", "options")  # settings of a stream that the table [data] has
# Tables that are read here, each with one of its keys for the message where a value stands in its place.
TABLES = {"stream": "source", "learners": "replay.memory", "common": "epochs", "sweep": "replay.memory"}


def configure(
    file: Path | str | None = None,
    sets: Sequence[str] = (),
    values: Mapping[str, object] | None = None,
    only: Sequence[str] = (),
) -> ContinualConfig:
    """Return the config of a new run. Later wins: defaults, `file`, `sets`, `values` (by dotted key).

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
    sources = [ConfigSource(s.name, _tuples(s.tree)) for s in sources_of(file, sets, values or {})]
    check_tables(sources, Head)
    for source in sources:
        for table, key in TABLES.items():
            table_of(source, table, table, f"{table}.{key}")
    merged = merge(sources)
    learners = _table(merged, "learners") or {name: {} for name in DEFAULT}
    owners = {name: kind(name).SETTINGS for name in only or learners}
    common = _table(merged, "common")
    # If learners were deselected, an unused [common] key may be theirs: accept it.
    if not only:
        _check_common(common, owners)
    stream_kind = str(_table(merged, "stream").get("kind", "permuted"))
    recipe = lookup(STREAMS, stream_kind, "stream.kind")
    # A learner's own table wins over [common], which wins over the usual budget.
    own = {
        name: overlay(_shared(name, owner, common), _table(learners, name, "learners."))
        for name, owner in owners.items()
    }
    if _is_one_pass(merged):
        own = {name: _of_one_epoch(name, settings) for name, settings in own.items()}
    sweep = _spread(_table(merged, "sweep"), owners, recipe, bool(only))
    tables = {**_head_and_stream(merged, sweep, recipe), "learners": own}
    checked = resolve(_model(recipe, owners), [ConfigSource("the config", tables), *_named(sources)])
    head = Head(**{name: getattr(checked, name) for name in keys_of(Head)})
    find_profile(head.energy.profile)
    stream = {"kind": stream_kind, **_values(checked.stream)}
    settings = {name: _values(getattr(checked.learners, name)) for name in owners}
    config = ContinualConfig(head, stream, settings, sweep)
    config = dataclasses.replace(config, rows=tuple(_rows(config)))
    _check_boundaries(config)
    config = without_common(config, common, {name: _table(learners, name, "learners.") for name in owners})
    check_uses(config, {} if only else common, one_pass=_is_one_pass(merged))
    return config


def _check_common(common: Tree, owners: Mapping[str, type]) -> None:
    """Raise `NeurosimInputError` naming the keys of [common] that are settings of no learner."""
    known = {key for owner in owners.values() for key in _fields(owner)}
    unused = sorted(key for key in common if key not in known)
    require(not unused, "common", f"must be settings of the learners {', '.join(owners)}; these are not", unused)


def _is_one_pass(merged: Tree) -> bool:
    """Return whether each item is met once, as `Head.online` says and a stream without boundaries implies."""
    return merged.get("online") is True or _table(merged, "stream").get("boundaries") is False


def _of_one_epoch(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return a learner's settings with one epoch, if it takes epochs; a reference keeps its own."""
    if "epochs" not in settings or LEARNERS[name].reference:
        return settings
    return {**settings, "epochs": 1}


def _shared(name: str, owner: type, common: Tree) -> dict[str, object]:
    """Return the settings that a learner has from [common], or else the usual budget; a reference has its own."""
    shared = {"epochs": EPOCHS, **common}
    if LEARNERS[name].reference:
        del shared["epochs"]
    return {key: value for key, value in shared.items() if key in _fields(owner)}


def _check_boundaries(config: ContinualConfig) -> None:
    """Raise `NeurosimInputError` naming the learners that a stream without boundaries cannot have."""
    rows = [row for row in config.rows if not row.stream["boundaries"]]
    unable = [name for name in dict.fromkeys(row.learner for row in rows) if not LEARNERS[name].task_free]
    if unable:
        free = ", ".join(name for name, entry in LEARNERS.every().items() if entry.task_free)
        rule = f"must be true for learners that learn task by task, {', '.join(unable)}; {free} need no boundaries"
        require(False, "stream.boundaries", rule, False)


def stored(run: RunFolder) -> ContinualConfig:
    """Return the config of a run that is resumed."""
    return configure(run.path / CONFIG)


@dataclass(frozen=True)
class Changeable:
    """Settings of a finished run that can change."""

    energy: Energy = Energy()


def reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> Changeable:
    """Return the energy settings of a run, changed by `sources`; nothing else of it can change.

    Raises:
        NeurosimInputError: another setting was given, or one that breaks its rule.
    """
    fixed = [key for source in sources for key in source.tree if key not in changeable]
    require(not fixed, str(run.path), "is a continual run, and nothing of it can change; leave these out", fixed)
    path = run.path / CONFIG
    own = {key: value for key, value in read_toml(path).items() if key in keys_of(Changeable)}
    return resolve(Changeable, [ConfigSource(str(path), own), *sources])


def _rows(config: ContinualConfig) -> Iterator[Row]:
    """Yield every learner with every point of the grid that concerns it.

    Raises:
        NeurosimInputError: a value in the grid that no setting takes.
    """
    for learner, settings in config.learners.items():
        model = _model(STREAMS[config.stream["kind"]], {learner: kind(learner).SETTINGS})
        axes = [
            (place, key, value) for place in ("stream", learner) for key, value in config.sweep.get(place, {}).items()
        ]
        # A learner without a sweep has one point: the product of no axes.
        for point in itertools.product(*(values for _, _, values in axes)):
            chosen: dict[str, dict[str, object]] = {"stream": dict(config.stream), learner: dict(settings)}
            words = [learner]
            for (place, key, _), value in zip(axes, point, strict=True):
                chosen[place][key] = value
                words.append(f"{key} {_text(value)}")
            tables = {"stream": _without_kind(chosen["stream"]), "learners": {learner: chosen[learner]}}
            point_settings = resolve(model, [ConfigSource("sweep", tables)])
            stream = {"kind": config.stream["kind"], **_values(point_settings.stream), **config.files}
            yield Row(", ".join(words), learner, _values(getattr(point_settings.learners, learner)), stream)


def _spread(sweep: Tree, owners: Mapping[str, type], recipe: type, narrowed: bool) -> dict[str, dict[str, list[Any]]]:
    """Return the grid by learner and stream: the values of "common" go to every learner that has the setting."""
    grid: dict[str, dict[str, list[Any]]] = {}
    own = [name for name in _fields(recipe) if name not in FILES]
    known = {**{name: _fields(owner) for name, owner in owners.items()}, "stream": own}
    for place, table in sweep.items():
        if place == "common":
            places = list(owners)
        # A grid of a learner that --learner left out.
        elif narrowed and place in LEARNERS and place not in owners:
            continue
        else:
            lookup(known, place, "sweep")
            places = [place]
        require(isinstance(table, Mapping), f"sweep.{place}", "must be a table of lists of values", table)
        for key, values in table.items():
            good = isinstance(values, tuple) and len(values) > 0
            require(good, f"sweep.{place}.{key}", "must be a list of at least one value", values)
            twice = [value for number, value in enumerate(values) if value in values[:number]]
            require(not twice, f"sweep.{place}.{key}", "takes each value once; leave the second out", twice)
            having = [name for name in places if key in known[name]]
            require(narrowed or bool(having), f"sweep.{place}.{key}", "must be the name of a setting", key)
            for name in having:
                grid.setdefault(name, {})[key] = values
    return grid


def _model(recipe: type, owners: Mapping[str, type]) -> Any:
    """Return the model of a config with this stream and these learners; other keys are errors."""
    entries = [(name, owner, field(default_factory=owner)) for name, owner in owners.items()]
    learners = make_dataclass("Learners", entries, frozen=True)
    tables: list[tuple[str, type, Any]] = [
        ("stream", recipe, field(default_factory=recipe)),
        ("learners", learners, field(default_factory=learners)),
    ]
    return make_dataclass("Continual", tables, bases=(Head,), frozen=True)


def _values(settings: object) -> dict[str, Any]:
    """Return the values of a dataclass by key."""
    return {name: getattr(settings, name) for name in keys_of(type(settings))}


def _named(sources: Sequence[ConfigSource]) -> list[ConfigSource]:
    """Return the sources of the keys, for messages, without the parts that were merged into others."""
    return [
        ConfigSource(s.name, {k: _without_kind(v) if k == "stream" else v for k, v in s.tree.items() if k in _UNMERGED})
        for s in sources
    ]


# Keys whose value is as its source wrote it; [learners], [common] and [sweep] were merged into each other.
_UNMERGED = ("seed", "seeds", "online", "on", "data", "energy", "stream")


def _head_and_stream(merged: Tree, sweep: Mapping[str, Tree], recipe: type) -> dict[str, Any]:
    """Return the settings of the whole run and of its stream, with the dataset of the table [data] as its source.

    Raises:
        NeurosimInputError: the stream has another source, has none, or sources are swept.
    """
    settings = {key: value for key, value in merged.items() if key not in ("common", "sweep", "learners")}
    # [data] names one source: a sweep of sources would contradict it.
    swept = "source" in sweep.get("stream", {}) and "data" in merged
    require(not swept, "sweep.stream.source", "must be left out beside data.name", merged.get("data"))
    data = _named_data(merged)
    if data is not None:
        settings["data"] = data
    settings["stream"] = _of_data(_without_kind(settings.get("stream", {})), data, recipe)
    return settings


def _named_data(merged: Tree) -> Any:
    """Return the table [data]; its dataset is that of stream.source, where it names none."""
    data = merged.get("data")
    source = _table(merged, "stream").get("source")
    if not isinstance(data, Mapping) or "name" in data or source is None:
        return data
    return {"name": source, **data}


def _of_data(stream: Any, data: Any, recipe: type) -> Any:
    """Return the settings of a stream whose source is the dataset of the table [data], where there is one.

    Raises:
        NeurosimInputError: a stream that has no single source, or has another one.
    """
    name = data.get("name") if isinstance(data, Mapping) else None
    if name is None or not isinstance(stream, Mapping):
        return stream
    require(
        "source" in _fields(recipe), "data.name", "has no use in a stream without stream.source; leave it out", name
    )
    other = stream.get("source", name)
    require(other == name, "stream.source", f"must be left out beside data.name = '{name}'", other)
    return {**stream, "source": name}


def _without_kind(table: Any) -> Any:
    """Return the settings of a stream without its kind."""
    if isinstance(table, Mapping):
        return {k: v for k, v in table.items() if k != "kind"}
    return table


def _table(tree: Tree, name: str, before: str = "") -> dict[str, object]:
    """Return a table of a tree; `before` stands before its name in errors."""
    table = tree.get(name, {})
    require(isinstance(table, Mapping), before + name, "must be a table of settings", table)
    return dict(table)


def _fields(owner: type) -> list[str]:
    return [field.name for field in dataclasses.fields(owner)]


def _tuples(value: Any) -> Any:
    """Return a tree with tuples in place of lists."""
    if isinstance(value, Mapping):
        return {key: _tuples(v) for key, v in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(v) for v in value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(_text(v) for v in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
