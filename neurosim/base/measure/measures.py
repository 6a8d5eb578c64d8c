"""The table of measures: NeuroBench's names and definitions (Yik et al., Nature Communications 16, 2025)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from ..errors import require
from ..plain import Record
from ..shown import html_table
from . import traffic
from .work import LayerCounts

NEUROBENCH = "Yik et al. 2025, NeuroBench"


@dataclass(frozen=True, kw_only=True)
class SynapticOperations(Record):
    """Synaptic operations per sample, by NeuroBench's names; see DEFINITIONS."""

    Effective_ACs: float | None = None
    Effective_MACs: float | None = None
    Dense: float | None = None

    @property
    def effective(self) -> float | None:
        """Return additions and multiply-accumulates together; None where one of the two is not known."""
        if self.Effective_ACs is None or self.Effective_MACs is None:
            return None
        return self.Effective_ACs + self.Effective_MACs


@dataclass(frozen=True, kw_only=True)
class BitsMoved(Record):
    """Bits read and written per sample; see DEFINITIONS."""

    weights: float | None = None
    state: float | None = None
    events: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measures(Record):
    """Measures of a run, by the names of DEFINITIONS.

    `measures["bits_moved.state"]` is `measures.bits_moved.state`.

    A measure is None if it cannot be computed; `reasons` says why.

    Attributes:
        samples: number of samples of the run.
        duration: simulated seconds, summed over samples.
        reasons: why a measure is None, by name.
        layers: the counts from which the measures were computed.
    """

    footprint: int | None = None
    connection_sparsity: float | None = None
    activation_sparsity: float | None = None
    synaptic_operations: SynapticOperations = SynapticOperations()
    membrane_updates: float | None = None
    spikes_per_neuron_second: float | None = None
    events_in: float | None = None
    events_delivered: float | None = None
    bits_moved: BitsMoved = BitsMoved()
    samples: int
    duration: float
    reasons: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[LayerCounts, ...] = ()

    def __getitem__(self, name: str) -> float | None:
        value: float | None = attrgetter(name)(self)
        return value

    def _repr_html_(self) -> str:
        """Return a table of titles and units; in place of a measure that is not known, the reason."""
        rows: dict[str, object] = {"Samples": self.samples, "Duration (s)": self.duration}
        for name, definition in DEFINITIONS.items():
            title = definition.title
            if definition.unit:
                title = f"{title} ({definition.unit})"
            rows[title] = self.reasons.get(name, self[name])
        return html_table(type(self).__name__, rows)


class Unknown(Exception):
    """A count that a measure needs is None; the text is the reason."""


@dataclass(frozen=True)
class _Run:
    """The counts of a run, from which every measure is computed."""

    layers: Sequence[LayerCounts]
    samples: int
    duration: float
    events_in: int | None

    def each(self, name: str) -> float:
        """Return the sum of one count over layers, per sample."""
        return total(self.layers, name) / self.samples

    def operations(self, *, binary: bool) -> float:
        """Return the operations per sample of the layers whose input is binary, or of all others."""
        # NeuroBench: a product with 1 or -1 is an addition, any other a multiply-accumulate.
        layers = [layer for layer in self.layers if layer.binary_input == binary]
        return total(layers, "synaptic_operations") / self.samples

    def spiking(self) -> list[LayerCounts]:
        spiking = [layer for layer in self.layers if layer.spiking]
        if not spiking:
            raise Unknown("no layer is spiking")
        return spiking

    def bits(self, kind: str) -> float:
        """Return the bits of "weights", "state" or "events" that were moved, per sample."""
        # Summed for the error alone: `Unknown` where a layer lacks a count that traffic needs.
        for name in traffic.EVENT_NEEDS:
            total(self.layers, name)
        return sum(getattr(traffic.as_run(layer), kind) for layer in self.layers) / self.samples


class Definition(NamedTuple):
    """A row of the table: title, unit, meaning and source of a measure, and the function that computes it."""

    title: str
    unit: str
    meaning: str
    source: str
    compute: Callable[[_Run], float]


def total(layers: Sequence[LayerCounts], name: str) -> int:
    """Return the sum of one count over layers; raise `Unknown` with the reason of the first layer without it."""
    # Python's integers: a long run of a large network counts beyond 64 bits.
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


def _connection_sparsity(run: _Run) -> float:
    # With several synapses a pair, there can be more synapses than pairs.
    possible = sum(max(layer.dense_weights or 0, layer.weights) for layer in run.layers)
    return 1 - _ratio(total(run.layers, "nonzero_weights"), possible, "no layer has weights")


def _activation_sparsity(run: _Run) -> float:
    spiking = run.spiking()
    entries = total(spiking, "output_entries")
    return 1 - _ratio(total(spiking, "output_events"), entries, "no spiking layer ran a step")


