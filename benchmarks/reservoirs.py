"""A liquid, an echo-state network and reservoirpy on the same series, at equal size: errors, memory and operations.

    python benchmarks/reservoirs.py [--neurons 400] [--values 5000] [--seeds 3] [--series mackey-glass ...] [--json]

Forecasts of Mackey-Glass and Lorenz from their own past, and NARMA-10 from its input, by ridge regression on the states
and the present input; the penalty is chosen on the last fifth of the training part, as `neurosim series` does. Errors
are root mean squares in standard deviations of the test part (NRMSE). The liquid has the settings of `neurosim series`,
the same for all series; in a second row its readout sees the last 20 values, not the last alone.

The echo-state network (Jaeger 2001) is x' = (1 - a) x + a tanh(W x + s w u + b), W with a tenth of all connections; for
each series and seed the spectral radius of W, the leak a and the scale s are those of 18 with the smallest error on
that last fifth, a choice that the liquid does not have. reservoirpy, in .venv-peers (`make peers`), gets these
settings, and chooses its penalties in the same way.

Operations a value: additions of weights into state (liquid), multiply-accumulates of states and input (echo-state
network); readouts apart, which are alike. Memory capacity: the sum over 50 lags of squared correlations with random
values, as `neurosim.learning.liquid.series.memory_capacity`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import frame
import numpy as np
from numpy.typing import NDArray

from neurosim import __version__
from neurosim.app.runs.series.config import ForecastSeries, SeriesConfig
from neurosim.app.runs.series.run import GAIN_VALUES, series_liquid
from neurosim.data.standard_series import STANDARD, standard_series
from neurosim.learning.liquid.regression import RidgeRegression, ahead, lagged, normalised_error
from neurosim.learning.liquid.series import MAX_LAG, MEMORY_VALUES, kernel_ranks, memory_capacity, squared_correlation

HERE = Path(__file__).resolve().parent
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
RADII = (0.8, 0.95, 1.1)
LEAKS = (0.3, 1.0)
SCALES = (0.1, 0.5, 1.5)
SHARE = 0.1  # of connections of an echo-state network
VALIDATION = 0.2


@dataclass(frozen=True)
class EchoState:
    """An echo-state network of `units` units.

    Attributes:
        radius: largest |eigenvalue| of the recurrent weights.
        leak: share of a state that is new.
        scale: of the input weights.
        seed: of the weights.
    """

    units: int
    radius: float = 0.95
    leak: float = 1.0
    scale: float = 0.5
    seed: int = 0

    def weights(self) -> tuple[NDArray, NDArray, NDArray]:
        """Return the recurrent weights [units, units], those of the input and the biases [units]."""
        rng = np.random.default_rng(self.seed)
        recurrent = rng.normal(size=(self.units, self.units)) * (rng.random((self.units, self.units)) < SHARE)
        recurrent *= self.radius / np.abs(np.linalg.eigvals(recurrent)).max()
        return recurrent, self.scale * rng.uniform(-1, 1, self.units), 0.2 * rng.uniform(-1, 1, self.units)

    def states(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [values, units] states, the values having mean 0 and deviation 1."""
        from scipy.sparse import csr_array

        recurrent, inputs, bias = self.weights()
        recurrent = csr_array(recurrent)
        x = np.zeros(self.units)
        out = np.empty((len(values), self.units))
        for t, value in enumerate(values):
            x = (1 - self.leak) * x + self.leak * np.tanh(recurrent @ x + inputs * value + bias)
            out[t] = x
        return out

    @property
    def operations(self) -> float:
        """Multiply-accumulates a value."""
        return SHARE * self.units**2 + self.units


