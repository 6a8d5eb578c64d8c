"""The liquid: excitatory and inhibitory LIF neurons with random, untrained synapses from a sensor and each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...base.measure.work import LayerCounts
from ...base.random import rng_key
from ...base.rules import Natural, NotASetting, Positive, Rule, check_rules
from ...base.shown import Shown
from ...data.recordings import Recordings
from ...engine.batch import simulate
from ...engine.result import Progress, Result
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.neurons.current import CubaLIF
from ...network.population import Population
from ...network.projection import Projection
from ...network.stimuli import SpikeSource
from ...network.synapses.patterns import FromList
from .draws import normal
from .hot import HotFilter
from .input_groups import with_groups
from .pace import Pace, in_pieces, joined, pieces_of
from .wires import WIRINGS, Wires, draw_input, draw_recurrent

# An axis of the sensor with at least 8 units is a dimension of space; a shorter one, such as polarity, is not.
MIN_SPACE_UNITS = 8
# Rounds of `adapt`, the damping of a round and its bounds; six bring the median neuron within 20 % of the rate.
ROUNDS = 6
DAMPING = 0.7
BOUNDS = (0.5, 2.0)
# Number of neurons up to which all eigenvalues are computed.
MAX_DENSE = 100
MIN_COUNTS = {"neurons": 1, "patches": 1, "patch_synapses": 1, "in_degree": 0, "seed": 0}


@final
@dataclass(frozen=True, eq=False)
class Liquid(Shown):
    """A liquid state machine's network (Maass, Natschlaeger & Markram 2002). It may be copied and pickled.

    Each neuron gets input from `patches` small random patches of the sensor, each with its own delay; half of the
    patches excite and half inhibit. So a neuron responds to an arrangement of events in space and time, not to their
    number. Neurons have random places in a space of the sensor's dimensions, and recurrent synapses come more often
    from near neurons. A neuron excites or inhibits all its targets (Dale's principle). Weights are gamma distributed
    (shape 4), delays uniform.

    The defaults were chosen on parts of the training recordings of N-MNIST-800 and FSDD-SHD. Patches of several
    neighbouring units matter most (they average the noise of single units), then the balance of excitation and
    inhibition, then, for speech, the delays of the input; recurrent weights matter little while activity is stable.

    Attributes:
        shape: shape of the sensor, e.g. (2, 34, 34) = polarity, y, x.
        neurons: number of neurons.
        inhibitory: fraction of inhibitory neurons.
        patches: number of input patches of each neuron.
        patch_synapses: synapses drawn in each patch; those outside the sensor are left out.
        patch_radius: standard deviation of a patch, as a fraction of the sensor.
        max_input_delay: largest delay of patches, s.
        in_degree: number of recurrent synapses onto each neuron.
        wiring: "distance", recurrent synapses come more often from near neurons; or "uniform", from all alike.
        radius: standard deviation of the distance between source and target, as a fraction of the sensor.
        weight: recurrent excitation: sum of a neuron's excitatory weights if all its sources were excitatory.
        inhibition: ratio of inhibitory to excitatory weights.
        max_delay: largest delay of recurrent synapses, s.
        tau_mem, tau_syn, t_refractory: parameters of the neurons, s (`neurons.CubaLIF`, threshold 1, rest and reset 0).
        rate: firing rate that `adapt` aims at, spikes/s.
        write_noise: standard deviation of the logarithm of a conductance after its write to resistive memory
            (`resistive.written`).
        read_noise: standard deviation of each read of a weight, as a fraction of it (`resistive.ReadNoiseLIF`).
        clock: step, s.
        own_pace: whether recordings that are slower, faster or much longer than those of `adapt` are run at the pace
            of these, in pieces of their length.
        hot_filter: whether events of pixels of a camera that send far more than any did in the recordings of `adapt`
            are dropped; see `hot.HotFilter`.
        input_groups: groups of consecutive units of the sensor whose events the readout reads beside the neurons'
            spikes (`read`), each as one more unit; 0: none. They say how a recording is coloured as a whole, such as a
            voice, where neurons say what it is made of.
        seed: key of all random numbers.
        gains: [neurons] factors of each neuron's input weights, from `adapt`; None: 1.
        pace: of the recordings of `adapt`; None: unknown, and all recordings are run as they are.
        hot: largest activity of a pixel in the recordings of `adapt`; None: unknown, and no event is dropped.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    shape: Annotated[tuple[int, ...], NotASetting()]
    neurons: int = 1000
    inhibitory: float = 0.2
    patches: int = 12
    patch_synapses: int = 32
    patch_radius: Positive = 0.02
    max_input_delay: float = 0.08
    in_degree: int = 30
    wiring: Literal["distance", "uniform"] = "distance"
    radius: Positive = 0.3
    weight: Annotated[float, Rule(">= 0")] = 1.0
    inhibition: Annotated[float, Rule(">= 0")] = 3.0
    max_delay: float = 0.01
    tau_mem: float = 0.015
    tau_syn: float = 0.01
    t_refractory: float = 0.003
    rate: Positive = 30.0
    write_noise: Annotated[float, Rule(">= 0")] = 0.0
    read_noise: Annotated[float, Rule(">= 0")] = 0.0
    clock: Positive = 1e-3
    own_pace: bool = True
    hot_filter: bool = True
    input_groups: Natural = 0
    seed: Annotated[int, NotASetting()] = 0
    gains: Annotated[NDArray[np.float64] | None, NotASetting()] = None
    pace: Annotated[Pace | None, NotASetting()] = None
    hot: Annotated[HotFilter | None, NotASetting()] = None

    def __post_init__(self) -> None:
        integers = len(self.shape) > 0 and all(isinstance(n, (int, np.integer)) and n > 0 for n in self.shape)
        require(integers, "Liquid.shape", "must be integers > 0", self.shape)
        for name, minimum in MIN_COUNTS.items():
            value = getattr(self, name)
            require(isinstance(value, (int, np.integer)), f"Liquid.{name}", "must be an integer", value)
            require(value >= minimum, f"Liquid.{name}", f"must be >= {minimum}", value)
        require(0 <= self.inhibitory <= 1, "Liquid.inhibitory", "must be in 0..1", self.inhibitory)
        require(self.in_degree < self.neurons, "Liquid.in_degree", f"must be < neurons {self.neurons}", self.in_degree)
        check_rules(self)
        lookup(WIRINGS, self.wiring, "Liquid.wiring")
        for name in ("max_input_delay", "max_delay"):
            value = getattr(self, name)
            require(value >= self.clock, f"Liquid.{name}", f"must be >= clock {self.clock} s", value)
        self.neuron()
        if self.gains is not None:
            require(self.gains.shape == (self.neurons,), "Liquid.gains", f"must hold {self.neurons}", self.gains.shape)

    def neuron(self) -> Neuron:
        """Return the neuron: `CubaLIF`, or `resistive.ReadNoiseLIF` with `read_noise`."""
        if not self.read_noise:
            return CubaLIF(tau_mem=self.tau_mem, tau_syn=self.tau_syn, t_refractory=self.t_refractory)
        from .resistive import HALF, ReadNoiseLIF

        key = rng_key(self.seed, "liquid", "reads")
        return ReadNoiseLIF(
            self.tau_mem, self.tau_syn, t_refractory=self.t_refractory, key_high=key // HALF % HALF, key_low=key % HALF
        )

    def network(self) -> Network:
        """Return populations "input" and "liquid" and the projections between them."""
        if self.gains is None:
            gains: NDArray[np.float64] = np.ones(self.neurons)
        else:
            gains = self.gains
        return self._network(gains)

    def run(
        self,
        recordings: Recordings,
        *,
        threads: int | None = None,
        count_updates: bool = False,
        progress: Callable[[Progress], object] | None = None,
    ) -> Result[Recordings, list[NDArray[Any]]]:
        """Run each recording from rest; `read` makes the input of `Readout` of `spikes["liquid"]` of the result.

        A recording of another pace than those of `adapt` (see `pace.Pace`) is run at theirs, and the times of its
        spikes, as its duration, are of the run. One that is much longer than those is run in pieces of their length,
        each from rest. Events of hot pixels (see `hot.HotFilter`) are dropped.

        Raises:
            NeurosimInputError: recordings of another shape.
        """
        played = self.as_played(recordings)
        longest = self.pace.longest if self.pace is not None and self.own_pace else 0.0
        counts = pieces_of(played.durations, longest)
        if (counts == 1).all():
            return self._run(self.network(), played, threads, count_updates, progress)
        pieces, owner = in_pieces(played, counts)
        result = self._run(self.network(), pieces, threads, count_updates, progress)
        return replace(result, spikes={"liquid": joined(result.recordings("liquid"), owner, played)})

    def read(self, spikes: Recordings, recordings: Recordings) -> Recordings:
        """Return the input of `Readout`: the neurons' spikes, and the events of `input_groups` of the recordings."""
        return with_groups(spikes, self.as_played(recordings), self.input_groups)

    def as_played(self, recordings: Recordings) -> Recordings:
        """Return recordings as `run` plays them: at the known pace, and without the events of hot pixels."""
        played = recordings
        if self.pace is not None and self.own_pace:
            played = self.pace.applied(played)
        if self.hot is not None and self.hot_filter:
            played = self.hot.applied(played)
        return played

    def adapt(
        self,
        recordings: Recordings,
        threads: int | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> Liquid:
        """Return the liquid with input gains that bring every neuron near `rate` on these recordings.

        It uses no labels. Without it a sensor with few events leaves the liquid silent, and one with many saturates it.
        The liquid then also knows the pace of these recordings, and their busiest pixels.

        Raises:
            NeurosimInputError: recordings of another shape.
        """
        gains: NDArray[np.float64] = np.ones(self.neurons)
        started = time.perf_counter()
        seconds = float(recordings.durations.sum())
        for k in range(ROUNDS if seconds else 0):
            if progress is None:
                report = None
            else:
                report = _part(progress, k * seconds, ROUNDS * seconds, started)
            spikes = self._run(self._network(gains), recordings, threads, progress=report).spikes["liquid"]
            rates = np.bincount(np.asarray(spikes.units), minlength=self.neurons) / seconds
            # Rates do not rise in proportion to gains, so a round corrects by (rate / rates)^.7, at most twofold.
            gains = gains * np.clip((self.rate / np.maximum(rates, self.rate / 50)) ** DAMPING, *BOUNDS)
        return self.knowing(recordings, gains)

    def knowing(self, recordings: Recordings, gains: NDArray[np.float64]) -> Liquid:
        """Return the liquid with gains, and with the pace of these recordings and the busiest pixels of a camera."""
        is_camera = len(self._space) >= 2
        hot = HotFilter.of(recordings) if is_camera else None
        return replace(self, gains=gains, pace=Pace.of(recordings), hot=hot)

    def spectral_radius(self) -> float:
        """Return the largest |eigenvalue| of the recurrent weights [target, source], in units of the threshold."""
        from scipy.sparse import coo_array
        from scipy.sparse.linalg import ArpackNoConvergence, eigs

        wires = self._written["liquid"]
        if not len(wires.pre):
            return 0.0
        matrix = coo_array((wires.weights, (wires.post, wires.pre)), shape=(self.neurons, self.neurons)).tocsr()
        if self.neurons > MAX_DENSE:
            try:
                # A hundredth of the time of all eigenvalues; a fixed start makes the result repeatable.
                first = eigs(matrix, k=1, which="LM", v0=np.ones(self.neurons), return_eigenvectors=False)
                return float(np.abs(first).max())
            except ArpackNoConvergence:
                pass
        return float(np.abs(np.linalg.eigvals(matrix.toarray())).max())

    def _network(self, gains: NDArray[np.float64]) -> Network:
        """Return the network with input weights multiplied by `gains` [neurons]."""
        layers = []
        for name, wires in self._written.items():
            if not len(wires.pre):
                continue
            if name == "input":
                weights = wires.weights * gains[wires.post]
            else:
                weights = wires.weights
            pattern = FromList(wires.pre, wires.post)
            delays = wires.delays * self.clock
            layers.append(Projection(name, "liquid", pattern, weight=weights, delay=delays))
            if self.read_noise:
                variance = (self.read_noise * weights) ** 2
                label = f"noise of {name}"
                layers.append(
                    Projection(name, "liquid", pattern, weight=variance, delay=delays, receptor="variance", name=label)
                )
        if self.read_noise:
            initial = {"unit": np.arange(self.neurons, dtype=float)}
        else:
            initial = {}
        sensor = Population("input", self.shape, SpikeSource())
        return Network([sensor, Population("liquid", (self.neurons,), self.neuron(), initial)], layers)

    def _run(
        self,
        network: Network,
        recordings: Recordings,
        threads: int | None,
        count_updates: bool = False,
        progress: Callable[[Progress], object] | None = None,
    ) -> Result[Recordings, list[NDArray[Any]]]:
        fits = recordings.shape == self.shape
        require(fits, "Liquid.run", f"needs recordings of shape {self.shape}", recordings.shape)
        # Not on construction: settings have no sensor yet.
        rule = f"must be <= {recordings.size}, the units of the sensor"
        require(self.input_groups <= recordings.size, "Liquid.input_groups", rule, self.input_groups)
        result = simulate(
            network,
            recordings,
            clock=self.clock,
            seed=self.seed,
            threads=threads,
            record=["liquid"],
            count_updates=count_updates,
            progress=progress,
        )
        if self.read_noise:
            return replace(result, work=[_once(layer) for layer in result.work])
        return result

    @cached_property
    def _written(self) -> dict[str, Wires]:
        """Synapses by their source population, after a write to resistive memory, before gains."""
        wires = {"input": self._input, "liquid": self._recurrent}
        if not self.write_noise:
            return wires
        from .resistive import written

        noisy = {}
        for name, synapses in wires.items():
            deviations = normal(self.seed, f"write {name}", len(synapses.pre))
            noisy[name] = replace(synapses, weights=written(synapses.weights, self.write_noise, deviations))
        return noisy

    @cached_property
    def _input(self) -> Wires:
        """Synapses from the sensor, before gains."""
        return draw_input(
            self.shape,
            self._space,
            neurons=self.neurons,
            patches=self.patches,
            patch_synapses=self.patch_synapses,
            patch_radius=self.patch_radius,
            max_delay=round(self.max_input_delay / self.clock),
            seed=self.seed,
        )

    @cached_property
    def _recurrent(self) -> Wires:
        """Synapses within the liquid."""
        wiring = WIRINGS[self.wiring]
        return draw_recurrent(
            self.neurons,
            max(len(self._space), 1),
            inhibitory=self.inhibitory,
            in_degree=self.in_degree,
            log_weight=lambda squared: wiring(squared, self.radius),
            weight=self.weight,
            inhibition=self.inhibition,
            max_delay=round(self.max_delay / self.clock),
            seed=self.seed,
        )

    @property
    def _space(self) -> list[int]:
        """Axes of the sensor that are dimensions of space."""
        return [axis for axis, size in enumerate(self.shape) if size >= MIN_SPACE_UNITS]


def _once(layer: LayerCounts) -> LayerCounts:
    """Return the work without the projections that carry read noise: a noisy read is one read."""
    counts = ("weights", "nonzero_weights", "synaptic_operations")
    return replace(layer, **{name: getattr(layer, name) // 2 for name in counts})


def _part(
    progress: Callable[[Progress], object], before: float, total: float, started: float
) -> Callable[[Progress], object]:
    """Return a callback for one of several runs, of which `before` seconds have been done since `started`."""
    return lambda p: progress(Progress(before + p.done, total, p.spikes, time.perf_counter() - started))
