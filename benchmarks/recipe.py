"""The published recipe of the PD14 benchmark: the whole microcircuit, over seeds, with its activity beside a summary.

Each seed draws network, initial states and input anew. The drive is Poisson spikes, 8 spikes/s for each of the external
synapses of a neuron; membranes start from the optimised normal distributions of the published model. The first .5 s are
discarded, then at least 10 s are timed, all spikes recorded. Of each population these are compared:

    rate         spikes/s of each neuron
    cv           coefficient of variation of the intervals of each neuron that has 5 of them
    correlation  of the spike counts of pairs of 250 neurons, in bins of 2 ms

as the Kolmogorov-Smirnov distance of their distribution in a seed from the one of the summary. `--store` writes such a
summary, of all seeds together, with the distances of the single seeds from it. Recipe: Potjans & Diesmann 2014, Cereb.
Cortex 24:785; github.com/INM-6/microcircuit-PD14-model.

    python benchmarks/microcircuit.py --recipe [--seeds 10] [--seconds 10] [--summary FILE] [--store FILE]
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path

import frame
import numpy as np
import protocol
import run_neurosim
from machine import describe
from numpy.typing import NDArray
from workloads import BACKGROUND_RATE, microcircuit

from neurosim import Simulation, Spikes

SUMMARY = Path(__file__).with_name("microcircuit_activity.json")
DISCARDED = 0.5
MIN_SECONDS = 10.0
BIN = 2e-3
PAIRED = 250
MIN_INTERVALS = 5
MEASURES = ("rate", "cv", "correlation")
# Points of a distribution that are stored.
POINTS = np.linspace(0.0, 1.0, 41)

Activity = dict[str, dict[str, NDArray[np.float64]]]


def rates(spikes: Spikes, seconds: float) -> NDArray[np.float64]:
    """Return spikes/s of each neuron."""
    return np.bincount(spikes.units, minlength=spikes.size) / seconds


def variations(spikes: Spikes) -> NDArray[np.float64]:
    """Return the coefficient of variation of the intervals of each neuron that has enough of them."""
    order = np.lexsort((spikes.times, spikes.units))
    times = spikes.times[order]
    units = spikes.units[order]
    same = units[1:] == units[:-1]
    gaps = np.diff(times)[same]
    owners = units[1:][same]
    count = np.bincount(owners, minlength=spikes.size)
    known = count >= MIN_INTERVALS
    mean = np.bincount(owners, gaps, spikes.size)[known] / count[known]
    square = np.bincount(owners, gaps**2, spikes.size)[known] / count[known]
    return np.sqrt(np.maximum(square - mean**2, 0.0)) / mean


def correlations(spikes: Spikes, start: float, seconds: float) -> NDArray[np.float64]:
    """Return the correlation coefficients of the spike counts of pairs of neurons spread over the population."""
    chosen = np.unique(np.linspace(0, spikes.size - 1, PAIRED).astype(int))
    row = np.full(spikes.size, -1)
    row[chosen] = np.arange(len(chosen))
    bins = round(seconds / BIN)
    # Half a step on, so that no rounding moves a spike into another bin.
    at = np.floor((spikes.times - start + 0.05e-3) / BIN).astype(int)
    kept = (row[spikes.units] >= 0) & (at >= 0) & (at < bins)
    counts = np.bincount(row[spikes.units[kept]] * bins + at[kept], minlength=len(chosen) * bins)
    counts = counts.reshape(len(chosen), bins)
    active = counts[counts.any(axis=1)]
    if len(active) < 2:
        return np.empty(0)
    return np.corrcoef(active)[np.triu_indices(len(active), 1)]


def activity(spikes: Mapping[str, Spikes], start: float, seconds: float) -> Activity:
    """Return the measures of each population, spikes from `start` s on."""
    return {
        name: {
            "rate": rates(each, seconds),
            "cv": variations(each),
            "correlation": correlations(each, start, seconds),
        }
        for name, each in spikes.items()
    }


def distance(sample: NDArray[np.float64], stored: NDArray[np.float64]) -> float | None:
    """Return the largest difference of the distribution of a sample from a stored one, [points]; None without values.

    Both are looked at where the stored one has its points, from below and from above.
    """
    if not sample.size:
        return None
    ordered = np.sort(sample)
    below = np.searchsorted(ordered, stored, side="left") / sample.size
    above = np.searchsorted(ordered, stored, side="right") / sample.size
    return float(max(np.max(below - POINTS), np.max(POINTS - above), 0.0))


def run(scale: float, seconds: float, seed: int, threads: int) -> tuple[dict[str, object], Activity]:
    """Run one seed; return its figures and its activity."""
    workload = microcircuit(scale)
    network = run_neurosim.network(workload)
    simulation = Simulation(network, clock=workload.dt, seed=seed, threads=threads)
    simulation.run(DISCARDED)
    with protocol.Stretch() as stretch:
        result = simulation.run(seconds)
    spikes = {name: each for name, each in result.spikes.items() if isinstance(each, Spikes)}
    out = workload.out_degrees()
    events = sum(len(each) * out[name] for name, each in spikes.items())
    figures: dict[str, object] = {
        "seed": seed,
        "build, s": simulation.build_s,
        "real-time factor": stretch.wall / seconds,
        "CPU s a s": stretch.own / seconds,
        "CPU ns an event": stretch.own / events * 1e9,
        "others, CPU s": stretch.foreign,
        "spikes": sum(map(len, spikes.values())),
    }
    return figures, activity(spikes, result.start, seconds)


def summary_of(seeds: list[Activity], settings: Mapping[str, object]) -> dict[str, object]:
    """Return the distributions of all seeds together, and the largest distance of a seed from them."""
    populations: dict[str, object] = {}
    for name in seeds[0]:
        measures = {}
        for measure in MEASURES:
            together = np.concatenate([seed[name][measure] for seed in seeds])
            points = np.quantile(together, POINTS) if together.size else np.empty(0)
            apart = [distance(seed[name][measure], points) for seed in seeds]
            measures[measure] = {
                "points": [float(f"{point:.5g}") for point in points],
                "largest distance of a seed": max((d for d in apart if d is not None), default=None),
            }
        populations[name] = measures
    return {"settings": dict(settings), "populations": populations}


def compared(seeds: list[Activity], summary: Mapping[str, dict[str, dict[str, dict[str, object]]]]) -> list[dict]:
    """Return a row for each population: mean rate, and mean distances with those of the summary's own seeds."""
    rows = []
    for name, measures in summary["populations"].items():
        mean = statistics.fmean(float(seed[name]["rate"].mean()) for seed in seeds)
        row: dict[str, object] = {"population": name, "spikes/s": mean}
        for measure in MEASURES:
            points = np.array(measures[measure]["points"])
            apart = [distance(seed[name][measure], points) for seed in seeds]
            known = [d for d in apart if d is not None]
            row[measure] = statistics.fmean(known) if known else None
            row[f"{measure} of its seeds"] = measures[measure]["largest distance of a seed"]
        rows.append(row)
    return rows


