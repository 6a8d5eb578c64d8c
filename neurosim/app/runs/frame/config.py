"""Settings that kinds of runs share, and where each setting may come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

from ....base.errors import NeurosimInputError, lookup, require
from ....base.json_toml import read_toml
from ....base.measure.profiles import find as find_profile
from ....base.rules import Count, FilePath, NameOrFile
from ....base.schema import Schema, settings_schema
from ....data import catalog
from ....data.catalog import FOLDER
from ....engine.compile.memory import free_memory
from .folder import CONFIG, RunFolder
from .settings import ConfigSource, assignments, keys_of, merge, nest, overlay, required_keys, resolve, settings_tree

C = TypeVar("C", bound="RunConfig")


@dataclass(frozen=True)
class Data:
    """Which recordings.

    Attributes:
        name: of the dataset.
        split: to test on; the readout learns on the dataset's first split.
        root: folder with the dataset's files.
        limit: maximum number of test recordings, spread evenly over classes.
        train_limit: the same for training.
        held_out_speaker: test on this speaker, a number or a name, alone, and leave the speaker out of training.
        like: name of a dataset whose settings a run of these recordings has, where the user gives none; None: those
            chosen for `name`, or else by a rule from sensor and duration.
        options: settings of the dataset, where it has any, such as `neurosim.data.folder.options.FolderOptions`.
    """

    name: str
    split: str = "test"
    root: FilePath | None = None
    limit: Count | None = None
    train_limit: Count | None = None
    held_out_speaker: int | str | None = None
    like: str | None = None
    options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        # The recordings of a speaker are the split.
        if self.held_out_speaker is not None and self.split != "test":
            raise NeurosimInputError(
                f"Data.split: cannot be joined with held_out_speaker (got {self.split}); leave one out"
            )

    @property
    def shown_name(self) -> str:
        """Name for people; recordings of the user's own are called as their folder."""
        if self.name == FOLDER and self.root is not None:
            return Path(self.root).resolve().name
        return self.name

    def describe(self) -> catalog.Dataset:
        """Return the properties of the dataset, as its files show them.

        Raises:
            NeurosimError: as `catalog.describe`.
        """
        return catalog.describe(self.name, self.root, self.options)


@dataclass(frozen=True)
class Energy:
    """Settings of the energy estimates.

    Attributes:
        profile: a name of `measure.PROFILES` or the path of a profile in TOML.
    """

    profile: NameOrFile = "horowitz45"


@dataclass(frozen=True)
class Baselines:
    """Classifiers that a run is compared with.

    Attributes:
        cnn: whether a small convolutional network on frames of counts is trained beside the simple classifiers, where
            that takes seconds; see `runs.frame_cnn`.
    """

    cnn: bool = True


class Suited(NamedTuple):
    """Settings that suit recordings, and why, in words."""

    settings: Mapping[str, object]
    reason: str


GENERAL = Suited({}, "the general ones")
# What a first command learns, by dataset: of digits, an accuracy within some percent in a few seconds.
FIRST_LOOK: Mapping[str, Mapping[str, object]] = {
    "digits": {"data": {"train_limit": 1000}, "baselines": {"cnn": False}},
}
# Shortest side of a camera, and fewest channels of a cochlea, in pixels and channels: smaller sensors are neither.
MIN_SIDE = 16
MIN_CHANNELS = 64


def sensor_of(dataset: catalog.Dataset) -> Literal["camera", "channels", "other"]:
    """Return the kind of sensor by its shape: a camera's [polarities, height, width], or many channels."""
    shape = dataset.shape
    if len(shape) == 3 and min(shape[1:]) >= MIN_SIDE:
        return "camera"
    if len(shape) == 1 and shape[0] >= MIN_CHANNELS:
        return "channels"
    return "other"


def rounded(value: float) -> float:
    """Return a number in two digits, so that config.toml has a round one."""
    return float(f"{value:.2g}")


