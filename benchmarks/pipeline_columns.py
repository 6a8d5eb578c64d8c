"""Camera, edges, macrocolumns, readout in one network, each recording seen once; against what the parts do alone.

    NEUROSIM_DATA=FOLDER python benchmarks/pipeline_columns.py [--seeds 5] [--methods ...] [--choose] [--json]

Events of N-MNIST go to a convolution of LIF neurons, edges (eight orientations of both signs). Their spikes in each of
three windows go to columns with fields of 7 x 7 places; complex cells, LIF neurons too, spike with any edge of one
orientation among 6 x 6 places. An `OnlineReadout` sees the winners of the columns and the spikes of the complex cells,
and learns by recursive least squares. Columns and readout learn in the same pass; then all learning is off and the test
recordings are answered. Beside it:

    complex cells      the same network without columns
    columns            the same network without complex cells
    input rates        columns of 32 modules of 32 units without complex cells; each input of the readout has its rate
    3 passes           that network, which sees every recording three times
    one rate           that network, one pass, with one rate for all inputs of the readout
    edges              the readout learns from the edges themselves
    edges, ridge       ridge regression on the roots of the spike counts of the edges in three windows
    counts, logistic   logistic regression on the roots of the counts of the camera's events in three windows
    columns alone      `build_recogniser("nmnist")`, two levels of columns and counts of labels, each item once

Settings were chosen on folds of the training recordings, as --choose compares those of `GRID`: "validation" is such a
fold. The test recordings are asked once, without it. All seeds share the recordings; they draw the order, the codes and
the fold.
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import frame
import numpy as np
from machine import describe
from numpy.typing import NDArray
from tqdm import tqdm

from neurosim import LIF, Link, Network, Population, Projection, Recordings, SpikeSource, Windowed, simulate
from neurosim.app.runs.data import Splits
from neurosim.app.runs.network.config import NetworkConfig
from neurosim.app.runs.pipeline.config import PipelineConfig, PipelineData
from neurosim.app.runs.pipeline.learning import Pipeline
from neurosim.app.runs.pipeline.plan import Plan
from neurosim.app.runs.pipeline.progress import PipelineProgress
from neurosim.base import CapacityWarning
from neurosim.data import catalog
from neurosim.engine import Description
from neurosim.engine.description.description import Settings
from neurosim.learning import OnlineReadout
from neurosim.memory import Hierarchy, Level, Selection, build_recogniser, patches
from neurosim.memory.macrocolumn.encoders import on_off_windows
from neurosim.network import Convolution

# Three saccades of 105 ms, and 3 ms for the last spikes of the edges.
DURATION = 0.315
WINDOW = 0.106
WINDOWS = 3
# of the edges, pixels
ORIENTATIONS = 8
SIDE = 7
SIGMA = 2.0
WAVELENGTH = 8.0
FOLDS = 5
# places of edges that a complex cell sees, and from one to the next
POOLED = 6
POOLED_STRIDE = 2
GRID: dict[str, tuple[float, ...]] = {"modules": (4, 8), "units": (8, 16), "penalty": (100.0, 300.0, 1000.0)}


@dataclass(frozen=True)
class Chosen:
    """Settings of the pipeline.

    Attributes:
        weight: of all synapses of an edge from the camera, thresholds.
        tau_mem: of the edges, s.
        side, stride: fields of the columns, places of edges.
        modules, units: of a column.
        columns, complex_cells: whether the readout sees them; without both it sees the edges.
        penalty: of the readout's least squares; 0: it learns by `learning_rate`.
        input_rates: whether its inputs have rates of their own.
    """

    weight: float = 2.0
    tau_mem: float = 0.02
    side: int = 7
    stride: int = 2
    modules: int = 4
    units: int = 8
    columns: bool = True
    complex_cells: bool = True
    penalty: float = 300.0
    learning_rate: float = 16.0
    input_rates: bool = False


# The columns of the figures before: chosen when the readout had no least squares.
RATES = Chosen(modules=32, units=32, complex_cells=False, penalty=0.0, input_rates=True)


@dataclass(frozen=True)
class Outcome:
    """Accuracy of a method, and synaptic operations a recording; None where they are not counted."""

    accuracy: float
    operations: float | None = None


def edge_kernel() -> NDArray[np.float64]:
    """Return [filters, polarities, y, x]: odd Gabor functions of both signs, the same for both polarities."""
    place = np.arange(SIDE) - (SIDE - 1) / 2
    y, x = np.meshgrid(place, place, indexing="ij")
    filters = []
    for angle in np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS:
        across = x * np.cos(angle) + y * np.sin(angle)
        gabor = np.exp(-(x * x + y * y) / (2 * SIGMA**2)) * np.cos(2 * np.pi * across / WAVELENGTH + np.pi / 2)
        gabor -= gabor.mean()
        filters.append(gabor / np.abs(gabor).sum())
    both = np.concatenate([filters, np.negative(filters)])
    return np.stack([both, both], axis=1)


def edges(chosen: Chosen, shape: tuple[int, ...]) -> tuple[list[Population], Projection]:
    """Return the camera and the edges, and the projection between them."""
    pattern = Convolution(edge_kernel(), stride=2)
    cells = Population("edges", pattern.output_shape(shape), LIF(tau_mem=chosen.tau_mem, v_threshold=1.0))
    return [Population("camera", shape, SpikeSource()), cells], Projection("camera", "edges", pattern, chosen.weight)


def network(chosen: Chosen, shape: tuple[int, ...], seed: int) -> Network:
    """Return the pipeline."""
    populations, projection = edges(chosen, shape)
    cells = populations[1]
    projections = [projection]
    seen = []
    links = [Link("label", "readout", "label")]
    if chosen.complex_cells:
        pattern = Convolution(pooling(cells.shape[0]), stride=POOLED_STRIDE)
        seen.append(Population("complex", pattern.output_shape(cells.shape), LIF(tau_mem=0.02, v_threshold=1.0)))
        # One spike of an edge is enough; the rest of it cannot add up.
        projections.append(Projection("edges", "complex", pattern, 1.01))
    if chosen.columns:
        fields = patches(cells.shape, chosen.side, chosen.stride)
        exemplars = Selection(exponents=(8.0, 1.0, 1.0), chi=1e4, hypothesis=0.9)
        level = Level(fields, chosen.modules, chosen.units, lateral=False, frozen_above=0.49, selection=exemplars)
        hierarchy = Hierarchy(cells.size, (level,), top_down=False, seed=seed)
        seen.append(Population("columns", (hierarchy.outputs,), Windowed(hierarchy, WINDOW)))
        links.append(Link("edges", "columns"))
    populations += seen
    inputs = 0
    for each in seen or [cells]:
        links.append(Link(each.name, "readout", offset=inputs))
        inputs += each.size
    readout = OnlineReadout(inputs, 10, windows=WINDOWS, penalty=chosen.penalty)
    if chosen.columns and not chosen.penalty:
        # Best on validation folds: for codes the softmax and a rate for each input, for edges themselves the linear
        # error with the default rate.
        rate = chosen.learning_rate
        readout = replace(readout, error="softmax", learning_rate=rate, input_rates=chosen.input_rates)
    populations += [
        Population("label", (10,), SpikeSource()),
        Population("readout", (readout.outputs,), Windowed(readout, WINDOW)),
    ]
    return Network(populations, projections, links=links)


def pooling(channels: int) -> NDArray[np.float64]:
    """Return [channels, channels, y, x]: every channel for itself, all places alike."""
    return np.eye(channels)[:, :, None, None] * np.ones((POOLED, POOLED))


def one_pass(splits: Splits, chosen: Chosen, seed: int, epochs: int = 1) -> Outcome:
    """Learn the training recordings `epochs` times, in orders of the seed; return the accuracy on the others."""
    told = Description(network(chosen, splits.train.shape, seed), Settings(DURATION, seed=seed))
    data = PipelineData(name="nmnist", source="camera", label="label", readout="readout", epochs=epochs)
    config = PipelineConfig(NetworkConfig("columns", told), data)
    plan = Plan.of(config, splits)
    pipeline = Pipeline(config, splits, plan, 1)
    progress = PipelineProgress.start(plan.tests, len(plan.test))
    for piece in plan.pieces():
        progress = pipeline.after(progress, piece)
    operations = sum(layer.synaptic_operations or 0 for layer in progress.tested.work) / len(plan.test)
    return Outcome(float((progress.predicted[-1] == splits.test.labels).mean()), operations)


def with_settings(**values: object) -> Callable[[Splits, Chosen, int], Outcome]:
    """Return the pipeline with other settings than those chosen."""
    return lambda splits, chosen, seed: one_pass(splits, replace(chosen, **values), seed)


def with_rates(epochs: int = 1, **values: object) -> Callable[[Splits, Chosen, int], Outcome]:
    """Return the pipeline whose readout learns by rates."""
    return lambda splits, _, seed: one_pass(splits, replace(RATES, **values), seed, epochs)


def edges_ridge(splits: Splits, chosen: Chosen, seed: int) -> Outcome:
    """Ridge regression; its penalty is the best of three where each training recording is left out in turn."""
    populations, projection = edges(chosen, splits.train.shape)
    found = []
    for recordings in splits[:2]:
        spikes = simulate(Network(populations, [projection]), recordings, duration=DURATION + 0.003).spikes["edges"]
        assert isinstance(spikes, Recordings)
        found.append(_roots(spikes))
    from sklearn.linear_model import RidgeClassifierCV

    model = RidgeClassifierCV(np.array([1e2, 1e3, 1e4])).fit(found[0], splits.train.labels)
    return Outcome(float((model.predict(found[1]) == splits.test.labels).mean()))


def counts_logistic(splits: Splits, chosen: Chosen, seed: int) -> Outcome:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.01, max_iter=300).fit(_roots(splits.train), splits.train.labels)
    return Outcome(float((model.predict(_roots(splits.test)) == splits.test.labels).mean()))


def columns_alone(splits: Splits, chosen: Chosen, seed: int) -> Outcome:
    owner = build_recogniser("nmnist", seed)
    memory = owner.memory()
    order = np.random.default_rng(seed).permutation(len(splits.train))
    owner.store(memory, on_off_windows(splits.train)[order], np.asarray(splits.train.labels)[order])
    found = owner.recognise(memory, on_off_windows(splits.test))
    return Outcome(float((found.labels == splits.test.labels).mean()))


def _roots(recordings: Recordings) -> NDArray[np.float32]:
    counts = recordings.window_counts(np.arange(WINDOWS + 1) * WINDOW)
    return np.sqrt(counts).reshape(len(counts), -1)


METHODS: dict[str, Callable[[Splits, Chosen, int], Outcome]] = {
    "pipeline": one_pass,
    "complex cells": with_settings(columns=False),
    "columns": with_settings(complex_cells=False),
    "input rates": with_rates(),
    "3 passes": with_rates(3),
    "one rate": with_rates(learning_rate=8.0, input_rates=False),
    "edges": with_rates(columns=False, input_rates=False),
    "edges, ridge": edges_ridge,
    "counts, logistic": counts_logistic,
    "columns alone": columns_alone,
}


def fold(train: Recordings, seed: int) -> Splits:
    """Return four fifths of the training recordings of each class to learn, and the rest to test."""
    labels = np.asarray(train.labels)
    rank = np.array([np.count_nonzero(labels[:i] == labels[i]) for i in range(len(labels))])
    held = rank % FOLDS == seed % FOLDS
    return Splits(train.select(~held), train.select(held), "validation")


def choose(train: Recordings, seeds: int) -> list[dict[str, object]]:
    """Return the accuracy on validation folds of every point of the grid."""
    rows: list[dict[str, object]] = []
    for point in tqdm(list(itertools.product(*GRID.values())), "grid", leave=False, file=sys.stderr):
        values = {key: type(getattr(Chosen(), key))(value) for key, value in zip(GRID, point, strict=True)}
        found = [one_pass(fold(train, s), replace(Chosen(), **values), s).accuracy for s in range(seeds)]
        rows.append({**values, "validation": float(np.mean(found)), "sd": _sd(found)})
    return rows


def compare(train: Recordings, test: Recordings, seeds: int, names: list[str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, method in ((name, METHODS[name]) for name in names):
        found: dict[str, list[Outcome]] = {"validation": [], "test": []}
        for seed in tqdm(range(seeds), name, leave=False, file=sys.stderr):
            found["validation"].append(method(fold(train, seed), Chosen(), seed))
            found["test"].append(method(Splits(train, test, "test"), Chosen(), seed))
        row: dict[str, object] = {"method": name}
        for part, outcomes in found.items():
            accuracies = [outcome.accuracy for outcome in outcomes]
            row |= {part: float(np.mean(accuracies)), f"{part} sd": _sd(accuracies)}
        rows.append({**row, "operations": found["test"][0].operations})
    return rows


def _sd(values: list[float]) -> float:
    if len(values) > 1:
        return float(np.std(values, ddof=1))
    return 0.0


def main() -> None:
    parser = frame.arguments(__doc__, seeds=5)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--choose", action="store_true", help="compare settings on validation folds; no test")
    options = parser.parse_args()
    warnings.simplefilter("ignore", CapacityWarning)
    if "NEUROSIM_DATA" in os.environ:
        root = Path(os.environ["NEUROSIM_DATA"], "NMNIST")
    else:
        root = None
    train = catalog.load("nmnist", "train", root)
    if options.choose:
        rows = choose(train, options.seeds)
    else:
        rows = compare(train, catalog.load("nmnist", "test", root), options.seeds, options.methods)
    frame.report(options, frame.records(rows), {"rows": rows}, describe(os.cpu_count() or 1))


if __name__ == "__main__":
    main()
