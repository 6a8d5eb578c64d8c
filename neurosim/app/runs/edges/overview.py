"""Overview of a run of a table of edges: how many neurons fired, the highest rates, and the cost of the run."""

from __future__ import annotations

from ....base.shown import counted
from ...report import numbers
from ..frame.facts import Fact, Overview, Table, digest, energies, operations, speed
from .result import EdgesResult, NeuronRate

HEADS = ("Neuron", "Spikes/s", "SD over trials", "Spikes", "Trials with a spike")


def overview_of(result: EdgesResult) -> Overview:
    """Return what page and terminal show of a run."""
    trials = counted(result.trials or 0, "trial")
    lead = [f"{numbers.plain(result.edges)} edges", f"model {result.model}" if result.model else "", trials]
    if result.activated:
        lead.append(f"{counted(result.activated, 'neuron')} activated")
    if result.silenced:
        lead.append(f"{counted(result.silenced, 'neuron')} silenced")
    note = f"of {numbers.plain(result.neurons)}"
    if not result.activated and not result.fired:
        note = f"{note}; nothing drives them: --activate ID --rate HZ does"
    caption = f"Highest rates of {counted(result.rows, 'neuron')} in {result.table or 'the table of rates'}"
    return Overview(
        title=f"{result.network or 'A table of edges'}, {numbers.plain(result.neurons)} neurons",
        lead=lead,
        facts=[
            Fact(label="Neurons that fired", value=result.fired, note=note),
            Fact(label="Spikes", value=result.spikes, note=f"of these neurons in {trials}"),
            operations(result.measures, each=""),
            *energies(result.energy, "of the first trial"),
            speed(result.real_time_factor),
            digest("Spike digest", result.spike_digest),
        ],
        tables={"rates": Table(caption, HEADS, [_row(each) for each in result.highest])},
    )


def _row(each: NeuronRate) -> tuple[str, ...]:
    rates = (numbers.three(value) for value in (each.rate_hz, each.sd_hz))
    return each.id, *map(numbers.text, rates), numbers.plain(each.spikes), numbers.plain(each.active_trials)