def main() -> int:
    """Run the recipe as the options say."""
    parser = frame.arguments(__doc__, seeds=1, threads=2)
    parser.add_argument("--recipe", action="store_true", required=True, help="run this recipe")
    parser.add_argument("--seconds", type=float, default=MIN_SECONDS, help="biological time of a seed that is timed")
    parser.add_argument("--scale", type=float, default=1.0, help="the summary is of scale 1")
    parser.add_argument("--summary", type=Path, default=SUMMARY, help="activity to compare with")
    parser.add_argument("--store", type=Path, help="write the activity of these seeds as a summary")
    options = parser.parse_args()
    machine = describe(options.threads)
    settings = {"scale": options.scale, "seconds": options.seconds, "seeds": options.seeds, "discarded, s": DISCARDED}
    figures = []
    seeds = []
    for seed in range(options.seeds):
        figure, found = run(options.scale, options.seconds, seed, options.threads)
        frame.say(f"seed {seed}: {figure}")
        figures.append(figure)
        seeds.append(found)
    result: dict[str, object] = {"recipe": settings, "runs": figures}
    drive = f"drive: Poisson, {BACKGROUND_RATE:g} spikes/s for each external synapse; {DISCARDED:g} s discarded"
    lines = [drive, *frame.records(figures)]
    if options.seconds < MIN_SECONDS:
        lines.append(f"the recipe times at least {MIN_SECONDS:g} s")
    if options.store:
        options.store.write_text(json.dumps(summary_of(seeds, settings), separators=(",", ":")) + "\n")
    elif options.summary.exists():
        summary = json.loads(options.summary.read_text())
        rows = compared(seeds, summary)
        result["activity"] = rows
        stored = summary["settings"]
        lines += ["", f"distances from a summary of {stored['seeds']} seeds of {stored['seconds']:g} s"]
        lines += frame.records(rows)
    frame.report(options, lines, result, machine)
    return 0