@dataclass(frozen=True, eq=False)
class Task:
    """A series with its parts: [washout, end) trains, [begin, last) tests."""

    name: str
    values: NDArray[np.float64]
    targets: NDArray[np.float64]
    horizons: tuple[int, ...]
    own: bool
    washout: int
    end: int
    begin: int
    last: int

    @classmethod
    def of(cls, name: str, values: int, seed: int) -> Task:
        series = standard_series(name, values, seed)
        settings = ForecastSeries(name=name)
        begin = round(settings.train * values)
        most = max(series.horizons)
        targets = ahead(series.target, series.horizons)
        own = np.array_equal(series.inputs[:, 0], series.target)
        return cls(
            name, series.inputs, targets, series.horizons, own, settings.washout, begin - most, begin, values - most
        )

    @property
    def standardised(self) -> NDArray[np.float64]:
        train = self.values[: self.begin]
        standard: NDArray[np.float64] = ((self.values - train.mean(axis=0)) / train.std(axis=0))[:, 0]
        return standard

    @property
    def cut(self) -> int:
        """Begin of the validation part, the last fifth of the training part."""
        return self.end - round(VALIDATION * (self.end - self.washout))

    def errors(self, states: NDArray) -> NDArray[np.float64]:
        """Return [horizons] errors on the test part."""
        whole = np.concatenate([states, self.values], axis=1)
        trained = RidgeRegression().fit(whole[self.washout : self.end], self.targets[self.washout : self.end])
        predicted = trained.predict(whole[self.begin : self.last])
        return normalised_error(predicted, self.targets[self.begin : self.last])

    def validated(self, states: NDArray) -> float:
        """Return the mean logarithm of the errors on the last fifth of the training part, of a fit to the others."""
        whole = np.concatenate([states, self.values], axis=1)
        cut = self.cut
        trained = RidgeRegression().fit(whole[self.washout : cut], self.targets[self.washout : cut])
        errors = normalised_error(trained.predict(whole[cut : self.end]), self.targets[cut : self.end])
        return float(np.log(errors).mean())


def liquid(task: Task, neurons: int, seed: int) -> dict[str, Any]:
    """Return errors, operations, spikes and seconds of the liquid."""
    config = SeriesConfig(seed=seed, series=ForecastSeries(name=task.name))
    config = replace(config, liquid=replace(config.liquid, neurons=neurons))
    own = series_liquid(config, task.values[: task.begin]).adapt(task.values[:GAIN_VALUES])
    start = time.perf_counter()
    result = own.run(task.values[None])
    states = own.states(result.recordings("liquid"))[0]
    spent = time.perf_counter() - start
    count = len(task.values)
    more = np.concatenate([states, lagged(task.values, ForecastSeries(name=task.name).lags)], axis=1)
    return {
        "errors": task.errors(states).tolist(),
        "errors, 20 values": task.errors(more).tolist(),
        "operations": sum(layer.synaptic_operations for layer in result.work) / count,
        "spikes": len(result.recordings("liquid").ticks) / count,
        "ms": 1e3 * spent / count,
    }


def echo_state(task: Task, units: int, seed: int) -> tuple[dict[str, Any], EchoState]:
    """Return errors, operations and seconds of the echo-state network chosen on the validation part."""
    values = task.standardised
    best = None
    for radius, leak, scale in product(RADII, LEAKS, SCALES):
        network = EchoState(units, radius, leak, scale, seed)
        score = task.validated(network.states(values))
        if best is None or score < best[0]:
            best = score, network
    assert best is not None
    network = best[1]
    start = time.perf_counter()
    states = network.states(values)
    spent = time.perf_counter() - start
    errors = task.errors(states)
    return {"errors": errors.tolist(), "operations": network.operations, "ms": 1e3 * spent / len(values)}, network


def baselines(task: Task) -> dict[str, Any]:
    """Return the errors of a linear autoregression of 20 values and of the last value."""
    rows = lagged(task.values, ForecastSeries(name=task.name).lags)
    trained = RidgeRegression().fit(rows[task.washout : task.end], task.targets[task.washout : task.end])
    tested = task.targets[task.begin : task.last]
    found = {"linear": normalised_error(trained.predict(rows[task.begin : task.last]), tested).tolist()}
    if task.own:
        last = np.repeat(task.values[task.begin : task.last], len(task.horizons), axis=1)
        found["last"] = normalised_error(last, tested).tolist()
    return found


