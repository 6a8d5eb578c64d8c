"""Every kind of saved state: a small sound file, and what uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurosim import Link, Network, PoissonInput, Population, Projection, Simulation, Spikes, SpikeSource, Windowed
from neurosim.data import write_state


class SavedKind(NamedTuple):
    """One kind.

    Attributes:
        make: writes a sound file, or a folder whose `model.safetensors` is mutated with its `config.json`.
        use: loads a file and runs what it holds; returns numbers.
    """

    make: Callable[[Path], None]
    use: Callable[[Path], list[NDArray[Any]]]


def _network() -> tuple[Network, dict[str, Spikes]]:
    """Return a network with every form of rows, plasticity, and windowed populations, and its input."""
    from neurosim import LIF, STDP, CubaLIF, FixedNumberPre, FixedProbability
    from neurosim.learning import LateralCircuit, OnlineReadout
    from neurosim.memory import Macrocolumn, SpatialPooler, TemporalMemory
    from neurosim.network import RewardSTDP, ShortTermPlasticity, Uniform

    window = 0.005
    readout = OnlineReadout(40, 3, windows=2, lateral=LateralCircuit(rows=(4, 4)))
    memory = TemporalMemory(64, 4, activation_threshold=3, min_threshold=2)
    network = Network(
        [
            Population("in", 48, SpikeSource()),
            Population("label", 3, SpikeSource()),
            Population("a", 40, LIF(tau_mem=0.02, t_refractory=2e-3)),
            Population("b", 30, CubaLIF(tau_mem=0.02, tau_syn=5e-3, v_threshold=0.5)),
            Population("pool", 64, Windowed(SpatialPooler(40, 64, density=0.1), window)),
            Population("cells", 256, Windowed(memory, window)),
            Population("column", 32, Windowed(Macrocolumn(40, 4, 8, lateral=False), window)),
            Population("readout", readout.outputs, Windowed(readout, window)),
        ],
        [
            Projection("in", "a", FixedProbability(0.3), 0.4, delay=2e-3),
            Projection("in", "b", FixedProbability(0.1), Uniform(0.1, 0.5), delay=Uniform(1e-3, 9e-3)),
            Projection("a", "b", FixedNumberPre(5), 0.3, plasticity=STDP(w_max=0.6)),
            Projection("b", "a", FixedNumberPre(5), Uniform(-0.2, 0.2), delay=3e-3),
            Projection("a", "a", FixedNumberPre(4), 0.1, plasticity=RewardSTDP("label", w_max=0.2)),
            Projection("b", "b", FixedNumberPre(4), 0.1, short_term=ShortTermPlasticity(sites=3)),
        ],
        [PoissonInput("a", rate=300.0, weight=0.2)],
        links=[
            Link("a", "pool"),
            Link("pool", "cells"),
            Link("a", "column"),
            Link("a", "readout"),
            Link("label", "readout", "label"),
        ],
    )
    rng = np.random.default_rng(0)
    seen = Spikes.sort(rng.random(300) * 0.06, rng.integers(0, 48, 300), 48, duration=0.06)
    labels = Spikes.sort(np.array([0.004, 0.03]), np.array([0, 2]), 3, duration=0.06)
    return network, {"in": seen, "label": labels}


def _make_simulation(path: Path) -> None:
    network, inputs = _network()
    simulation = Simulation(network, inputs, clock=1e-3, seed=1, threads=1)
    simulation.run(0.03)
    simulation.save(path)


def _use_simulation(path: Path) -> list[NDArray[Any]]:
    network, inputs = _network()
    simulation = Simulation.load(path, network, inputs, threads=1)
    result = simulation.run(0.02)
    return [*(spikes.times for spikes in result.spikes.values()), *simulation.weights.values()]


def _codes(n: int, size: int = 40) -> list[Any]:
    from neurosim.memory import SDR

    return [SDR.random(size, 6, 1, k) for k in range(n)]


def _make_column(path: Path) -> None:
    from neurosim.memory import Macrocolumn
    from neurosim.memory.macrocolumn import saved

    column = Macrocolumn(40, modules=4, units=8)
    memory = column.memory()
    column.store_sequence(memory, _codes(6))
    saved.save(path, column, memory)


def _use_column(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory.macrocolumn import saved

    column, memory = saved.load(path)
    column.store_many(memory, _codes(3))
    found = column.recall_many(memory, _codes(6))
    return [found.codes, found.familiarity, column.generate(memory, _codes(1)[0], 4).codes]


def _items(n: int) -> NDArray[np.uint8]:
    return (np.random.default_rng(3).random((n, 2, 72)) < 0.1).astype(np.uint8)


def _make_recogniser(path: Path) -> None:
    from neurosim.memory import Hierarchy, Level, Recogniser, patches
    from neurosim.memory.macrocolumn import saved

    level = Level(patches((2, 6, 6), 3, 3), 3, 4)
    recogniser = Recogniser(Hierarchy(72, (level,)), frames=2, classes=3)
    memory = recogniser.memory()
    recogniser.store(memory, _items(4), np.arange(4) % 3)
    saved.save(path, recogniser, memory)


def _use_recogniser(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory.macrocolumn import saved

    recogniser, memory = saved.load(path)
    recogniser.store(memory, _items(1), np.array([1]))
    return [np.asarray(recogniser.recognise(memory, _items(2)).labels)]


def _make_hierarchy(path: Path) -> None:
    from neurosim.memory import Hierarchy, Level, patches
    from neurosim.memory.macrocolumn import saved

    level = Level(patches((2, 6, 6), 3, 3), 3, 4)
    hierarchy = Hierarchy(72, (level,))
    memory = hierarchy.memory()
    for code in _codes(4, 72):
        hierarchy.store(memory, code)
    saved.save(path, hierarchy, memory)


def _use_hierarchy(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory.macrocolumn import saved

    hierarchy, memory = saved.load(path)
    hierarchy.store(memory, _codes(1, 72)[0])
    return [np.asarray(hierarchy.recall(memory, _codes(2, 72)[1])[0].codes)]


def _make_pooler(path: Path) -> None:
    from neurosim.memory import SpatialPooler

    pooler = SpatialPooler(40, 64, density=0.1)
    for code in _codes(8):
        pooler.step(code)
    pooler.save(path)


def _use_pooler(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory import SpatialPooler

    pooler = SpatialPooler.load(path)
    return [pooler.step(code).indices for code in _codes(4, pooler.inputs if isinstance(pooler.inputs, int) else 40)]


def _pictures(n: int, inputs: int = 60) -> NDArray[np.int64]:
    return np.random.default_rng(4).integers(0, 3, (n, inputs))


def _make_patches(path: Path) -> None:
    from neurosim.memory import PatchCode

    code = PatchCode((6, 10), units=8, side=3, winners=2, pool=2)
    code.store(_pictures(5))
    code.save(path)


def _use_patches(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory import PatchCode

    code = PatchCode.load(path)
    code.store(_pictures(6, code.inputs))
    return [code.dictionary, code.encode(_pictures(3, code.inputs))]


def _make_coded(path: Path) -> None:
    from neurosim.memory import PatchCode
    from neurosim.memory.recognition.coders import PatchCoder
    from neurosim.memory.recognition.readouts import RidgeReadout
    from neurosim.memory.recognition.recogniser import CodeRecogniser

    coder = PatchCoder([PatchCode((6, 10), units=8, side=3, winners=2, pool=2)])
    recogniser = CodeRecogniser(coder, RidgeReadout(coder.features, 3))
    recogniser.store(_pictures(5)[:, None], np.arange(5) % 3)
    recogniser.save(path)


def _use_coded(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory.recognition.recogniser import CodeRecogniser

    recogniser = CodeRecogniser.load(path)
    recogniser.store(_pictures(2)[:, None], np.array([0, 1]))
    return [recogniser.recognise(_pictures(3)[:, None]).scores]


def _make_temporal(path: Path) -> None:
    from neurosim.memory import TemporalMemory

    memory = TemporalMemory(40, 4, activation_threshold=3, min_threshold=2)
    for _ in range(5):
        for code in _codes(6):
            memory.step(code)
    memory.save(path)


def _use_temporal(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory import TemporalMemory

    memory = TemporalMemory.load(path)
    return [np.array([memory.step(code) for _ in range(3) for code in _codes(6, memory.columns)])]


def _spikes() -> Any:
    from neurosim import Recordings

    rng = np.random.default_rng(2)
    parts = [Spikes.sort(rng.random(60) * 0.3, rng.integers(k % 3, 12, 60), 12, duration=0.3) for k in range(12)]
    return Recordings.collect(parts, labels=np.arange(12) % 3)


def _make_readout(path: Path) -> None:
    from neurosim.learning import Readout

    Readout(windows=2).fit(_spikes(), _spikes().labels).save(path)


def _use_readout(path: Path) -> list[NDArray[Any]]:
    from neurosim.learning import TrainedReadout

    readout = TrainedReadout.load(path)
    return [readout.scores(_spikes()), readout.predict(_spikes())]


def _training() -> tuple[Any, Any]:
    from neurosim.base.optimizers import AdamW
    from neurosim.learning import NetworkSpec, SpikingNet

    net = SpikingNet((12,), 3, NetworkSpec(hidden=(6,)), 0.01, seed=0)
    return net, AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)


def _make_training(path: Path) -> None:
    import torch

    from neurosim.learning.training.records import EpochRecord, TrainingState
    from neurosim.learning.training.saved import write_checkpoint

    net, optimiser = _training()
    net(torch.ones(4, 2, 12), torch.tensor([4, 4])).sum().backward()
    optimiser.step()
    state = TrainingState(1, 1, [EpochRecord(loss=1.0, accuracy=0.5, rate=0.1, learning_rate=1e-3)], 1, False)
    write_checkpoint(path, net, optimiser, net.state_dict(), state)


def _use_training(path: Path) -> list[NDArray[Any]]:
    import torch

    from neurosim.learning.training.saved import read_checkpoint

    net, optimiser = _training()
    best, state = read_checkpoint(path, net, optimiser)
    net(torch.ones(4, 2, 12), torch.tensor([4, 4])).sum().backward()
    optimiser.step()
    net.load_state_dict(best)
    return [*(value.detach().numpy() for value in net.state_dict().values()), np.array(len(state.history))]


def _make_net(path: Path) -> None:
    from neurosim.learning import Binning
    from neurosim.learning.training.saved import save

    save(path, _training()[0], Binning((12,), 0.01, 0.3), ("a", "b", "c"))


def _use_net(path: Path) -> list[NDArray[Any]]:
    import torch

    from neurosim.learning import EventNet
    from neurosim.learning.training.saved import load

    net, binning, _ = load(path)
    played = binning.recordings(_spikes())
    batch = binning.batch(_spikes(), np.arange(3))
    scores = net(torch.from_numpy(batch.x), torch.from_numpy(batch.lengths))
    return [scores.detach().numpy(), EventNet.of(net).scores(EventNet.of(net).run(played))]


def _make_associative(path: Path) -> None:
    from neurosim.memory import Hopfield

    Hopfield.store(np.random.default_rng(0).choice([-1, 1], (2, 20))).save(path)


def _use_associative(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory import Hopfield

    memory = Hopfield.load(path)
    return [np.asarray(memory.recall(np.random.default_rng(1).choice([-1, 1], 20)).state)]


def _signs(count: int, units: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).choice([-1, 1], (count, units))


def _make_dense(path: Path) -> None:
    from neurosim.memory import DenseHebbian

    DenseHebbian.store(_signs(3, 20, 0), 3).save(path)


def _use_dense(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory import DenseHebbian

    return [np.asarray(DenseHebbian.load(path).recall(_signs(1, 20, 1)[0]).state)]


def _make_sparse(path: Path) -> None:
    from neurosim.memory.associative.sparse import SparseDistributed

    SparseDistributed.random(50, 20, 8, p=0.1).write(_signs(3, 20, 0), _signs(3, 8, 1)).save(path)


def _use_sparse(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory.associative.sparse import SparseDistributed

    memory = SparseDistributed.load(path)
    return [memory.read(_signs(3, 20, 2)), memory.write(_signs(2, 20, 3), _signs(2, 8, 4)).content]


def _make_detector(path: Path) -> None:
    from neurosim.memory.sdr.encoders import CategoryEncoder
    from neurosim.memory.series.detector import AnomalyDetector, number_encoder

    encoders = {"value": number_encoder(0.0, 10.0), "kind": CategoryEncoder(("a", "b"), 5)}
    detector = AnomalyDetector(
        encoders, watched="value", range=(0.0, 10.0), probation=20, columns=64, cells_per_column=4
    )
    for k in range(60):
        detector.step({"value": float(k % 7), "kind": "ab"[k % 2]})
    detector.save(path)


def _use_detector(path: Path) -> list[NDArray[Any]]:
    from neurosim.memory.series.detector import AnomalyDetector

    detector = AnomalyDetector.load(path)
    records = [detector.step({"value": float(k % 5), "kind": "a"}) for k in range(20)]
    return [np.array([[each.anomaly, each.score, each.alarm, each.expected] for each in records], np.float64)]


def _trial(learner: str) -> tuple[Any, Any, Any]:
    from neurosim.app.runs.continual.trial import TrialSpec
    from neurosim.base.plain import to_plain
    from neurosim.learning.continual.learners import kind

    settings = {"macrocolumn": {"columns": 2, "modules": 3, "units": 4}, "liquid": {"neurons": 20}}.get(learner, {})
    stream = {"kind": "split", "source": "digits", "each": 5, "train_limit": 10, "test_limit": 5, "windows": 2}
    owner = kind(learner)
    spec = TrialSpec(learner, to_plain(owner.SETTINGS(**settings)), stream, 0, "test")
    spec = TrialSpec.from_dict(to_plain(spec))
    made = spec.build_stream()
    return spec, made, owner(made.problem, owner.SETTINGS(**settings))


def _make_trial(learner: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        from neurosim.app.runs.continual.trial import FORMAT, VERSION
        from neurosim.base.plain import to_plain

        spec, stream, owner = _trial(learner)
        owner.begin(stream[0])
        owner.learn(stream[0])
        matrix = np.array([[0.1, 0.1], [0.9, 0.1], [np.nan, np.nan]])
        header = {"spec": to_plain(spec), "seconds": [1.0], "work": []}
        arrays = {f"learner.{name}": array for name, array in owner.state().items()}
        write_state(path, FORMAT, VERSION, header, {**arrays, "matrix": matrix})

    return make


def _use_trial(learner: str) -> Callable[[Path], list[NDArray[Any]]]:
    def use(path: Path) -> list[NDArray[Any]]:
        from neurosim.app.runs.continual.trial import _restore

        spec, stream, owner = _trial(learner)
        _restore(path, spec, stream, owner)
        owner.begin(stream[1])
        owner.learn(stream[1])
        return [owner.predict(stream[0].test.x)]

    return use


def _make_converted(path: Path) -> None:
    import torch

    from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert, write_converted

    torch.manual_seed(0)
    mixer = MixerSpec("gated_deltanet", {"num_heads": 2, "head_dim": 4, "head_v_dim": 4})
    write_converted(path, convert(LanguageModel(LanguageConfig((mixer,), 16, 32)), Coding("ternary", k=2.0)))


def _use_converted(path: Path) -> list[NDArray[Any]]:
    import torch

    from neurosim.language import read_converted

    spiking = read_converted(path).execute()
    logits, _ = spiking.model.step(torch.tensor([1]), None)
    return [logits.detach().numpy()]


KINDS: dict[str, SavedKind] = {
    "simulation": SavedKind(_make_simulation, _use_simulation),
    "macrocolumn": SavedKind(_make_column, _use_column),
    "hierarchy": SavedKind(_make_hierarchy, _use_hierarchy),
    "recogniser": SavedKind(_make_recogniser, _use_recogniser),
    "pooler": SavedKind(_make_pooler, _use_pooler),
    "patches": SavedKind(_make_patches, _use_patches),
    "code recogniser": SavedKind(_make_coded, _use_coded),
    "temporal memory": SavedKind(_make_temporal, _use_temporal),
    "readout": SavedKind(_make_readout, _use_readout),
    "training": SavedKind(_make_training, _use_training),
    "trained network": SavedKind(_make_net, _use_net),
    "continual plain": SavedKind(_make_trial("plain"), _use_trial("plain")),
    "continual macrocolumn": SavedKind(_make_trial("macrocolumn"), _use_trial("macrocolumn")),
    "continual liquid": SavedKind(_make_trial("liquid"), _use_trial("liquid")),
    "converted model": SavedKind(_make_converted, _use_converted),
    "Hopfield": SavedKind(_make_associative, _use_associative),
    "dense Hebbian": SavedKind(_make_dense, _use_dense),
    "sparse distributed": SavedKind(_make_sparse, _use_sparse),
    "anomaly detector": SavedKind(_make_detector, _use_detector),
}
