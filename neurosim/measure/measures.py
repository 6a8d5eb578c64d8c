"""The table of measures: NeuroBench's names and definitions (Yik et al., Nature Communications 16, 2025)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import require
from . import traffic
from .work import LayerCounts

NEUROBENCH = "Yik et al. 2025, NeuroBench"


class Definition(NamedTuple):
    """A row of the table: title, unit, meaning and source of a measure."""

    title: str
    unit: str
    meaning: str
    source: str


DEFINITIONS: Mapping[str, Definition] = {
    "footprint": Definition(
        "Footprint",
        "bytes",
        "Parameters (weights, indices, biases, constants of units) and state variables.",
        NEUROBENCH,
    ),
    "connection_sparsity": Definition(
        "Connection sparsity",
        "",
        "Weights that are zero or absent, as a fraction of those of a fully connected network.",
        NEUROBENCH,
    ),
    "activation_sparsity": Definition(
        "Activation sparsity",
        "",
        "1 - nonzero / all outputs of spiking layers, over units, steps and samples. 1 is silent.",
        NEUROBENCH,
    ),
    "synaptic_operations.Effective_ACs": Definition(
        "Effective ACs",
        "per sample",
        "Additions of a nonzero weight for a nonzero input, in layers whose whole input is in {-1, 0, 1}. No biases.",
        NEUROBENCH,
    ),
    "synaptic_operations.Effective_MACs": Definition(
        "Effective MACs",
        "per sample",
        "Multiply-accumulates of a nonzero weight and a nonzero input, in all other layers. No biases.",
        NEUROBENCH,
    ),
    "synaptic_operations.Dense": Definition(
        "Dense operations",
        "per sample",
        "Operations of the same units fully connected: every weight at every step, zeros included.",
        NEUROBENCH,
    ),
    "membrane_updates": Definition(
        "Membrane updates",
        "per sample",
        "All units at the first step of a sample, then those whose potential changed in a step.",
        NEUROBENCH,
    ),
    "spikes_per_neuron_second": Definition(
        "Spikes per neuron and second", "1/s", "Spikes of spiking layers / their units / simulated seconds.", "neurosim"
    ),
    "events_in": Definition(
        "Events in",
        "per sample",
        "Events from outside: of the sensor, or of the encoded input.",
        "neurosim",
    ),
    "events_delivered": Definition(
        "Events delivered",
        "per sample",
        "Events that arrived at a layer, those of its own units included.",
        "neurosim",
    ),
    "bits_moved.weights": Definition(
        "Weight bits read",
        "per sample",
        "Each effective operation reads its weight and, if weights are stored sparsely, its index.",
        "Lemaire et al. 2022",
    ),
    "bits_moved.state": Definition(
        "State bits moved",
        "per sample",
        "Read and written: one variable for each effective operation, all of a unit for each membrane update.",
        "Lemaire et al. 2022",
    ),
    "bits_moved.events": Definition(
        "Event bits moved",
        "per sample",
        "An address (and a value if inputs are not binary) read for each arrival and written for each spike.",
        "Lemaire et al. 2022",
    ),
}


@dataclass(frozen=True)
class Measures:
    """All measures of a run. A value is None if it cannot be computed; `reasons` says why.

    Attributes:
        values: by the names of DEFINITIONS.
        reasons: why a value is None, by name.
        samples: number of samples of the run.
        duration: simulated seconds, summed over samples.
        layers: the counts from which the values were computed.
    """

    values: Mapping[str, float | int | None]
    samples: int
    duration: float
    reasons: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[LayerCounts, ...] = ()

    def __getitem__(self, name: str) -> float | int | None:
        return self.values[name]

    def to_dict(self) -> dict[str, object]:
        """Return plain types for JSON; names with a dot are nested, as in NeuroBench."""
        nested: dict[str, object] = {}
        for name, value in self.values.items():
            group, _, part = name.partition(".")
            if part:
                nested.setdefault(group, {})[part] = value  # type: ignore[index]
            else:
                nested[name] = value
        return {
            **nested,
            "samples": self.samples,
            "duration": self.duration,
            "reasons": dict(self.reasons),
            "layers": [layer.to_dict() for layer in self.layers],
        }


class Unknown(Exception):
    """A count that a measure needs is None; the text is the reason."""


def measure(layers: Iterable[LayerCounts], samples: int, duration: float, events_in: int | None = None) -> Measures:
    """Return all measures of a run, from the counts of its layers.

    Args:
        layers: of the whole network, the readout included.
        samples: number of samples of the run.
        duration: simulated seconds, summed over samples.
        events_in: events from outside, summed over samples.

    Raises:
        NeurosimInputError: no layers, no samples, a negative duration.
    """
    every = tuple(layers)
    require(len(every) > 0, "measure.layers", "needs at least one layer", 0)
    require(samples > 0, "measure.samples", "must be > 0", samples)
    require(duration >= 0, "measure.duration", "must be >= 0 s", duration)
    values: dict[str, float | int | None] = {}
    reasons: dict[str, str] = {}
    for name, compute in _COMPUTE.items():
        try:
            values[name] = compute(every, samples, float(duration), events_in)
        except Unknown as unknown:
            values[name], reasons[name] = None, str(unknown)
    return Measures(values, int(samples), float(duration), reasons, every)


def total(layers: Sequence[LayerCounts], name: str) -> int:
    """Return the sum of one count over layers; raise `Unknown` with the reason of the first layer without it."""
    known = 0
    for layer in layers:
        value = getattr(layer, name)
        if value is None:
            raise Unknown(f"{layer.name}: {layer.reasons[name]}")
        known += value
    return known


def _ratio(above: float, below: float, why: str) -> float:
    if not below:
        raise Unknown(why)
    return above / below


def _connection_sparsity(layers: Sequence[LayerCounts]) -> float:
    # With several synapses a pair, there can be more synapses than pairs.
    possible = sum(max(layer.dense_weights or 0, layer.weights) for layer in layers)
    return 1 - _ratio(total(layers, "nonzero_weights"), possible, "no layer has weights")


def _activation_sparsity(layers: Sequence[LayerCounts]) -> float:
    spiking = _spiking(layers)
    entries = total(spiking, "output_entries")
    return 1 - _ratio(total(spiking, "output_events"), entries, "no spiking layer ran a step")


def _rate(layers: Sequence[LayerCounts], duration: float) -> float:
    spiking = _spiking(layers)
    units = sum(layer.outputs for layer in spiking)
    return _ratio(total(spiking, "output_events"), units * duration, "the run has no duration")


def _spiking(layers: Sequence[LayerCounts]) -> list[LayerCounts]:
    spiking = [layer for layer in layers if layer.spiking]
    if not spiking:
        raise Unknown("no layer is spiking")
    return spiking


def _operations(layers: Sequence[LayerCounts], binary: bool) -> int:
    return total([layer for layer in layers if layer.binary_input == binary], "synaptic_operations")


def _known(events_in: int | None) -> int:
    if events_in is None:
        raise Unknown("the run did not count the events from outside")
    return int(events_in)


def _bits(layers: Sequence[LayerCounts], kind: str) -> int:
    for name in traffic.EVENT_NEEDS:
        total(layers, name)
    return sum(getattr(traffic.as_run(layer), kind) for layer in layers)


# Each takes (layers, samples, duration, events_in).
_COMPUTE: Mapping[str, Callable[[Sequence[LayerCounts], int, float, int | None], float | int]] = {
    "footprint": lambda ls, n, t, e: sum(layer.parameter_bytes + layer.state_bytes for layer in ls),
    "connection_sparsity": lambda ls, n, t, e: _connection_sparsity(ls),
    "activation_sparsity": lambda ls, n, t, e: _activation_sparsity(ls),
    "synaptic_operations.Effective_ACs": lambda ls, n, t, e: _operations(ls, binary=True) / n,
    "synaptic_operations.Effective_MACs": lambda ls, n, t, e: _operations(ls, binary=False) / n,
    "synaptic_operations.Dense": lambda ls, n, t, e: total(ls, "dense_operations") / n,
    "membrane_updates": lambda ls, n, t, e: total(ls, "membrane_updates") / n,
    "spikes_per_neuron_second": lambda ls, n, t, e: _rate(ls, t),
    "events_in": lambda ls, n, t, e: _known(e) / n,
    "events_delivered": lambda ls, n, t, e: total(ls, "input_events") / n,
    "bits_moved.weights": lambda ls, n, t, e: _bits(ls, "weights") / n,
    "bits_moved.state": lambda ls, n, t, e: _bits(ls, "state") / n,
    "bits_moved.events": lambda ls, n, t, e: _bits(ls, "events") / n,
}
