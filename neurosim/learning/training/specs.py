"""Specs of a network and of its training: plain numbers, as configs and saved networks hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from ...base.errors import lookup, require
from ...base.rules import Count, LearningRate, Natural, NotASetting, Rule, check_rules
from ...base.values import check_unit

NEURON_NAMES = ("LIF", "CurrentLIF", "SEAdLIF")
SURROGATE_NAMES = ("fast_sigmoid", "arctan", "triangle", "sigmoid")
OPTIMIZER_NAMES = ("adamw", "adamax")
READOUT_NAMES = ("mean", "max", "last", "count")
MAX_STEPS = 1000


@dataclass(frozen=True)
class NetworkSpec:
    """Layers of a network: convolutions, then dense layers, all of one kind of neuron, then a readout. No biases.

    Defaults of SEAdLIF are from Baronig et al. 2025, in their steps of 4 ms.

    Attributes:
        neuron: layer of `neurosim.learning.layers`: "LIF", "CurrentLIF" or "SEAdLIF".
        filters: filters of each convolution, which slides along the sensor's rows and columns, or along its channels.
        kernel, stride: size and step of every convolution, pixels or channels.
        taps, tap_steps: number of copies of the input that the first layer gets, each `tap_steps` steps later than
            the one before: synapses with several delays.
        hidden: units of each dense layer.
        recurrent: dense layers feed back to themselves, one step later.
        readout: "mean", "max" or "last" value over the recording of a leaky integrator for each class; or "count" of
            the spikes of a spiking neuron for each class.
        tau_mem: membrane time constant, s; SEAdLIF draws each unit's between a quarter and all of it.
        tau_syn: synaptic time constant of CurrentLIF, s.
        tau_spread: LIF and CurrentLIF draw each unit's tau_mem and tau_syn between the value and so many times it, and
            keep trained ones there; 1: all units are alike.
        tau_adapt: adaptation time constant of SEAdLIF, s; each unit's is drawn between a fifth and all of it.
        adaptation: scale of what a spike adds to the adaptation of SEAdLIF: its `q` times dt / tau_adapt.
        tau_out: time constant of the leaky integrators, s.
        train_tau: train a time constant for each unit; SEAdLIF always does.
        normalise: divide the input of each unit, or filter, by its root mean square over a batch, times a trained gain
            (`training.norm.ScaleNorm`); after training it is folded into the weights.
        reset: "subtract" or "zero".
        surrogate, slope: name in `layers.SURROGATES`, and its slope, 1 / V.
        dropout: fraction of the units of each layer that are silent for a whole recording in training.

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
    tau_mem: Annotated[float, Rule("> 0 s")] = 0.02
    tau_syn: Annotated[float, Rule("> 0 s")] = 0.01
    tau_adapt: Annotated[float, Rule("> 0 s")] = 0.3
    adaptation: Annotated[float, Rule("finite and >= 0")] = 0.4
    tau_out: Annotated[float, Rule("> 0 s")] = 0.1
    tau_spread: Annotated[float, Rule(">= 1 and finite")] = 1.0
    train_tau: bool = False
    normalise: bool = False
    reset: str = "subtract"
    surrogate: str = "fast_sigmoid"
    slope: Annotated[float, Rule("> 0 1 / V")] = 5.0
    dropout: Annotated[float, Rule(">= 0 and < 1")] = 0.0

    def __post_init__(self) -> None:
        lookup(dict.fromkeys(NEURON_NAMES), self.neuron, "NetworkSpec.neuron")
        lookup(dict.fromkeys(READOUT_NAMES), self.readout, "NetworkSpec.readout")
        lookup(dict.fromkeys(SURROGATE_NAMES), self.surrogate, "NetworkSpec.surrogate")
        lookup(dict.fromkeys(("subtract", "zero")), self.reset, "NetworkSpec.reset")
        for name in ("filters", "hidden"):
            sizes = getattr(self, name)
            require(all(n > 0 for n in sizes), f"NetworkSpec.{name}", "must be sizes > 0", sizes)
        # A readout alone would be a linear classifier of leaky sums.
        layers = len(self.filters) + len(self.hidden)
        require(layers > 0, "NetworkSpec.hidden", "must be at least one layer", self.hidden)
        for name in ("kernel", "stride", "taps", "tap_steps"):
            value = getattr(self, name)
            require(1 <= value <= MAX_STEPS, f"NetworkSpec.{name}", f"must be 1 to {MAX_STEPS}", value)
        check_rules(self)
        for name in ("tau_mem", "tau_syn"):
            check_unit(getattr(self, name), f"NetworkSpec.{name}")


