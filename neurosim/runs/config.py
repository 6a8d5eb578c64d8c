"""The config of a run: a closed table of names, and where each setting may come from."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, create_model

from .. import files
from ..data import catalog
from ..engine.compile.network import free_memory
from ..errors import NeurosimInputError
from ..liquid import Liquid, Readout
from ..measure import find_profile
from . import kinds
from .folder import CONFIG, CONTINUAL, CONVERT, MEMORY, TRAIN, RunFolder
from .settings import Section, Source, assignments, nest, overlay, resolve

S = TypeVar("S", bound=Section)
# The kinds that are not in `kinds.KINDS` yet.
UNPORTED = {
    MEMORY: (".memory.config", "reconfigure_memory"),
    TRAIN: (".train_config", "reconfigure_train"),
    CONVERT: (".convert_config", "reconfigure_convert"),
    CONTINUAL: (".continual.config", "reconfigure_continual"),
}
# Bytes a synapse takes while a liquid is made: its point in the sensor, its unit, target and weight, and copies.
BUILDING, RECURRENT = 120, 60
# Seeds are keys of 63 bits, which TOML's integers are.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1)]
# TOML knows lists, not tuples. What the numbers must be the class says.
Windows = Annotated["int | tuple[int, ...]", BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]


class Data(Section):
    """Which recordings.

    Attributes:
        name: of the dataset.
        split: to test on; the readout learns on the dataset's first split.
        root: folder with the dataset's files.
        limit: at most so many test recordings, spread evenly over classes.
        train_limit: the same for training.
        held_out_speaker: test on this speaker alone, who is left out of training.
    """

    name: str
    split: str = "test"
    root: str | None = None
    limit: Count | None = None
    train_limit: Count | None = None
    held_out_speaker: int | None = None


class Energy(Section):
    """How energy is estimated.

    Attributes:
        profile: a name of `measure.PROFILES` or the path of a profile in TOML.
    """

    profile: str = "horowitz45"


def section_of(owner: type, without: Sequence[str]) -> Any:
    """The table of a dataclass's parameters, so that a new parameter is a new setting; the class checks the values."""
    hints = typing.get_type_hints(owner)
    fields: dict[str, Any] = {
        f.name: (hints[f.name], f.default) for f in dataclasses.fields(owner) if f.name not in without
    }
    return create_model(owner.__name__, __base__=Section, **fields)


if TYPE_CHECKING:

    class LiquidSettings(Section): ...

    class ReadoutSettings(Section): ...
else:
    LiquidSettings = section_of(Liquid, without=("shape", "seed", "gains"))

    class ReadoutSettings(section_of(Readout, without=("seed", "windows"))):
        windows: Windows = Readout.windows


class Config(Section):
    """Everything that decides a run's results.

    Attributes:
        seed: of everything random.
        data: which recordings.
        liquid: the parameters of `liquid.Liquid`.
        readout: the parameters of `liquid.Readout`.
        energy: how energy is estimated.
    """

    seed: Seed = 0
    data: Data
    liquid: LiquidSettings = LiquidSettings()
    readout: ReadoutSettings = ReadoutSettings()
    energy: Energy = Energy()