def _rate(run: _Run) -> float:
    spiking = run.spiking()
    units = sum(layer.outputs for layer in spiking)
    return _ratio(total(spiking, "output_events"), units * run.duration, "the run has no duration")


def _events_in(run: _Run) -> float:
    if run.events_in is None:
        raise Unknown("the run did not count the events from outside")
    return run.events_in / run.samples


DEFINITIONS: Mapping[str, Definition] = {
    "footprint": Definition(
        title="Footprint",
        unit="bytes",
        meaning="Parameters (weights, indices, biases, constants of units) and state variables.",
        source=NEUROBENCH,
        compute=lambda run: sum(layer.parameter_bytes + layer.state_bytes for layer in run.layers),
    ),
    "connection_sparsity": Definition(
        title="Connection sparsity",
        unit="",
        meaning="Weights that are zero or absent, as a fraction of the weights of a fully connected network.",
        source=NEUROBENCH,
        compute=_connection_sparsity,
    ),
    "activation_sparsity": Definition(
        title="Activation sparsity",
        unit="",
        meaning="1 - nonzero / all outputs of spiking layers, over units, steps and samples. 1 is silent.",
        source=NEUROBENCH,
        compute=_activation_sparsity,
    ),
    "synaptic_operations.Effective_ACs": Definition(
        title="Effective ACs",
        unit="per sample",
        meaning="Additions of a nonzero weight for a nonzero input, in layers whose whole input is in {-1, 0, 1}. No "
        "biases.",
        source=NEUROBENCH,
        compute=lambda run: run.operations(binary=True),
    ),
    "synaptic_operations.Effective_MACs": Definition(
        title="Effective MACs",
        unit="per sample",
        meaning="Multiply-accumulates of a nonzero weight and a nonzero input, in all other layers. No biases.",
        source=NEUROBENCH,
        compute=lambda run: run.operations(binary=False),
    ),
    "synaptic_operations.Dense": Definition(
        title="Dense operations",
        unit="per sample",
        meaning="Operations of the same layers, fully connected or convolutions: every weight at every step, zeros "
        "included.",
        source=NEUROBENCH,
        compute=lambda run: run.each("dense_operations"),
    ),
    "membrane_updates": Definition(
        title="Membrane updates",
        unit="per sample",
        meaning="All units at the first step of a sample, then those whose potential changed in a step.",
        source=NEUROBENCH,
        compute=lambda run: run.each("membrane_updates"),
    ),
    "spikes_per_neuron_second": Definition(
        title="Spikes per neuron and second",
        unit="1/s",
        meaning="Spikes of spiking layers / their units / simulated seconds.",
        source="neurosim",
        compute=_rate,
    ),
    "events_in": Definition(
        title="Events in",
        unit="per sample",
        meaning="Events from outside: of the sensor, or of the encoded input.",
        source="neurosim",
        compute=_events_in,
    ),
    "events_delivered": Definition(
        title="Events delivered",
        unit="per sample",
        meaning="Events that arrived at a layer, events of its own units included.",
        source="neurosim",
        compute=lambda run: run.each("input_events"),
    ),
    "bits_moved.weights": Definition(
        title="Weight bits read",
        unit="per sample",
        meaning="Each effective operation reads its weight and, if weights are stored sparsely, its index.",
        source="Lemaire et al. 2022",
        compute=lambda run: run.bits("weights"),
    ),
    "bits_moved.state": Definition(
        title="State bits moved",
        unit="per sample",
        meaning="Read and written: one variable for each effective operation, all of a unit for each membrane update.",
        source="Lemaire et al. 2022",
        compute=lambda run: run.bits("state"),
    ),
    "bits_moved.events": Definition(
        title="Event bits moved",
        unit="per sample",
        meaning="An address (and a value if inputs are not binary) read for each arrival and written for each spike.",
        source="Lemaire et al. 2022",
        compute=lambda run: run.bits("events"),
    ),
}


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
    run = _Run(every, int(samples), float(duration), None if events_in is None else int(events_in))
    # "bits_moved.state" is the field `state` of the record `bits_moved`; names without a dot are in the group "".
    groups: dict[str, dict[str, float]] = {"": {}}
    reasons: dict[str, str] = {}
    for name, definition in DEFINITIONS.items():
        group, _, part = name.rpartition(".")
        try:
            groups.setdefault(group, {})[part] = definition.compute(run)
        except Unknown as unknown:
            reasons[name] = str(unknown)
    about = {"samples": run.samples, "duration": run.duration, "reasons": reasons, "layers": every}
    return Measures.from_dict({**groups.pop(""), **groups, **about})