# Names of the layers over pixels, which `grid_net` has.
GRID_NAMES = ("lightnet2d", "plstm2d")


@dataclass(frozen=True)
class AttentionSpec:
    """A stack of attention layers that reads recordings bin by bin; its answer is the mean of what it says after each.

    Attributes:
        kind: of attention, a name of `attention.kinds.KINDS`, or of `grid_net.GRID_KINDS` for layers over the pixels of
            a recording's counts, which are not converted into spikes; None: no such network, in a config.
        options: of that kind.
        layers: number of layers.
        width, hidden: channels of the residual stream and of the feed-forward layers; hidden 0: no such layers.
        filters: filters of each convolution over the sensor, in front of the layers.
        kernel, stride: size and step of every convolution, pixels or channels.
        dropout: fraction of the channels of the embedded events that are 0 for a whole recording in training.
        k: counts that a mean input of a linear layer is worth in spikes, after training.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    kind: str | None = "gla"
    options: dict[str, bool | int | float | str | None] | None = None
    layers: Count = 2
    width: Count = 64
    hidden: Natural = 128
    filters: tuple[int, ...] = ()
    kernel: Count = 5
    stride: Count = 2
    dropout: Annotated[float, Rule(">= 0 and < 1")] = 0.0
    k: Annotated[float, Rule("> 0 and < 1e6")] = 3.0

    def __post_init__(self) -> None:
        check_rules(self)


@dataclass(frozen=True)
class ELMSpec:
    """An Expressive Leaky Memory neuron; see `layers.elm.ELM`, which checks the values.

    Attributes:
        memory: number of its leaky memories; None: no such network, in a config.
        branches, synapses_per_branch: the form with branches, which sum neighbouring inputs; None: without.
        tau_syn: synaptic time constant, s.
        tau_min, tau_max: smallest and largest time constant of the memories, s; they are log-spaced.
        train_tau: train the time constants of the memories.
        gain: scale of what is written into the memories.
        dropout: probability that an input of a bin is left out in training.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    memory: Count | None = 100
    branches: int | None = None
    synapses_per_branch: int | None = None
    tau_syn: Annotated[float, Rule("> 0 and finite")] = 5e-3
    tau_min: Annotated[float, Rule("> 0 and finite")] = 1e-3
    tau_max: Annotated[float, Rule("> 0 and finite")] = 0.5
    train_tau: bool = False
    gain: Annotated[float, Rule("> 0 and finite")] = 5.0
    dropout: Annotated[float, Rule(">= 0 and < 1")] = 0.5

    def __post_init__(self) -> None:
        check_rules(self)