def configure(
    file: Path | str | None = None, sets: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> Config:
    """The config of a new run. Later wins: defaults, the dataset's own, `file`, `sets`, `given`.

    Args:
        file: TOML.
        sets: `key=value` texts.
        given: values by dotted key; None means not given.

    Raises:
        NeurosimInputError: a key that is unknown, missing or breaks its rule.
        NeurosimFormatError: `file` is not TOML.
    """
    sources = sources_of(file, sets, given or {})
    name: Any = overlay(overlay(sources[0].tree, sources[1].tree), sources[2].tree).get("data", {})
    name = name.get("name") if isinstance(name, Mapping) else None
    if isinstance(name, str):
        sources.insert(0, Source(f"the defaults of {name}", catalog.module(name).INFO.defaults))
    config = resolve(Config, sources)
    _try(config)
    return config


def with_defaults(model: type[S], sources: Sequence[Source], defaults: Mapping[str, Mapping[str, Any]]) -> S:
    """The config of `sources` over the `defaults` for the dataset that they name.

    Raises:
        NeurosimInputError: a key that is unknown, missing or breaks its rule; no such dataset.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        merged = overlay(merged, source.tree)
    data = merged.get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    below = []
    if isinstance(name, str):
        catalog.module(name)  # says what datasets there are
        below = [Source(f"the defaults for {name}", defaults.get(name, {}))]
    return resolve(model, [*below, *sources])


def network(config: Config, shape: tuple[int, ...]) -> Liquid:
    """The liquid a config describes, for a sensor of this shape."""
    return Liquid(shape, seed=config.seed, **config.liquid.model_dump())


def reader(config: Config) -> Readout:
    """The readout a config describes."""
    return Readout(seed=config.seed, **config.readout.model_dump())


def reconfigure(
    run: RunFolder,
    file: Path | str | None,
    sets: Sequence[str],
    given: Mapping[str, Any],
    changeable: Sequence[str],
) -> Any:
    """A run's own config, changed in its `changeable` sections; of a network's run the part that can change.

    Raises:
        NeurosimInputError: as `configure`, or a setting that the run's results already depend on.
    """
    name = run.manifest.get("kind")
    if name in kinds.KINDS:
        return kinds.kind(name).reconfigure(run, sources_of(file, sets, given), changeable)
    kind = UNPORTED.get(name or "")
    if kind is not None:
        module, function = kind
        own: Any = getattr(importlib.import_module(module, __package__), function)
        return own(run, sources_of(file, sets, given), changeable)
    changed = change(Config, run, sources_of(file, sets, given), changeable)
    _try(changed)
    return changed


def change(model: type[S], run: RunFolder, sources: Sequence[Source], changeable: Sequence[str]) -> S:
    """A run's own config and what `sources` change, which must lie in its `changeable` sections."""
    path = run.path / CONFIG
    own = resolve(model, [Source(str(path), files.read_toml(path))])
    changed = resolve(model, [Source(str(path), files.read_toml(path)), *sources])
    for key, value in _leaves(changed.model_dump()):
        was = dict(_leaves(own.model_dump()))[key]
        if value != was and key.split(".")[0] not in changeable:
            raise NeurosimInputError(f"{key}: the run has {was!r} and cannot change (got {value!r}); simulate again")
    return changed


def _try(config: Config) -> None:
    """Let everything the config names check its own values, before any file is read or written."""
    shape = catalog.module(config.data.name).INFO.shape
    for key, build in (("liquid", lambda: network(config, shape)), ("readout", lambda: reader(config))):
        try:
            build()
        except NeurosimInputError as error:
            # The class says `Liquid.rate: ...`, or `CubaLIF.tau_mem: ...` of what it passes on; the user said liquid.
            raise NeurosimInputError(f"{key}.{str(error).partition('.')[2]}") from None
    liquid = network(config, shape)
    need = liquid.neurons * (BUILDING * liquid.patches * liquid.patch_synapses + RECURRENT * liquid.in_degree)
    free = free_memory()
    if free is not None and need > free:
        raise NeurosimInputError(
            f"liquid.neurons: the synapses of {liquid.neurons:,} need about {need / 2**30:,.1f} GiB while being made, "
            f"and {free / 2**30:,.1f} GiB of memory are free; use fewer neurons, patches or patch_synapses"
        )
    find_profile(config.energy.profile)


def sources_of(file: Path | str | None, sets: Sequence[str], given: Mapping[str, Any]) -> list[Source]:
    """A TOML file, `key=value` texts, and values by dotted key (None: not given); the last win."""
    tree: dict[str, Any] = {}
    for key, value in given.items():
        tree = tree if value is None else overlay(tree, nest(key, value))
    return [
        Source(str(file), {} if file is None else files.read_toml(file)),
        Source("--set", assignments(sets)),
        Source("the command line", tree),
    ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in tree.items():
        found += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return found