def table_in(settings: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return a table of some settings; {} where there is none."""
    inner = settings.get(name)
    return inner if isinstance(inner, Mapping) else {}


@dataclass(frozen=True)
class RunConfig:
    """Base of the settings that decide the results of a run; each kind of run derives its own."""

    # Whether runs learn a part of the datasets of `FIRST_LOOK` by default.
    has_first_look: ClassVar[bool] = False
    # Settings that were chosen for a dataset, by its name.
    chosen: ClassVar[Mapping[str, Mapping[str, object]]] = {}

    @classmethod
    def configure(
        cls: type[C],
        file: Path | str | None = None,
        sets: Sequence[str] = (),
        values: Mapping[str, object] | None = None,
        unused: Mapping[str, str] = MappingProxyType({}),
    ) -> C:
        """Return the config of a new run. Later wins: defaults, those for the dataset, `file`, `sets`, `values`.

        Args:
            file: TOML.
            sets: `key=value` texts.
            values: settings by dotted key; one that is None is left out.
            unused: settings that the command has no use for, beside those of `unused()`.

        Raises:
            NeurosimInputError: a key that is unknown, missing or breaks its rule; no such dataset.
            NeurosimFormatError: `file` is not TOML.
        """
        own = sources_of(file, sets, values or {})
        # Merged a first time to learn which dataset is meant: its defaults go below all other sources.
        tree = merge(own)
        if "data" in keys_of(cls):
            known = _dataset(tree.get("data"))
        else:
            known = None
        below = []
        if known is not None:
            below.append(ConfigSource(f"the defaults for {known.name}", cls.suited(tree, known).settings))
            below.append(ConfigSource(f"a first look at {known.name}", cls.first_look(known)))
        config = resolve(cls, [*below, *own]).checked()
        config.check_uses({**config.unused(), **unused}, below)
        return config

    @classmethod
    def reconfigure(
        cls: type[C],
        run: RunFolder,
        sources: Sequence[ConfigSource] = (),
        changeable: Sequence[str] = (),
        unused: Mapping[str, str] = MappingProxyType({}),
    ) -> C:
        """Return a run's own config, changed by `sources`, which may change its `changeable` sections only.

        Args:
            unused: settings that the command has no use for, each with its rule.

        Raises:
            NeurosimInputError: a key that is unknown or breaks its rule, or one that the results depend on already.
        """
        path = run.path / CONFIG
        own = ConfigSource(str(path), read_toml(path))
        changed = resolve(cls, [own, *sources])
        # Both are resolved, so that a default given explicitly is no change.
        before = dict(_leaves(settings_tree(resolve(cls, [own]))))
        after = dict(_leaves(settings_tree(changed)))
        refuse_unused(unused, after, before)
        for key, value in after.items():
            if value != before[key] and key.split(".")[0] not in changeable:
                raise NeurosimInputError(
                    f"{key}: the run has {before[key]!r} and cannot change (got {value!r}); run it again"
                )
        return changed.checked()

    @classmethod
    def defaults(cls, dataset: catalog.Dataset) -> Mapping[str, object]:
        """Return the settings that were chosen for the dataset of this name, {} where none were."""
        return cls.chosen.get(dataset.name, {})

    @classmethod
    def by_rule(cls, dataset: catalog.Dataset) -> Suited:
        """Return the settings of recordings for which none were chosen, by a rule from their properties."""
        return GENERAL

    @classmethod
    def suited(cls, tree: Mapping[str, object], dataset: catalog.Dataset) -> Suited:
        """Return the settings that suit a dataset, or the dataset that `data.like` names, and why.

        Args:
            tree: settings that the user gave.

        Raises:
            NeurosimInputError: `data.like` names no dataset.
        """
        meant = alike(tree, dataset)
        own = cls.defaults(meant)
        if own:
            return Suited(own, f"chosen for {meant.name}")
        return cls.by_rule(meant)

    @classmethod
    def first_look(cls, dataset: catalog.Dataset) -> Mapping[str, object]:
        """Return the defaults that make a run of this dataset short: which part it reads, what stands beside it."""
        return FIRST_LOOK.get(dataset.name, {}) if cls.has_first_look else {}

    def part(self) -> str:
        """Return in words which part is learned, and what learns all, where it is that of `first_look`; else ""."""
        data = getattr(self, "data", None)
        if not isinstance(data, Data):
            return ""
        about = data.describe()
        limit = table_in(self.first_look(about), "data").get("train_limit")
        if limit is None or data.train_limit != limit:
            return ""
        size = about.recordings[about.splits[0]]
        return f"{limit:,} of the {size:,} training recordings; all: --set data.train_limit={size}"

    def reason(self) -> str:
        """Return why the settings that the user left out are as they are, "" without recordings."""
        data = getattr(self, "data", None)
        if not isinstance(data, Data):
            return ""
        suited = self.suited(settings_tree(self), data.describe())
        if data.like is not None:
            return f"settings of {data.like}, by data.like: {suited.reason}"
        return f"settings: {suited.reason}"

    @classmethod
    def json_schema(cls) -> Schema:
        """Return the JSON Schema of a file with these settings."""
        return settings_schema(cls)

    def checked(self: C) -> C:
        """Return the settings after `check`, with an energy profile that there is.

        Raises:
            NeurosimInputError: a value that breaks a rule.
        """
        self.check()
        energy = getattr(self, "energy", None)
        if isinstance(energy, Energy):
            find_profile(energy.profile)
        return self

    def unused(self) -> Mapping[str, str]:
        """Return settings and tables that count for nothing beside the other settings, each with its rule."""
        return {}

    def check_uses(self, unused: Mapping[str, str], below: Sequence[ConfigSource]) -> None:
        """Raise for a setting that counts for nothing beside the others.

        Args:
            unused: such settings and tables, as `unused` returns them.
            below: what the settings are where the user says nothing. One that has this value is no error, so that the
                file that --show-config prints is a config.

        Raises:
            NeurosimInputError: the first such setting.
        """
        if not unused:
            return
        mine = dict(_leaves(settings_tree(self)))
        needed: dict[str, object] = {}
        for key in required_keys(type(self)):
            needed = overlay(needed, nest(key, mine[key]))
        plain = resolve(type(self), [*below, ConfigSource("what is needed", needed)])
        refuse_unused(unused, mine, dict(_leaves(settings_tree(plain))))

    def check(self) -> None:
        """Check what no section alone can, before any file is read or written.

        Raises:
            NeurosimInputError: a value that breaks a rule.
        """


def _dataset(data: object) -> catalog.Dataset | None:
    """Return the dataset that a table [data] names, None where it names none.

    Raises:
        NeurosimInputError: no such dataset.
    """
    table: Mapping[str, object] = data if isinstance(data, Mapping) else {}
    name, root, options = (table.get(key) for key in ("name", "root", "options"))
    if not isinstance(name, str):
        return None
    known = root if isinstance(root, str) else None
    return catalog.describe(name, known, options if isinstance(options, Mapping) else None)


def alike(tree: Mapping[str, object], dataset: catalog.Dataset) -> catalog.Dataset:
    """Return the dataset that `data.like` names in a tree of settings, or `dataset` itself.

    Raises:
        NeurosimInputError: there is no dataset of that name.
    """
    name = table_in(tree, "data").get("like")
    if not isinstance(name, str):
        return dataset
    lookup(dict.fromkeys(catalog.names()), name, "data.like: dataset")
    info: catalog.Dataset = catalog.module(name).INFO
    return info


def without_use(where: str, *names: str) -> dict[str, str]:
    """Return settings and tables that have no use, for `RunConfig.unused`.

    Args:
        where: in words, "with readout.kind 'ridge'".
    """
    return dict.fromkeys(names, f"has no use {where}; leave it out")


def refuse_unused(unused: Mapping[str, str], mine: Mapping[str, object], usual: Mapping[str, object]) -> None:
    """Raise for a setting that counts for nothing beside the others and differs from its usual value.

    Args:
        unused: such settings and tables by dotted name, each with its rule.
        mine, usual: values by dotted key; of the run, and where the user says nothing.

    Raises:
        NeurosimInputError: the first such setting.
    """
    for name, rule in unused.items():
        for key, value in mine.items():
            if not f"{key}.".startswith(f"{name}."):
                continue
            # The file of another run may have the key: its usual value is as good as none.
            usual_value = usual.get(key)
            require(value == usual_value, key, rule, f"{value}, usually {usual_value}")


def check_memory(need: int, problem: str, remedy: str) -> None:
    """Raise where more memory is needed than is free.

    Args:
        need: bytes.
        problem: of which setting, with `{need}` in the place of the bytes.

    Raises:
        NeurosimInputError: the problem, the memory that is free, the remedy.
    """
    free = free_memory()
    if free is not None and need > free:
        words = problem.format(need=f"{need / 2**30:,.1f} GiB")
        raise NeurosimInputError(f"{words}, and {free / 2**30:,.1f} GiB of memory are free; {remedy}")


def sources_of(file: Path | str | None, sets: Sequence[str], values: Mapping[str, object]) -> list[ConfigSource]:
    """Return the sources of a command: a TOML file, `key=value` texts, settings by dotted key (None: left out)."""
    tree: dict[str, object] = {}
    # Options that the user left out are None and change nothing.
    for key, value in values.items():
        if value is not None:
            tree = overlay(tree, nest(key, value))
    return [
        ConfigSource(str(file), {} if file is None else read_toml(file)),
        ConfigSource("--set", assignments(sets)),
        ConfigSource("the command line", tree),
    ]


def _leaves(tree: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    leaves: list[tuple[str, object]] = []
    for key, value in tree.items():
        leaves += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return leaves