def peers(cases: dict[str, tuple[Task, EchoState]]) -> dict[str, Any]:
    """Return what reservoirpy gives for the same settings; {} where it is not installed."""
    if not PEERS_PYTHON.is_file():
        frame.say("reservoirpy: no .venv-peers; run `make peers`")
        return {}
    arrays = {}
    for name, (task, network) in cases.items():
        arrays[f"{name}/input"] = task.standardised[:, None]
        arrays[f"{name}/targets"] = task.targets
        settings = [network.units, network.radius, network.leak, network.scale, SHARE, network.seed]
        arrays[f"{name}/settings"] = np.array(settings, np.float64)
        arrays[f"{name}/parts"] = np.array([task.washout, task.cut, task.end, task.begin, task.last])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "series.npz")
        np.savez(path, **arrays)
        command = [str(PEERS_PYTHON), str(HERE / "peers" / "run_reservoirpy.py"), str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        frame.say(f"reservoirpy: {done.stderr.strip().splitlines()[-1]}")
        return {}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def echo_state_memory(units: int, seed: int) -> float:
    """Return the memory capacity of an echo-state network with a weak input, whose memory is longest."""
    u = np.random.default_rng(seed).uniform(-1, 1, MEMORY_VALUES)
    states = EchoState(units, 0.95, 1.0, 0.1, seed).states(u)
    rows = np.stack([u[MAX_LAG - k : MEMORY_VALUES - k] for k in range(1, MAX_LAG + 1)], axis=1)
    begin = MEMORY_VALUES * 3 // 4 - MAX_LAG
    x = states[MAX_LAG:]
    trained = RidgeRegression().fit(x[:begin], rows[:begin])
    return float(squared_correlation(trained.predict(x[begin:]), rows[begin:]).sum())


def main(argv: list[str] | None = None) -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("--neurons", type=int, default=400, help="neurons, and units (default 400)")
    parser.add_argument("--values", type=int, default=5000, help="of each series (default 5000)")
    parser.add_argument("--series", nargs="*", default=list(STANDARD), help="names (default all)")
    options = parser.parse_args(argv)
    lines: list[str] = []
    found: dict[str, Any] = {}
    cases: dict[str, tuple[Task, EchoState]] = {}
    for name in options.series:
        every: dict[str, list[dict[str, Any]]] = {"liquid": [], "echo-state network": []}
        tasks = [Task.of(name, options.values, seed) for seed in range(options.seeds)]
        for seed, task in enumerate(tasks):
            every["liquid"].append(liquid(task, options.neurons, seed))
            result, network = echo_state(task, options.neurons, seed)
            every["echo-state network"].append(result)
            cases[f"{name} {seed}"] = task, network
            frame.say(f"{name}, seed {seed}: done")
        plain = [baselines(task) for task in tasks]
        found[name] = {"horizons": tasks[0].horizons, **every, "baselines": plain}
    peer = peers(cases)
    for name in options.series:
        own = found[name]
        if peer:
            each = [peer["series"][f"{name} {seed}"] for seed in range(options.seeds)]
            own["reservoirpy"] = [
                {"errors": run["errors"], "ms": 1e3 * run["seconds"] / options.values} for run in each
            ]
        lines += ["", *_table(name, own)]
    memory = {"liquid": [], "echo-state network": [], "kernel rank": [], "generalisation rank": []}
    for seed in range(options.seeds):
        config = SeriesConfig(seed=seed, series=ForecastSeries(name="lorenz"))
        config = replace(config, liquid=replace(config.liquid, neurons=options.neurons))
        bare = series_liquid(config, np.array([[-1.0], [1.0]]))
        memory["liquid"].append(float(memory_capacity(bare, seed=seed).sum()))
        ranks = kernel_ranks(bare, seed=seed)
        memory["kernel rank"].append(ranks.kernel)
        memory["generalisation rank"].append(ranks.generalisation)
        memory["echo-state network"].append(echo_state_memory(options.neurons, seed))
    lines += ["", "memory capacity of 50 lags, and ranks of the liquid of at most 200 states"]
    lines += frame.table(("", "mean", "seeds"), [(key, f"{np.mean(v):.1f}", _several(v)) for key, v in memory.items()])
    found["memory"] = memory
    frame.report(options, lines, {"neurosim": __version__, "reservoirpy": peer.get("version"), **found})


def _table(name: str, own: dict[str, Any]) -> list[str]:
    rows = []
    for kind in ("liquid", "echo-state network", "reservoirpy"):
        if kind in own:
            runs = own[kind]
            errors = np.mean([run["errors"] for run in runs], axis=0)
            cost = [f"{np.mean([run[key] for run in runs]):,.3g}" if key in runs[0] else "-" for key in COSTS]
            rows.append((kind, *(f"{error:.3g}" for error in errors), *cost))
            if "errors, 20 values" in runs[0]:
                errors = np.mean([run["errors, 20 values"] for run in runs], axis=0)
                rows.append((f"{kind}, 20 values", *(f"{error:.3g}" for error in errors), "", "", ""))
    for kind in ("linear", "last"):
        if kind in own["baselines"][0]:
            errors = np.mean([run[kind] for run in own["baselines"]], axis=0)
            rows.append(
                (f"{kind} value" if kind == "last" else "linear, 20 values", *(f"{e:.3g}" for e in errors), "", "", "")
            )
    heads = (name, *(f"{horizon} ahead" for horizon in own["horizons"]), "operations", "spikes", "ms")
    return frame.table(heads, rows)


COSTS = ("operations", "spikes", "ms")


def _several(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


if __name__ == "__main__":
    main()
