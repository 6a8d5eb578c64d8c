"""Text that `neurosim train` prints."""

from __future__ import annotations

from ..tables import accuracy_row, activity_rows, energy_rows, file_rows, percent, table
from .result import TrainResult


def render(result: TrainResult) -> str:
    """Return how the training went, its accuracy and cost, and the files of the run."""
    head = f"{result.dataset}: {result.model} in layers of {', '.join(map(str, result.units))}, seed {result.seed}"
    checked, epochs = result.validation_accuracy, len(result.history)
    early = ", stopped early" if result.stopped_early else ""
    attention = result.identical is None
    same = "spike for spike" if result.identical else "not spike for spike"
    spikes = f"{percent(result.engine_accuracy)}, converted, {result.spikes_a_channel or 0:.3f} spikes a channel"
    event = f"{percent(result.engine_accuracy)}, {same} the trained network"
    rows = [
        ("trained", f"{result.train_samples:,} recordings, {epochs} epochs{early}; epoch {result.best_epoch} is kept"),
        ("validation", "-" if checked is None else f"{percent(checked)} of {result.validation_samples}"),
        accuracy_row(result, f"accuracy on {result.split}"),
        ("in spikes, bin by bin", spikes) if attention else ("event by event", event),
        *activity_rows(result.spikes, result.measures, result.real_time_factor),
        *energy_rows(result.energy, "a recording"),
    ]
    return table([*rows, *file_rows(result, result.spike_digest)], head)
