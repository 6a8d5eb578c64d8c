"""Simulate every point of an experiment with several seeds."""

from __future__ import annotations

import warnings

import numpy as np

from .....base.errors import CapacityWarning
from .....memory.associative.experiments import EXPERIMENTS, Point
from .....memory.associative.phase_maps import PhaseMap
from ...frame.kind import Inputs, Run
from ...frame.options import RunOptions
from ...frame.progress import bar
from .config import AssociativeConfig
from .result import AssociativeResult, PointResult


def load(config: AssociativeConfig, options: RunOptions) -> Inputs[list[Point]]:
    """Return the points of the experiment."""
    return Inputs(list(EXPERIMENTS[config.experiment].points()))


def work(run: Run[AssociativeConfig, list[Point]]) -> AssociativeResult:
    """Simulate the points."""
    config = run.config
    about = EXPERIMENTS[config.experiment]
    points = run.inputs
    results = []
    with (
        run.time("simulate"),
        warnings.catch_warnings(),
        bar(f"associative {config.experiment}", "points", run.options.quiet) as report,
    ):
        # Memories are filled beyond their capacity: that is what the curves show.
        warnings.simplefilter("ignore", CapacityWarning)
        for done, point in enumerate(points, start=1):
            results.append(_simulated(point, config))
            if report is not None:
                report(done, len(points))
    maps: tuple[PhaseMap, ...] = ()
    if about.maps is not None:
        with run.time("phases"):
            maps = tuple(about.maps())
    return AssociativeResult(
        experiment=config.experiment,
        title=about.title,
        source=about.source,
        x_name=about.x_name,
        y_name=about.y_name,
        log_x=about.log_x,
        seed=config.seed,
        seeds=config.seeds,
        points=tuple(results),
        maps=maps,
    )


def _simulated(point: Point, config: AssociativeConfig) -> PointResult:
    values = [point.simulate(config.seed + k) for k in range(config.seeds)]
    return PointResult(
        series=point.series,
        x=point.x,
        theory=point.theory,
        simulated=float(np.mean(values)),
        standard_error=float(np.std(values, ddof=1) / np.sqrt(len(values))),
    )
