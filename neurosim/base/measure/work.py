"""Counts from which every paradigm is measured: one `LayerCounts` for each population and the synapses into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import NeurosimInputError, require
from ..plain import Record

# Counts may be unknown: None, with an entry in `reasons`. All other fields describe the layer and are known.
COUNTS = (
    "steps",
    "input_events",
    "output_events",
    "output_entries",
    "synaptic_operations",
    "dense_operations",
    "membrane_updates",
    "dense_membrane_updates",
)
SIZES = (
    "inputs",
    "outputs",
    "weights",
    "nonzero_weights",
    "weight_bits",
    "state_bytes",
    "parameter_bytes",
    "dense_weights",
    "state_bits",
    "index_bits",
)
WEIGHT_TYPES = ("float", "int")


@dataclass(frozen=True)
class LayerCounts(Record):
    """One population with all synapses that end on it, and its work over all samples of a run.

    It may be a spiking population, a readout, a layer of dendritic segments, a macrocolumn or a trained layer: in all
    of them sparse events select rows of weights, which are added to state. Counts are sums over samples.

    Attributes:
        name: as the tables print it.
        inputs: number of source units, recurrent ones included.
        outputs: number of its own units.
        weights: number of connections, with weights of zero included; biases excluded.
        nonzero_weights: number of connections whose weight is not zero.
        weight_bits: bits of one weight.
        steps: steps of the grid, summed over samples; for an event-driven run the steps of its dense equivalent.
        input_events: nonzero input entries; for spikes, the spikes that arrived.
        output_events: nonzero output entries; for spikes, the spikes fired.
        output_entries: outputs times steps.
        synaptic_operations: nonzero weights accumulated, once for each event that selected them.
        binary_input: every input entry is in {-1, 0, 1}, so an operation is an addition (AC), not a MAC.
        dense_operations: operations of a dense network in these steps: inputs * outputs * steps if fully connected,
            and those of every position of the kernel of a convolution.
        membrane_updates: all units at the first step of a sample, then those that changed (NeuroBench).
        dense_membrane_updates: updates in a dense network: outputs * steps.
        state_bytes: bytes of its state variables.
        parameter_bytes: bytes of weights, indices, biases and per-unit parameters.
        spiking: whether its outputs are events (spikes, active bits, activations) and count in activation_sparsity;
            False for a linear readout.
        reasons: why a count is None, by its name.
        dense_weights: weights of the dense equivalent, absent connections included; None means inputs * outputs. Set
            it for shared weights, as in a convolution.
        state_bits: bits of one state variable, which an accumulation reads and writes.
        index_bits: bits read beside each weight to find its target; 0 for dense rows.
        shared_bytes: bytes of its parameters where a weight that many synapses share, as of a convolution, is stored
            once; None: they share none.
        weight_type: "float" or "int", the arithmetic of its operations.

    Raises:
        NeurosimInputError: a negative count, a None without a reason, more nonzero weights than weights.
    """

    name: str
    inputs: int
    outputs: int
    weights: int
    nonzero_weights: int
    weight_bits: int
    steps: int | None
    input_events: int | None
    output_events: int | None
    output_entries: int | None
    synaptic_operations: int | None
    binary_input: bool
    dense_operations: int | None
    membrane_updates: int | None
    dense_membrane_updates: int | None
    state_bytes: int
    parameter_bytes: int
    spiking: bool
    reasons: Mapping[str, str] = field(default_factory=dict)
    dense_weights: int | None = None
    state_bits: int = 32
    index_bits: int = 0
    weight_type: str = "float"
    shared_bytes: int | None = None

    def __post_init__(self) -> None:
        # The class is frozen: values are completed and converted past its own setattr.
        if self.dense_weights is None:
            object.__setattr__(self, "dense_weights", self.inputs * self.outputs)
        owner = f"LayerCounts[{self.name!r}]"
        for name in SIZES + COUNTS:
            value = getattr(self, name)
            if value is not None:
                # Kernels count in integers of numpy, which JSON cannot hold.
                object.__setattr__(self, name, int(value))
                require(value >= 0, f"{owner}.{name}", "must be >= 0", value)
            elif name in SIZES:
                raise NeurosimInputError(f"{owner}.{name}: must be known (got None)")
            elif not self.reasons.get(name):
                raise NeurosimInputError(f"{owner}.{name}: is None without a reason; add reasons={{'{name}': 'why'}}")
        types = f"must be one of {', '.join(WEIGHT_TYPES)}"
        require(self.weight_type in WEIGHT_TYPES, f"{owner}.weight_type", types, self.weight_type)
        if self.shared_bytes is not None:
            object.__setattr__(self, "shared_bytes", int(self.shared_bytes))
            require(self.shared_bytes >= 0, f"{owner}.shared_bytes", "must be >= 0", self.shared_bytes)
        fits = self.nonzero_weights <= self.weights
        require(fits, f"{owner}.nonzero_weights", f"must be <= weights {self.weights}", self.nonzero_weights)

    @property
    def memory_bytes(self) -> int:
        """Return the bytes of the memory that its parameters need where shared weights are stored once."""
        if self.shared_bytes is None:
            return self.parameter_bytes
        return self.shared_bytes


def sum_counts(layers: Sequence[LayerCounts]) -> LayerCounts:
    """Return the counts of one layer over several parts of a run; a count that a part lacks is None.

    Args:
        layers: the parts, of one layer; sizes and names are taken from the first.
    """
    parts = {name: [getattr(layer, name) for layer in layers] for name in COUNTS}
    totals = {name: None if None in counts else sum(counts) for name, counts in parts.items()}
    reasons: dict[str, str] = {}
    for layer in layers:
        reasons |= layer.reasons
    return replace(layers[0], reasons=reasons, **totals)  # type: ignore[arg-type]
