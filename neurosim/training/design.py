"""What a trained network is made of: plain numbers, kept in configs and beside saved weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import lookup, require

NEURONS = ("LIF", "CurrentLIF", "AdaptiveLIF")
SURROGATES = ("fast_sigmoid", "arctan", "triangle", "sigmoid")
READOUTS = ("mean", "max", "last", "count")
MOST_STEPS = 1000


@dataclass(frozen=True)
class Design:
    """Convolutions, then dense layers, all of one kind of neuron, then a readout. Nothing has a bias.

    Defaults of AdaptiveLIF are those of Baronig et al. 2025 in their steps of 4 ms.

    Attributes:
        neuron: of `neurosim.layers`: "LIF", "CurrentLIF" or "AdaptiveLIF".
        filters: of each convolution, which slides along the sensor's rows and columns, or along its channels.
        kernel, stride: pixels or channels, of every convolution.
        taps, tap_steps: copies of the input that the first layer sees, each `tap_steps` steps later than the one
            before: synapses with as many delays.
        hidden: units of each dense layer.
        recurrent: dense layers feed back to themselves, one step later.
        readout: how a class is read from the last step on. A leaky integrator for each class, of which the "mean" over
            the recording, the "max" or the "last" value counts; or a spiking neuron for each, and the "count" of its
            spikes.
        tau_mem: s, of spiking neurons. AdaptiveLIF draws each unit's between a quarter and all of it.
        tau_syn: s, of CurrentLIF.
        tau_adapt: s, of AdaptiveLIF; each unit's is drawn between a fifth and all of it.
        adaptation: of AdaptiveLIF: the scale of what a spike adds, as `q` of `layers.SEAdLIF` times dt / tau_adapt.
        tau_out: s, of the leaky integrators.
        train_tau: time constants are trained, one a unit; those of AdaptiveLIF always are.
        reset: "subtract" or "zero".
        surrogate, slope: a name of `layers.SURROGATES`, and how steep it is, 1 / V.
        dropout: part of the units of each layer that are silent for a whole recording in training.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    neuron: str = "LIF"
    filters: tuple[int, ...] = ()
    kernel: int = 5
    stride: int = 2
    taps: int = 1
    tap_steps: int = 2
    hidden: tuple[int, ...] = (128,)
    recurrent: bool = False
    readout: str = "mean"
    tau_mem: float = 0.02
    tau_syn: float = 0.01
    tau_adapt: float = 0.3
    adaptation: float = 0.4
    tau_out: float = 0.1
    train_tau: bool = False
    reset: str = "subtract"
    surrogate: str = "fast_sigmoid"
    slope: float = 5.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        lookup(dict.fromkeys(NEURONS), self.neuron, "Design.neuron")
        lookup(dict.fromkeys(READOUTS), self.readout, "Design.readout")
        lookup(dict.fromkeys(SURROGATES), self.surrogate, "Design.surrogate")
        lookup(dict.fromkeys(("subtract", "zero")), self.reset, "Design.reset")
        for name in ("filters", "hidden"):
            sizes = getattr(self, name)
            require(all(n > 0 for n in sizes), f"Design.{name}", "must be sizes > 0", sizes)
        require(len(self.filters) + len(self.hidden) > 0, "Design.hidden", "must be at least one layer", self.hidden)
        for name in ("kernel", "stride", "taps", "tap_steps"):
            value = getattr(self, name)
            require(1 <= value <= MOST_STEPS, f"Design.{name}", f"must be 1 to {MOST_STEPS}", value)
        for name in ("tau_mem", "tau_syn", "tau_adapt", "tau_out", "slope"):
            value = getattr(self, name)
            unit = "1 / V" if name == "slope" else "s"
            require(0 < value < math.inf, f"Design.{name}", f"must be > 0 {unit}", value)
        require(0 <= self.adaptation < math.inf, "Design.adaptation", "must be finite and >= 0", self.adaptation)
        require(0 <= self.dropout < 1, "Design.dropout", "must be >= 0 and < 1", self.dropout)
