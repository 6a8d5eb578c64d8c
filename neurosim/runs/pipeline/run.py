"""Run a pipeline: the training recordings are learned in order, then the test recordings measured, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import description, files, measure
from ...continual.matrix import Matrix, measures
from ...measure import LayerCounts
from ...spikes import Recordings
from ...windowed import Windowed
from .. import data
from ..data import Splits
from ..frame.folder import CONFIG, SPIKES, RunFolder, check_resumable, check_unchanged
from ..frame.lifecycle import finish, new_run, open_to_resume, resumed_run
from ..frame.options import DEFAULTS, RunOptions
from ..frame.timings import Timings, limit_threads
from ..network.config import Models
from ..network.nir import export_nir
from ..network.run import ARRAYS, hashes_of, model_files
from ..score import score
from ..summary import DataResult, data_facts, labels_of, shown_recordings
from . import KIND
from .config import PipelineConfig, configure
from .inputs import PipelineInputs
from .learning import Pipeline
from .plan import Piece, Plan
from .progress import PROGRESS, Learned, PipelineProgress
from .result import PipelineResult, StageResult

LEARNED = "learned.safetensors"


def simulate(config: PipelineConfig, options: RunOptions = DEFAULTS, *, nir: Path | None = None) -> PipelineResult:
    """Run a pipeline and write a run folder: manifest, config, metrics, what was learned, and the spikes of one test
    recording in every stage.

    Args:
        config: decides the results; the options do not.
        nir: file for what NIR can say of the network; the manifest names what it cannot. None: none.

    Raises:
        NeurosimError: what is wrong with the data, a setting or the disk.
        NeurosimInterruptedError: Ctrl-C; `resume` continues.
    """
    options.check_out()
    timings = Timings()
    with timings("load"):
        splits = data.load(config.data)
        plan = Plan.of(config, splits)
    net, arrays = config.network, dict[str, NDArray[Any]]()
    tree = {
        **description.tree(net.description, arrays, ARRAYS),
        "data": config.data.model_dump(),
        "energy": {"profile": net.profile},
    }
    facts = {
        "seed": net.description.settings.seed,
        "threads": options.threads,
        "models": model_files(net.models),
        **({} if nir is None else {"nir": export_nir(nir, net.description, options.say)}),
    }
    with new_run(KIND, tree, net.name, options, **facts) as folder, limit_threads(options.threads):
        if arrays:
            files.write_arrays(folder.path / ARRAYS, arrays)
        _say_remarks(config, folder, options)
        folder.note(data=data_facts(splits))
        return _Run(config, folder, options, timings, splits, plan).finish()


def resume(path: Path, models: Models | None = None, options: RunOptions = DEFAULTS) -> PipelineResult:
    """Continue a run that was interrupted or killed, from its last save, or else from its start.

    Args:
        path: its folder.
        models: neurons of the user's own, as `configure` takes them; the same files as before.

    Returns:
        What the uninterrupted run would have returned, apart from wall-clock times.

    Raises:
        NeurosimError: as `simulate`; and where the run is done, or its config, recordings or neurons were changed.
    """
    folder, timings = open_to_resume(KIND, path), Timings()
    check_resumable(folder)
    config = configure(path / CONFIG, models=models)
    config = replace(config, network=replace(config.network, name=folder.manifest.name))
    with resumed_run(KIND, folder, options), limit_threads(options.threads):
        with timings("load"):
            splits = data.load(config.data)
        before, now = hashes_of(folder.manifest.facts["models"]), hashes_of(model_files(config.network.models))
        check_unchanged(folder, "data", folder.manifest.data, data_facts(splits))
        check_unchanged(folder, "models", before, now)
        folder.note(threads=options.threads)
        _say_remarks(config, folder, options)
        return _Run(config, folder, options, timings, splits, Plan.of(config, splits)).finish()


def _say_remarks(config: PipelineConfig, folder: RunFolder, options: RunOptions) -> None:
    """Print the remarks of a config, and note them for the page."""
    remarks = config.remarks()
    if remarks:
        folder.note(remarks=list(remarks))
    for line in remarks:
        options.say(line)


@dataclass(frozen=True)
class _Run:
    """The steps of a run."""

    config: PipelineConfig
    folder: RunFolder
    options: RunOptions
    timings: Timings
    splits: Splits
    plan: Plan

    def finish(self) -> PipelineResult:
        def clear() -> None:
            (self.folder.path / PROGRESS).unlink(missing_ok=True)

        return finish(KIND, self.folder, self.run, self.timings, clear)

    def run(self) -> PipelineResult:
        config, plan = self.config, self.plan
        pipeline = Pipeline(config, self.splits, plan, self.options.threads)
        with self.timings("run"):
            progress = pipeline.run(self.folder, self.options)
        files.write_arrays(self.folder.path / LEARNED, named(progress.learned))
        with self.timings("picture"):
            self.write_picture(pipeline, progress)
        test = self.splits.test.select(plan.test)
        labels, predicted, tested = labels_of(test), progress.predicted[-1], progress.tested
        network, layers = config.description.network, tested.work
        order = {name: place for place, name in enumerate(PipelineInputs(config).order)}
        matrix = self.matrix(labels, progress.predicted) if config.data.tasks else None
        trained = labels_of(self.splits.train)[np.unique(np.concatenate(plan.train))]
        about = DataResult.of(config.data, self.splits, config.description.settings.seed)
        return PipelineResult(
            **vars(replace(about, samples=len(test), train_samples=len(trained))),
            **vars(score(labels, predicted, test.classes)),
            pipeline=config.network.name,
            source=config.data.source,
            readout=config.data.readout,
            unanswered=int(np.count_nonzero(predicted < 0)),
            spikes=tested.spikes,
            spike_digest=tested.digest,
            real_time_factor=tested.run_s / tested.duration if tested.duration else None,
            simulated_seconds=tested.duration,
            measures=measure.measure(layers, len(test), tested.duration, len(test.ticks)),
            energy=measure.energy(layers, len(test), config.network.profile),
            stages=tuple(self.stage(layer, len(test)) for layer in sorted(layers, key=lambda layer: order[layer.name])),
            windows={p.name: p.model.window for p in network.populations if isinstance(p.model, Windowed)},
            tasks=self.task_names() if config.data.tasks else (),
            matrix=() if matrix is None else tuple(map(tuple, matrix.values.tolist())),
            measures_of_tasks={} if matrix is None else measures(matrix, forward=False),
            shape=test.shape,
            shown=shown_recordings(labels, predicted, test.durations)[:1],
        )

    def write_picture(self, pipeline: Pipeline, progress: PipelineProgress) -> None:
        """Write the spikes of every stage for the test recording that the page shows."""
        test = self.splits.test.select(self.plan.test)
        labels = labels_of(test)
        first = int(np.flatnonzero(labels == labels.min())[0])
        last = self.plan.tests - 1
        piece = Piece(False, self.plan.test[first : first + 1], self.plan.trial + first, last)
        result = pipeline.simulate(progress.learned, piece)
        populations = {self.config.data.source: test[first]}
        for name, found in result.spikes.items():
            assert isinstance(found, Recordings)  # because the input was
            populations[name] = found[0]
        files.write_sonata(self.folder.path / SPIKES, populations)

    def stage(self, layer: LayerCounts, samples: int) -> StageResult:
        population = self.config.description.network.population(layer.name)
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
            energy=measure.energy([layer], samples, self.config.network.profile).memory_aware,
        )

    def matrix(self, labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> Matrix:
        """Return the accuracies on each task after each, the first row before any."""
        right = predicted == labels
        return Matrix(np.stack([right[:, np.isin(labels, task)].mean(axis=1) for task in self.config.tasks()], axis=1))

    def task_names(self) -> tuple[str, ...]:
        classes: Sequence[str] = self.splits.test.classes
        return tuple(", ".join(classes[each] for each in task) for task in self.config.tasks())


def named(learned: Learned) -> dict[str, NDArray[Any]]:
    """Return the arrays of all populations, each named "population/array", as `learned` in TOML reads them."""
    return {f"{population}/{name}": a for population, state in learned.items() for name, a in state.items()}
