"""Random pipelines: a source, neurons that may learn, a windowed population, neurons that it drives, and a readout.

    source -> cells -> model -> driven -> readout,   source -> model,   cells, model -> readout,   label -> readout

A pipeline is held to its parts, which are run apart and by hand: the neurons in a network without windows, in which
the codes of the windowed population are a recording; and every windowed population window by window, on spikes that
are counted here. `checks.py` has what is held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim import (
    LIF,
    STDP,
    FixedProbability,
    Link,
    Network,
    Population,
    Projection,
    Recordings,
    Spikes,
    SpikeSource,
    Windowed,
)
from neurosim.learning import LateralCircuit, LinearReadout, OnlineReadout, Readout
from neurosim.memory import (
    DendriteLayer,
    DendriticSegments,
    ELMUnits,
    Hierarchy,
    Level,
    Macrocolumn,
    PatchCode,
    SpatialPooler,
    TemporalMemory,
)
from neurosim.network import RewardSTDP, ShortTermPlasticity, StepCurrent, SynapticScaling, Uniform
from neurosim.network.plasticity.hebbian import Hebbian
from neurosim.network.plasticity.homeostasis import WeightNormalisation
from neurosim.network.plasticity.timing import TripletSTDP
from neurosim.network.stimuli import PoissonInput, PoissonSource
from neurosim.network.windowed import WindowModel

CLOCK = 1e-3
SENSOR = (2, 4, 5)
INPUTS = 40
CELLS = 16
DRIVEN = 8
CLASSES = 2
Rng = np.random.Generator


@dataclass(frozen=True)
class Pipeline:
    """The features of a random pipeline, and the key of everything drawn."""

    seed: int
    source: str
    model: str
    readout: str
    plasticity: str
    learning: str

    @property
    def features(self) -> tuple[str, ...]:
        return self.source, self.model, self.readout, self.plasticity, self.learning

    def __str__(self) -> str:
        return f"{self.seed}: {', '.join(self.features)}"


@dataclass(frozen=True)
class Built:
    """A pipeline that can run.

    Attributes:
        network: the whole of it.
        clips: what its spike sources play, for each recording.
        cut: a step within the recordings.
    """

    network: Network
    clips: tuple[Mapping[str, Spikes], ...]
    cut: int

    @property
    def steps(self) -> int:
        return round(self.clips[0]["label"].duration / CLOCK)

    def batch(self) -> dict[str, Recordings]:
        """Return all recordings together, by source."""
        return {name: Recordings.collect([clip[name] for clip in self.clips]) for name in self.clips[0]}


# Windowed populations, by name: (inputs, window, rng) -> model.


def _segments(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def _dendrite_layer(inputs: int, window: float, rng: Rng) -> DendriteLayer:
    return DendriteLayer(rng.normal(size=(10, inputs)), rng.normal(size=10), rng.normal(size=(10, 2, CELLS)), winners=3)


def _elm(inputs: int, window: float, rng: Rng) -> ELMUnits:
    hidden = 6
    memory = 5
    outputs = 7
    return ELMUnits(
        dt=window,
        decay=0.6,
        rows=_segments(rng, (inputs, hidden)),
        hidden_bias=_segments(rng, (hidden,)),
        keep=rng.uniform(0.2, 0.9, memory).astype(np.float32),
        gain=rng.uniform(0.1, 0.8, memory).astype(np.float32),
        bias=_segments(rng, (memory,)),
        inner=_segments(rng, (memory, hidden)),
        outer=_segments(rng, (hidden, memory)),
        readout=_segments(rng, (outputs, memory)),
        offset=_segments(rng, (outputs,)),
    )


def _hierarchy(inputs: int, window: float, rng: Rng) -> Hierarchy:
    fields = np.sort(rng.permutation(inputs)[: 4 * (inputs // 4)].reshape(4, -1), axis=1)
    lower = Level(fields, 2, 3)
    return Hierarchy(
        inputs, (lower, Level(np.arange(4).reshape(1, 4), 2, 3, persistence=2)), seed=int(rng.integers(99))
    )


def _pooler(inputs: int, window: float, rng: Rng) -> SpatialPooler:
    return SpatialPooler(inputs, 20, density=0.2, boost=float(rng.choice([0.0, 2.0])), seed=int(rng.integers(99)))


def _temporal(inputs: int, window: float, rng: Rng) -> TemporalMemory:
    seed = int(rng.integers(99))
    return TemporalMemory(inputs, 2, activation_threshold=2, min_threshold=1, predicted_decrement=0.01, seed=seed)


def _patch_code(inputs: int, window: float, rng: Rng) -> PatchCode:
    code = PatchCode((1, inputs), units=6, side=(1, 4), winners=2, pool=(1, 3), seed=int(rng.integers(99)))
    # Half full, so that it answers where nothing learns.
    code.store(rng.integers(0, 3, (3, inputs)))
    return code


MODELS: Mapping[str, Callable[[int, float, Rng], WindowModel]] = {
    "SpatialPooler": _pooler,
    "TemporalMemory": _temporal,
    "Macrocolumn": lambda inputs, window, rng: Macrocolumn(inputs, 3, 5, seed=int(rng.integers(99))),
    "Hierarchy": _hierarchy,
    "DendriteLayer": _dendrite_layer,
    "DendriticSegments": lambda inputs, window, rng: DendriticSegments(
        CELLS,
        inputs,
        3,
        20,
        activation_threshold=2,
        min_threshold=1,
        initial_permanence=0.6,
        seed=int(rng.integers(99)),
    ),
    "ELMUnits": _elm,
    "PatchCode": _patch_code,
}

# Readouts, by name: (inputs, rng) -> model.


def _linear(features: str, decay: float = 0.0) -> Callable[[int, Rng], LinearReadout]:
    def build(inputs: int, rng: Rng) -> LinearReadout:
        return LinearReadout(rng.normal(size=(CLASSES, 3, inputs)), rng.normal(size=CLASSES), features, decay)  # type: ignore[arg-type]

    return build


def _trained(inputs: int, rng: Rng) -> LinearReadout:
    """Return a ridge regression that was fitted on recordings of another source, as a readout."""
    clips = []
    for _ in range(6):
        count = int(rng.integers(20, 60))
        clips.append(Spikes.sort(rng.uniform(0, 0.1, count), rng.integers(0, inputs, count), inputs, 0.1))
    fitted = Readout(windows=3, timing="duration").fit(Recordings.collect(clips), np.arange(6) % CLASSES)
    return LinearReadout.from_trained(fitted)


def _online(**settings: Any) -> Callable[[int, Rng], OnlineReadout]:
    return lambda inputs, rng: OnlineReadout(inputs, CLASSES, seed=int(rng.integers(99)), **settings)


READOUTS: Mapping[str, Callable[[int, Rng], LinearReadout | OnlineReadout]] = {
    "linear, counts": _linear("counts"),
    "linear, traces": _linear("traces", 0.5),
    "trained": _trained,
    "online, delta": _online(windows=2),
    "online, softmax": _online(features="traces", decay=0.5, error="softmax", learning_rate=0.02, normalised=False),
    "online, reward": _online(rule="reward", exploration=0.3),
    "online, input rates": _online(windows=2, error="softmax", learning_rate=4.0, input_rates=True),
    "online, least squares": _online(windows=2, penalty=0.5),
    "lateral, deflation": _online(lateral=LateralCircuit((3, 2))),
    "lateral, hebbian": _online(
        features="counts",
        gain=0.2,
        normalised=False,
        learning_rate=0.05,
        lateral=LateralCircuit((2, 2), "hebbian", 5e-3),
    ),
    "lateral, spiking": _online(lateral=LateralCircuit((3, 2), spiking=True, scale=9.0)),
}

# Plasticity of the synapses onto `cells` and `driven`, by name: arguments of their projections.
PLASTICITY: Mapping[str, Mapping[str, Any]] = {
    "no plasticity": {},
    "STDP": {"plasticity": STDP(a_plus=0.2, a_minus=0.1)},
    "TripletSTDP": {"plasticity": TripletSTDP(a3_plus=0.2, a2_minus=0.1)},
    "RewardSTDP": {"plasticity": RewardSTDP("label", tau_c=0.05, reward_size=20.0, a_plus=0.2, a_minus=0.1)},
    "Hebbian": {"plasticity": Hebbian(eta=0.1, theta_post=0.2)},
    "SynapticScaling": {"homeostasis": SynapticScaling(20.0, tau_rate=0.05, tau=0.1, interval=0.007)},
    "WeightNormalisation": {"homeostasis": WeightNormalisation(2.0, interval=0.009)},
    "STDP with WeightNormalisation": {
        "plasticity": STDP(a_plus=0.2, a_minus=0.1),
        "homeostasis": WeightNormalisation(2.0, interval=0.009),
    },
    "ShortTermPlasticity": {"short_term": ShortTermPlasticity(0.4, 0.03, 0.02)},
}

# Sources, by name: whether there is a population that plays recordings.
SOURCES: Mapping[str, bool] = {
    "recordings": True,
    "camera file in TOML": True,
    "packets": True,
    "SONATA file in pieces": True,
    "folder of a run": True,
    "Poisson source": False,
    "Poisson input": False,
    "current": False,
}
# Which windowed populations learn while the pipeline runs.
LEARNING: Mapping[str, frozenset[str]] = {
    "both learn": frozenset({"model", "readout"}),
    "readout learns": frozenset({"readout"}),
    "nothing learns in windows": frozenset(),
}
RECORDINGS = 2


def build(case: Pipeline) -> Built:
    """Return the pipeline of a case."""
    rng = np.random.default_rng(case.seed)
    model_steps = int(rng.choice([3, 4, 6]))
    readout_steps = int(rng.choice([4, 6, 9]))
    # Both windows end with the recording, and the readout has at least three.
    steps = int(np.lcm(model_steps, readout_steps))
    steps *= -(-max(3 * readout_steps, 48) // steps)
    network = _network(case, model_steps * CLOCK, readout_steps * CLOCK, rng)
    announces = any(population.name == "task" for population in network.populations)
    clips = tuple(_clip(case, steps, readout_steps, rng) for _ in range(RECORDINGS))
    if announces:
        # Each recording begins a task.
        clips = tuple({**clip, "task": Spikes([0.5 * CLOCK], [0], 1, steps * CLOCK)} for clip in clips)
    return Built(network, clips, int(rng.integers(1, steps)))


def _network(case: Pipeline, model_window: float, readout_window: float, rng: Rng) -> Network:
    has_source = case.source not in ("Poisson input", "current")
    # The first receptor takes the cells, then the source behind them.
    learn = LEARNING[case.learning]
    inputs = CELLS + (INPUTS if has_source else 0)
    model = MODELS[case.model](inputs, model_window, rng)
    readout = READOUTS[case.readout](CELLS + model.outputs + DRIVEN, rng)
    if case.source == "Poisson source":
        source = PoissonSource(60.0)
    else:
        source = SpikeSource()
    populations = [
        Population("label", CLASSES, SpikeSource()),
        Population("cells", CELLS, LIF(tau_mem=0.02)),
        Population("model", model.outputs, Windowed(model, model_window, "model" in learn)),
        Population("driven", DRIVEN, LIF(tau_mem=0.02, v_threshold=0.3)),
        Population("readout", readout.outputs, Windowed(readout, readout_window, "readout" in learn)),
    ]
    links = [
        Link("cells", "model"),
        Link("cells", "readout"),
        Link("model", "readout", offset=CELLS),
        Link("driven", "readout", offset=CELLS + model.outputs),
    ]
    learning = PLASTICITY[case.plasticity]
    projections = [
        Projection("model", "driven", FixedProbability(0.5), Uniform(0.2, 0.6), Uniform(1e-3, 4e-3), **learning),
        Projection("label", "driven", FixedProbability(0.5), 0.3),
        Projection("driven", "cells", FixedProbability(0.2), 0.1, 2e-3),
    ]
    if has_source:
        populations.append(Population("source", SENSOR, source))
        links.append(Link("source", "model", offset=CELLS))
        projections.append(
            Projection("source", "cells", FixedProbability(0.3), Uniform(0.1, 0.3), Uniform(1e-3, 3e-3), **learning)
        )
    else:
        projections.append(
            Projection("cells", "cells", FixedProbability(0.3), Uniform(0.0, 0.2), Uniform(1e-3, 3e-3), **learning)
        )
    stimuli: list[Any] = []
    if case.source == "Poisson input":
        stimuli.append(PoissonInput("cells", 400.0, 0.2))
    if case.source == "current":
        amplitudes = rng.uniform(0.8, 2.5, (3, CELLS))
        stimuli.append(StepCurrent("cells", times=np.array([0.0, 0.011, 0.024]), amplitudes=amplitudes))
    for receptor, size in model.receptors.items():
        if receptor in ("context", "soma") and size == CELLS:
            links.append(Link("cells", "model", receptor, name=receptor))
    for receptor in ("label", "reward"):
        if receptor in readout.receptors:
            links.append(Link("label", "readout", receptor))
    if "task" in readout.receptors:
        populations.append(Population("task", 1, SpikeSource()))
        links.append(Link("task", "readout", "task"))
    order = rng.permutation(len(populations))
    return Network([populations[i] for i in order], projections, stimuli, links=links)


def _clip(case: Pipeline, steps: int, readout_steps: int, rng: Rng) -> dict[str, Spikes]:
    """Return what the spike sources play: events in the middle of steps, and one label."""
    duration = steps * CLOCK
    window = int(rng.integers(steps // readout_steps))
    at = (window * readout_steps + 0.5) * CLOCK
    clip = {"label": Spikes([at], [int(rng.integers(CLASSES))], CLASSES, duration)}
    if SOURCES[case.source]:
        count = 3 * steps
        ticks = np.sort(rng.integers(0, steps, count))
        # A camera's recording begins with its first event.
        ticks[0] = 0
        clip["source"] = Spikes((ticks + 0.5) * CLOCK, rng.integers(0, INPUTS, count), INPUTS, duration, SENSOR)
    return clip
