"""Overview of a dataset's run through a liquid: accuracy, activity and cost."""

from __future__ import annotations

from ...report import numbers
from ..frame.facts import (
    Fact,
    Overview,
    accuracy,
    all_of,
    baselines,
    digest,
    energies,
    named,
    operations,
    some_of,
    sparsity,
    speed,
    together,
)
from .result import LiquidResult


def overview_of(result: LiquidResult) -> Overview:
    """Return what page and terminal show of a run."""
    simulated = f"{some_of(result.samples, result.size)} recordings of the split “{result.split}” simulated"
    return Overview(
        title=_title(result),
        lead=[
            simulated if result.samples else "",
            together(result.transductive),
            f"{numbers.plain(result.paced)} of them slower or faster than those learned" if result.paced else "",
            f"{numbers.plain(result.hot_events)} events of hot pixels dropped" if result.hot_events else "",
            f"readout trained on {some_of(result.train_samples, result.train_size)}" if result.train_samples else "",
            f"and {numbers.plain(result.copies)} moved copies of them" if result.copies else "",
            all_of(result.train_size, result.size),
        ],
        facts=facts_of(result),
    )


def demo(result: LiquidResult) -> Overview:
    """Return the same below a sentence, with what was learned, and what to do next."""
    head = f"{result.samples} handwritten digits, seen by an emulated event camera, read by spiking neurons"
    closing = ["Next: neurosim datasets list; neurosim simulate digits --set liquid.neurons=300"]
    lead = [
        f"{some_of(result.train_samples, result.train_size)} digits learned",
        f"{some_of(result.samples, result.size)} answered",
        "all with neurosim simulate digits" if all_of(result.train_size, result.size) else "",
    ]
    return Overview(title=head, lead=lead, facts=facts_of(result), closing=closing)


def facts_of(result: LiquidResult) -> list[Fact]:
    """Return accuracy, activity and cost."""
    measures = result.measures
    rate = numbers.three(None if measures is None else measures.spikes_per_neuron_second)
    return [
        accuracy(result, result.samples),
        sparsity(measures, f"{rate} spikes per neuron and second"),
        operations(measures),
        *energies(result.energy),
        speed(result.real_time_factor),
        *baselines(result.baselines, result.cnn),
        Fact(label="Spikes", value=result.spikes, format=numbers.si, note="of all neurons", tile=False),
        digest("Spike digest", result.spike_digest),
    ]


def _title(result: LiquidResult) -> str:
    dataset = named(result.title, result.dataset, "A run")
    layers = result.measures.layers if result.measures else ()
    units = next((layer.outputs for layer in layers if layer.spiking), None)
    if units:
        return f"{dataset} through {units:,.0f} spiking neurons"
    return dataset
