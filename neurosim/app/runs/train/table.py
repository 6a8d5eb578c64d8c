"""Text that `neurosim train` prints."""

from __future__ import annotations

from ..frame.tables import (
    accuracy_row,
    activity_rows,
    baseline_rows,
    dataset_name,
    energy_rows,
    file_rows,
    percent,
    share,
    table,
    together_rows,
)
from .result import LIQUID, MemberResult, TrainResult


def render(result: TrainResult) -> str:
    """Return how the training went, its accuracy and cost, and the files of the run."""
    head = (
        f"{dataset_name(result)}: {result.model} in layers of {', '.join(map(str, result.units))}, seed {result.seed}"
    )
    samples = result.samples or 0
    checked = result.validation_accuracy
    epochs = len(result.history)
    early = ", stopped early" if result.stopped_early else ""
    attention = result.identical is None
    if result.identical:
        same = "spike for spike"
    else:
        same = "not spike for spike"
    spikes = f"{percent(result.engine_accuracy)}, converted, {result.spikes_a_channel or 0:.3f} spikes a channel"
    event = f"{percent(result.engine_accuracy)}, {same} the trained network"
    members = [
        (_alone(k, member), share(member.accuracy, samples) + _validated(member))
        for k, member in enumerate(result.members, start=1)
    ]
    rows = [
        ("trained", f"{result.train_samples:,} recordings, {epochs} epochs{early}; epoch {result.best_epoch} is kept"),
        ("validation", share(checked, result.validation_samples) + strangers(result)),
        accuracy_row(result, f"accuracy on {result.split}", result.samples),
        *together_rows(result.transductive),
        *members,
        *baseline_rows(result.baselines),
        ("in spikes, bin by bin", spikes) if attention else ("event by event", event),
        *activity_rows(result.spikes, result.measures, result.real_time_factor),
        *energy_rows(result.energy, "a recording"),
    ]
    return table([*rows, *file_rows(result, result.spike_digest)], head)


def _alone(number: int, member: MemberResult) -> str:
    if member.kind == LIQUID:
        return "liquid alone"
    return f"network {number} alone"


def _validated(member: MemberResult) -> str:
    if member.kind == LIQUID:
        return ""
    return f"; validation {percent(member.validation_accuracy)}"


def strangers(result: TrainResult | MemberResult) -> str:
    """Return whose recordings were validated on, where these speakers are not trained on."""
    speakers = result.validation_speakers
    whose = f"; speaker{'s' if len(speakers) > 1 else ''} {', '.join(map(str, speakers))}, not trained on"
    return whose if speakers else ""