@dataclass(frozen=True)
class TrainingSpec:
    """Settings of a training; the learning rate rises, then falls as a cosine.

    Attributes:
        epochs: largest number of passes over the training recordings.
        batch: recordings a step, of all processes together.
        learning_rate: largest learning rate.
        warmup: fraction of all steps in which the learning rate rises.
        weight_decay: decay of synaptic weights.
        clip: largest norm of a gradient.
        smoothing: fraction of the target that is spread over all classes.
        sparsity: weight in the loss of the mean square of the units' rates (spikes a step).
        patience: epochs without better validation before training stops; 0: never.
        optimizer: "adamw" (Loshchilov & Hutter 2019) or "adamax" (Kingma & Ba 2015).

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    epochs: Count = 40
    batch: Count = 32
    learning_rate: LearningRate = 3e-3
    warmup: Annotated[float, Rule(">= 0 and < 1")] = 0.1
    weight_decay: Annotated[float, Rule(">= 0 and finite")] = 1e-3
    clip: Annotated[float, Rule("> 0 and finite")] = 1.0
    smoothing: Annotated[float, Rule(">= 0 and < 1")] = 0.1
    sparsity: Annotated[float, Rule(">= 0 and finite")] = 0.0
    patience: Natural = 15
    optimizer: str = "adamw"

    def __post_init__(self) -> None:
        lookup(dict.fromkeys(OPTIMIZER_NAMES), self.optimizer, "TrainingSpec.optimizer")
        check_rules(self)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of step `step` (from 0) of `steps`."""
        # Linear from 1 / rise, then half a cosine from 1 to 0.
        rise = max(1, round(self.warmup * steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@dataclass(frozen=True, kw_only=True)
class ReconstructionSpec:
    """An almost-linear network and its training, see `reconstruction`.

    Attributes:
        units: M.
        rectified: P, the last units, which have a relu.
        every: tau, number of steps from one at which the first units are set to the data to the next.
        length, batch: steps of a training sequence, and sequences of an update.
        updates: number of updates.
        learning_rate, last_learning_rate: learning rate of RAdam at the first and the last update, falling
            exponentially.
        noise: standard deviation that is added to the data of an update.
        compared_every: number of updates after which the network's orbit is compared with the data. The network of the
            smallest D_stsp is returned, as published, because networks a few updates apart end on the attractor or in a
            fixed point. 0: the last network is returned.
        seed: key of first weights and batches.
    """

    units: Count = 20
    rectified: int = 2
    every: Count = 16
    length: Count = 200
    batch: Count = 16
    updates: Count = 100_000
    learning_rate: LearningRate = 1e-3
    last_learning_rate: LearningRate = 1e-5
    noise: Annotated[float, Rule("finite and >= 0")] = 0.05
    compared_every: Natural = 0
    seed: Annotated[Natural, NotASetting()] = 0

    def __post_init__(self) -> None:
        check_rules(self)
        in_range = 0 <= self.rectified <= self.units
        require(in_range, "ReconstructionSpec.rectified", f"must be 0 to {self.units} units", self.rectified)


@dataclass(frozen=True, kw_only=True)
class RefinementSpec:
    """Gauss-Newton updates of an almost-linear network and a search behind them, see `refinement`.

    Attributes:
        every: tau, number of steps from one at which the first units are set to the data to the next; longer than in
            the training before, so that the error shows how quickly orbits leave a fixed point.
        length, batch: steps of a sequence, and sequences of an update.
        updates: number of Gauss-Newton updates.
        rate, last_rate: fraction of the step that is taken, falling exponentially.
        noise: standard deviation that is added to the data of an update.
        generations: number of rounds of the search.
        candidates: networks of a round, an even number.
        chosen: number of the best candidates, whose mean is the next centre.
        spread, last_spread: spread of the candidates, falling exponentially: their errors lie about spread^2 / 2 a
            parameter above the centre's.
        orbits, steps: free orbits by which a candidate is compared with the data, and steps of each.
        seed: key of batches and candidates.
    """

    every: Count = 32
    length: Count = 200
    batch: Count = 16
    updates: Natural = 1000
    rate: Annotated[float, Rule("finite and > 0")] = 0.5
    last_rate: Annotated[float, Rule("finite and > 0")] = 0.1
    noise: Annotated[float, Rule("finite and >= 0")] = 0.02
    generations: Natural = 50
    candidates: Count = 32
    chosen: Count = 8
    spread: Annotated[float, Rule("finite and > 0")] = 1e-2
    last_spread: Annotated[float, Rule("finite and > 0")] = 5e-3
    orbits: Count = 2
    steps: Count = 20_000
    seed: Annotated[Natural, NotASetting()] = 0

    def __post_init__(self) -> None:
        check_rules(self)
        require(self.candidates % 2 == 0, "RefinementSpec.candidates", "must be even", self.candidates)
        rule = f"must be at most the {self.candidates} candidates"
        require(self.chosen <= self.candidates, "RefinementSpec.chosen", rule, self.chosen)
