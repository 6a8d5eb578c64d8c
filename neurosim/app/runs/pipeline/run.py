"""Run a pipeline: the training recordings are learned in order, then the test recordings measured, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....base.measure.work import LayerCounts
from ....data.files.arrays import write_arrays
from ....data.files.sonata import write_sonata
from ....learning.continual.matrix import Matrix, measures
from ....network.windowed import Windowed
from .. import data
from ..baselines import measure_comparison
from ..data import Splits
from ..frame.folder import SPIKES
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.settings import settings_tree
from ..network.facts import model_files
from ..network.nir import export_nir
from ..network.run import ARRAYS, LEARNED, named
from ..network.run import settings as settings_of_network
from ..network.run import shown as shown_network
from ..score import score_answers
from ..summary import DataResult, data_facts, labels_of, shown_recordings
from .config import PipelineConfig
from .inputs import PipelineInputs
from .learning import Pipeline
from .plan import Piece, Plan
from .progress import PipelineProgress
from .result import PipelineResult, StageResult

PipelineRun: TypeAlias = Run[PipelineConfig, Splits]


def load(config: PipelineConfig, options: RunOptions, nir: Path | None) -> Inputs[Splits]:
    """Return the recordings.

    Args:
        nir: file for what NIR can say of the network; None: none.
    """
    splits = data.load(config.data)
    net = config.network
    remarks = config.remarks()
    for line in remarks:
        options.say(line)
    facts = {
        "seed": net.description.settings.seed,
        "models": model_files(net.models),
        **({"remarks": list(remarks)} if remarks else {}),
        **({} if nir is None else {"nir": export_nir(nir, net.description, options.say)}),
    }
    return Inputs(splits, data_facts(splits), facts)


def settings(config: PipelineConfig) -> Mapping[str, object]:
    """Return the settings as config.toml holds them."""
    return {**settings_of_network(config.network)[0], "data": settings_tree(config.data)}


def shown(config: PipelineConfig) -> Mapping[str, object]:
    """Return the settings as a file of its own, with all arrays as lists."""
    return {**shown_network(config.network), "data": settings_tree(config.data)}


def prepare(run: PipelineRun) -> None:
    """Write the arrays that the settings name."""
    _, arrays = settings_of_network(run.config.network)
    if arrays and not (run.path / ARRAYS).is_file():
        write_arrays(run.path / ARRAYS, arrays)


def work(run: PipelineRun) -> PipelineResult:
    """Learn the training recordings in order, then test, task by task; write what was learned, and the spikes of one
    test recording in every stage."""
    config = run.config
    splits = run.inputs
    plan = Plan.of(config, splits)
    pipeline = Pipeline(config, splits, plan, run.options.threads)
    with run.time("run"):
        progress = pipeline.run(run.folder, run.options)
    # Named as [[population]] `learned` reads them, so that a network in TOML can start from this file.
    write_arrays(run.path / LEARNED, named(progress.learned))
    with run.time("picture"):
        _write_picture(run, pipeline, progress)
    test = splits.test.select(plan.test)
    labels = labels_of(test)
    predicted = progress.predicted[-1]
    tested = progress.tested
    network = config.description.network
    layers = tested.work
    order = {name: place for place, name in enumerate(PipelineInputs(config).order)}
    if config.data.tasks:
        matrix = _matrix(config, labels, progress.predicted)
    else:
        matrix = None
    trained = np.unique(np.concatenate(plan.train))  # each once, whatever the number of epochs
    with run.time("baselines"):
        weights = sum(layer.weights for layer in layers)
        comparison = measure_comparison(config, splits.train.select(trained), test, weights)
    about = DataResult.of(config.data, splits, config.description.settings.seed)
    return PipelineResult(
        **vars(replace(about, samples=len(test), train_samples=len(trained))),
        **vars(score_answers(labels, predicted, test.classes)),
        **vars(comparison),
        pipeline=config.network.name,
        source=config.data.source,
        readout=config.data.readout,
        unanswered=int(np.count_nonzero(predicted < 0)),
        spikes=tested.spikes,
        spike_digest=tested.digest,
        real_time_factor=tested.run_s / tested.duration if tested.duration else None,
        simulated_seconds=tested.duration,
        measures=measure(layers, len(test), tested.duration, len(test.ticks)),
        energy=energy(layers, len(test), config.network.profile),
        stages=tuple(_stage(config, layer, len(test)) for layer in sorted(layers, key=lambda layer: order[layer.name])),
        windows={p.name: p.model.window for p in network.populations if isinstance(p.model, Windowed)},
        tasks=_task_names(config, splits) if config.data.tasks else (),
        matrix=() if matrix is None else tuple(map(tuple, matrix.values.tolist())),
        measures_of_tasks={} if matrix is None else measures(matrix, forward=False),
        shape=test.shape,
        shown=shown_recordings(labels, predicted, test.durations)[:1],
    )


def _write_picture(run: PipelineRun, pipeline: Pipeline, progress: PipelineProgress) -> None:
    """Write the spikes of every stage for the test recording that the page shows."""
    plan = pipeline.plan
    test = run.inputs.test.select(plan.test)
    labels = labels_of(test)
    # The first recording of the lowest class, with its trial number in the test: the same draws, the same spikes.
    first = int(np.flatnonzero(labels == labels.min())[0])
    last = plan.tests - 1
    piece = Piece(learn=False, indices=plan.test[first : first + 1], trial=plan.trial + first, test=last)
    result = pipeline.simulate(progress.learned, piece)
    populations = {run.config.data.source: test[first]}
    for name in result.spikes:
        populations[name] = result.recordings(name)[0]
    write_sonata(run.path / SPIKES, populations)


def _stage(config: PipelineConfig, layer: LayerCounts, samples: int) -> StageResult:
    population = config.description.network.population(layer.name)
    model = population.model.model if isinstance(population.model, Windowed) else population.model
    operations = layer.synaptic_operations
    return StageResult(
        name=layer.name,
        model=type(model).__name__,
        units=population.size,
        operations=None if operations is None else operations / samples,
        spikes=None if layer.output_events is None else layer.output_events / samples,
        parameter_bytes=layer.parameter_bytes,
        state_bytes=layer.state_bytes,
        energy=energy([layer], samples, config.network.profile).memory_aware,
    )


def _matrix(config: PipelineConfig, labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> Matrix:
    """Return the accuracies on each task after each, the first row before any."""
    right = predicted == labels
    return Matrix(np.stack([right[:, np.isin(labels, task)].mean(axis=1) for task in config.tasks()], axis=1))


def _task_names(config: PipelineConfig, splits: Splits) -> tuple[str, ...]:
    classes: Sequence[str] = splits.test.classes
    return tuple(", ".join(classes[each] for each in task) for task in config.tasks())
