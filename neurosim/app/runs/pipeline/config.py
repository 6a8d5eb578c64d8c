"""The settings of a pipeline's run: a network in TOML, and a table [data] that says which recordings it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....base.errors import NeurosimInputError, lookup, require
from ....base.json_toml import read_toml
from ....base.rules import Count
from ....base.schema import Schema, settings_schema
from ....engine.compile.windows import compile_windows
from ....engine.description.description import Description
from ....engine.description.parse import is_network
from ....network.population import Population
from ....network.stimuli import SpikeSource
from ....network.windowed import Windowed
from ..frame.config import Baselines, Data, Energy
from ..frame.settings import ConfigSource, resolve
from ..network.config import Models, NetworkConfig, merged, of_tree
from ..network.config import schema as schema_of_network

LABEL = "label"
Tasks = tuple[list[int | str], ...]


@dataclass(frozen=True, kw_only=True)
class PipelineData(Data):
    """Which recordings, and their way through the network.

    Attributes:
        source: name of the SpikeSource that plays the recordings.
        label: name of the SpikeSource that plays the classes: one unit a class.
        readout: name of the windowed population that answers.
        tasks: the classes of each task, by name or number, in the order in which the tasks are learned; none: one task
            of all classes. Recordings of other classes are left out.
        task: name of a SpikeSource of one unit, which spikes in the first step of a task to announce it; None: none.
        epochs: number of times that the training recordings of a task are learned.
        shuffle: whether they are learned in an order drawn anew for each epoch, or in the order of the dataset.
        cnn: whether a small convolutional network is trained beside the pipeline; see `runs.frame_cnn`.
        save_every: recordings between two saves, from which a killed run continues; results do not depend on it.
    """

    source: str
    label: str
    readout: str
    tasks: Tasks = ()
    task: str | None = None
    epochs: Count = 1
    shuffle: bool = True
    cnn: bool = True
    save_every: Count = 100


@dataclass(frozen=True)
class _Tables:
    data: PipelineData


@dataclass(frozen=True, eq=False)
class PipelineConfig:
    """A pipeline to run.

    Attributes:
        network: the network, its settings, the energy profile and files of the user's own neurons.
        data: which recordings.
    """

    network: NetworkConfig
    data: PipelineData

    @property
    def description(self) -> Description:
        return self.network.description

    @property
    def baselines(self) -> Baselines:
        return Baselines(cnn=self.data.cnn)

    @property
    def energy(self) -> Energy:
        return Energy(self.network.profile)

    def remarks(self) -> tuple[str, ...]:
        """Return what must be known of the run before its results are read."""
        learning = [each for each in self.description.network.projections if each.learns]
        anew = ", ".join(f"'{each.name}'" for each in learning if not each.keep)
        kept = ", ".join(f"'{each.name}'" for each in learning if each.keep)
        remarks = []
        if anew:
            remarks.append(
                f"weights of {anew} learn within a recording, also while testing, and start anew with the next one; "
                "give their projection keep = true to keep them"
            )
        if kept:
            remarks.append(
                f"weights of {kept} are kept from one training recording to the next, which run one after the other in "
                "the order of the plan, and stay as they are while testing"
            )
        return tuple(remarks)

    @property
    def clock(self) -> float:
        """Step in s.

        Raises:
            NeurosimInputError: the network runs in continuous time.
        """
        clock = self.description.settings.clock
        if clock is None:
            rule = "must be > 0 s, the step on which windows are cut"
            raise NeurosimInputError(f"simulation.clock: {rule} (got continuous)")
        return clock

    @property
    def readout(self) -> Windowed:
        """Model of the population that answers.

        Raises:
            NeurosimInputError: there is no such population, or it is not windowed.
        """
        population = self.description.network.population(self.data.readout, "data.readout")
        model = population.model
        if not isinstance(model, Windowed):
            kind = type(model).__name__
            raise NeurosimInputError(f"data.readout: population '{population.name}' must be windowed (got {kind})")
        return model

    @property
    def readout_steps(self) -> int:
        """Number of steps of a window of the readout."""
        return max(1, round(self.readout.window / self.clock))

    def tasks(self) -> tuple[tuple[int, ...], ...]:
        """Return the class numbers of each task; one task of all classes where none are named."""
        classes = self.data.describe().classes
        if not self.data.tasks:
            return (tuple(range(len(classes))),)
        return tuple(tuple(_class_number(each, classes) for each in task) for task in self.data.tasks)


def schema() -> Schema:
    """Return the JSON Schema of a file that `configure` reads."""
    tree = schema_of_network()
    return {**tree, "properties": {"data": settings_schema(PipelineData), **tree["properties"]}}


def is_pipeline(file: Path | None) -> bool:
    """Return whether a config file describes a pipeline: a network, and a table [data].

    Raises:
        NeurosimMissingError, NeurosimFormatError: no such file, or not TOML.
    """
    if file is None:
        return False
    tree = read_toml(file)
    return is_network(tree) and "data" in tree


def configure(
    file: Path,
    sets: Sequence[str] = (),
    values: Mapping[str, object] | None = None,
    models: Models | None = None,
) -> PipelineConfig:
    """Return the config of a new run. Later wins: `file`, `sets`, `values`.

    Args:
        file: TOML; see `neurosim.engine.description` for the network.
        sets: `key=value` texts; an entry of a list is called by its name: `population.E.tau_mem=0.01`.
        values: settings by dotted key; one that is None is left out.
        models: neurons of the user's own.

    Raises:
        NeurosimInputError: a key or value that breaks its rule, named with the table it is in.
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or damaged.
    """
    tree = merged(file, sets, dict(values or {}))
    # [data] is the pipeline's; all other tables describe the network.
    table = {"data": tree.pop("data", {})}
    data = resolve(_Tables, [ConfigSource(str(file), table)]).data
    config = PipelineConfig(of_tree(tree, file, models or {}), data)
    _check(config)
    return config


def _check(config: PipelineConfig) -> None:
    """Raise `NeurosimInputError` for what neither the network nor the table [data] alone can say."""
    data = config.data
    description = config.description
    info = data.describe()
    require(data.like is None, "data.like", "must be left out: a pipeline says all its settings", data.like)
    compile_windows(description.network, config.clock)  # windows of whole steps, before a run folder is made
    require(not description.probes, "probe", "must be left out: a pipeline keeps no states", len(description.probes))
    # Names come first: what follows looks the populations up.
    names = [name for name in (data.source, data.label, data.task) if name is not None]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, "data", "must name different populations as source, label and task", ", ".join(twice))
    source = _source(config, "source")
    label = _source(config, "label")
    require(
        source.shape in (info.shape, (source.size,)) and source.size == math.prod(info.shape),
        f"data.source: population {source.name!r}",
        f"must have the shape {list(info.shape)} of a recording of {data.name}",
        list(source.shape),
    )
    require(
        label.size == len(info.classes),
        f"data.label: population {label.name!r}",
        f"must have a unit for each of the {len(info.classes)} classes of {data.name}",
        label.size,
    )
    if data.task is not None:
        task = _source(config, "task")
        require(task.size == 1, f"data.task: population {task.name!r}", "must have one unit", task.size)
    for population in description.sources():
        known = population.name in (data.source, data.label, data.task) and population.name not in description.inputs
        rule = "must be data.source, data.label or data.task, and play nothing else"
        require(known, f"population {population.name!r}: a SpikeSource", rule, population.name)
    _check_readout(config)
    _check_tasks(config, info.classes)


def _source(config: PipelineConfig, key: str) -> Population:
    population = config.description.network.population(getattr(config.data, key), f"data.{key}")
    kind = type(population.model).__name__
    if not isinstance(population.model, SpikeSource):
        raise NeurosimInputError(f"data.{key}: population '{population.name}' must be a SpikeSource (got {kind})")
    return population


def _check_readout(config: PipelineConfig) -> None:
    """Check that the readout gets labels and has a unit for each class, and that sources lead somewhere."""
    data = config.data
    network = config.description.network
    model = config.readout.model
    readout = network.population(data.readout)
    into = [link for link in network.links if link.target == readout.name]
    labelled = [network.link_receptor(link) for link in into if link.source == data.label]
    if LABEL in model.receptors and LABEL not in labelled:
        raise NeurosimInputError(
            f"data.readout: population '{readout.name}' learns from labels and no link brings them; add [[link]] with "
            f'source = "{data.label}", target = "{readout.name}", receptor = "{LABEL}"'
        )
    # A source that leads nowhere is a misspelt name as a rule, and would be learned from without effect.
    leading = {each.source for each in network.links} | {each.source for each in network.projections}
    for name in (data.source, data.label, data.task):
        require(name is None or name in leading, f"population {name!r}", "must lead somewhere", "no link")
    classes = network.population(data.label).size
    rule = f"must have at least the {classes} classes as units"
    require(readout.size >= classes, f"data.readout: population {readout.name!r}", rule, readout.size)


def _check_tasks(config: PipelineConfig, classes: Sequence[str]) -> None:
    tasks = config.tasks()
    for number, task in enumerate(tasks):
        require(len(task) > 0, f"data.tasks: task {number + 1}", "must have at least one class", "none")
    every = [each for task in tasks for each in task]
    twice = sorted({classes[each] for each in every if every.count(each) > 1})
    require(not twice, "data.tasks", "must have each class once; these occur more often", ", ".join(twice))


def _class_number(label: int | str, classes: Sequence[str]) -> int:
    """Return the number of a class that [data] calls by name or by number."""
    if isinstance(label, str):
        return lookup({name: number for number, name in enumerate(classes)}, label, "data.tasks: class")
    require(0 <= label < len(classes), "data.tasks: class", f"must be in 0..{len(classes) - 1}", label)
    return label
