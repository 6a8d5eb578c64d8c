"""Text that `neurosim simulate` prints for a dataset's run, and `neurosim demo` in sentences."""

from __future__ import annotations

from pathlib import Path

from ..frame.folder import REPORT
from ..frame.tables import (
    Rows,
    accuracy_row,
    activity_rows,
    baseline_rows,
    dataset_name,
    energy_rows,
    file_rows,
    table,
    together_rows,
)
from .result import LiquidResult


def render(result: LiquidResult) -> str:
    """Return accuracy, activity and cost, and the files of the run."""
    head = f"{dataset_name(result)} {result.split}: {result.samples} recordings, seed {result.seed}"
    return table([*_figures(result), *file_rows(result, result.spike_digest)], head)


def render_demo(result: LiquidResult) -> str:
    """Return the figures below a sentence, and what to do next."""
    head = f"{result.samples} handwritten digits, seen by an emulated event camera, read by spiking neurons:"
    return "\n".join(
        [
            table(_figures(result), head),
            "",
            f"Run     {result.run}",
            f"Report  {Path(result.run) / REPORT}",
            "Next    neurosim datasets list; neurosim simulate digits --set liquid.neurons=500",
        ]
    )


def _figures(result: LiquidResult) -> Rows:
    activity = activity_rows(result.spikes, result.measures, result.real_time_factor)
    accuracy = [accuracy_row(result, "accuracy", result.samples), *together_rows(result.transductive)]
    return [*accuracy, *baseline_rows(result.baselines), *activity, *energy_rows(result.energy, "a recording")]
