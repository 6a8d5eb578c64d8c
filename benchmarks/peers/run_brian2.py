"""Run one workload with Brian2 and print its figures.

Where Brian2's habits differ from the conventions of `description`, they are changed here:

- Brian2 stamps a spike with the start of its step, one dt before ours.
- Its synapses act after the threshold test; here before it, so that a delta synapse can fire its target at once. A
  spike then reaches the queue in the step after it, and every delay is given one step shorter.
- It counts the step of the spike as the first refractory one; one more is asked for.
- `PoissonInput` adds to v in the refractory period too, so the drive is drawn by `poisson()` instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import brian2 as b
import numpy as np
import protocol
from description import (
    InDegree,
    Neuron,
    Normal,
    Pairs,
    Probability,
    Projection,
    Source,
    Stdp,
    Total,
    Uniform,
    Value,
    Workload,
)

DEVICES = ("cpp_standalone", "cython", "numpy")
SCHEDULE = ["start", "groups", "synapses", "thresholds", "resets", "end"]
POTENTIAL = "dv/dt = (v_leak - v + r * (bias{})) / tau_mem : 1 (unless refractory)\nbias : 1 (constant)\n"
CURRENT = "di{0}/dt = -i{0} / tau_{0} : 1\n"
CONDUCTANCE = "dg{0}/dt = -g{0} / tau_{0} : 1\n"
EQUATIONS = {
    "delta": POTENTIAL.format(""),
    "exponential": POTENTIAL.format(" + iexc + iinh") + CURRENT.format("exc") + CURRENT.format("inh"),
    # One current does for both where they decay alike.
    "one current": POTENTIAL.format(" + iexc") + CURRENT.format("exc"),
    "conductance": POTENTIAL.format(" + gexc * (e_exc - v) + ginh * (e_inh - v)")
    + CONDUCTANCE.format("exc")
    + CONDUCTANCE.format("inh"),
}
METHOD = {"delta": "exact", "exponential": "exact", "one current": "exact", "conductance": "exponential_euler"}
# What a spike of weight w does to its target, by synapse and by whether it inhibits.
JUMP = {
    ("delta", False): "v{0} += {1} * int(not_refractory{0})",
    ("delta", True): "v{0} += {1} * int(not_refractory{0})",
    ("exponential", False): "iexc{0} += {1}",
    ("exponential", True): "iinh{0} += {1}",
    ("one current", False): "iexc{0} += {1}",
    ("one current", True): "iexc{0} += {1}",
    ("conductance", False): "gexc{0} += {1}",
    ("conductance", True): "ginh{0} -= {1}",
}


TRACES = """
w : 1
dapre/dt = -apre / tau_plus : 1 (event-driven)
dapost/dt = -apost / tau_minus : 1 (event-driven)
"""
ON_PRE = "\nw = clip(w - a_minus * w * apost, 0, w_max)\napre += 1"
ON_POST = "w = clip(w + a_plus * (w_max - w) * apre, 0, w_max)\napost += 1"


def learning(rule: Stdp, form: str) -> tuple[str, str, dict[str, object]]:
    """Equations, what an arrival does, and the numbers in both."""
    namespace: dict[str, object] = {name: getattr(rule, name) for name in ("w_max", "a_plus", "a_minus")}
    namespace |= {name: getattr(rule, name) * b.second for name in ("tau_plus", "tau_minus")}
    return TRACES, JUMP[form, False].format("_post", "w") + ON_PRE, namespace


def form_of(neuron: Neuron) -> str:
    alike = neuron.synapse == "exponential" and neuron.tau_exc == neuron.tau_inh
    return "one current" if alike else neuron.synapse


class Form(NamedTuple):
    """Equations of synapses, what an arrival does, and further arguments of `b.Synapses`."""

    model: str
    on_pre: str
    further: dict[str, object]


class Model:
    """The populations as slices of one group: they may differ in their bias only."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.workload = workload
        self.rng = np.random.default_rng(seed)
        self.neuron = workload.populations[0].neuron
        for p in workload.populations:
            if replace(p.neuron, bias=0.0) != replace(self.neuron, bias=0.0):
                raise SystemExit(f"{workload.name}: populations of several neuron models need a group each")
        self.form = form_of(self.neuron)
        ends = np.cumsum([0, *(p.size for p in workload.populations)])
        self.slices = {
            p.name: (int(a), int(z)) for p, a, z in zip(workload.populations, ends[:-1], ends[1:], strict=True)
        }
        self.group = self.create_group()
        self.monitor = b.SpikeMonitor(self.group)
        self.sources = {s.name: self.create_source(s) for s in workload.sources}
        self.synapses = [self.connect(p, posts) for p, posts in merged(workload)]
        self.synapses += self.connect_totals()
        self.drives = [self.drive(d.post, d.sources * d.rate * workload.dt, d.weight) for d in workload.drives]

    def create_group(self) -> b.NeuronGroup:
        n = self.neuron
        dt = self.workload.dt
        names = ("r", "v_leak", "v_threshold", "v_reset", "e_exc", "e_inh")
        namespace = {name: getattr(n, name) for name in names}
        namespace |= {name: getattr(n, name) * b.second for name in ("tau_mem", "tau_exc", "tau_inh")}
        group = b.NeuronGroup(
            self.workload.neurons,
            EQUATIONS[self.form],
            threshold="v >= v_threshold",
            reset="v = v_reset",
            refractory=(n.refractory + dt) * b.second,
            method=METHOD[self.form],
            namespace=namespace,
        )
        group.v = np.concatenate([self.draw(p.v0, p.size) for p in self.workload.populations])
        group.bias = np.repeat(
            [p.neuron.bias for p in self.workload.populations], [p.size for p in self.workload.populations]
        )
        return group

    def create_source(self, source: Source) -> b.SpikeGeneratorGroup:
        times = (source.steps - 1) * self.workload.dt * b.second
        return b.SpikeGeneratorGroup(source.size, source.units, times)

    def part(self, name: str) -> b.Group:
        """The slice of a population, or a source."""
        if name in self.sources:
            return self.sources[name]
        return self.group[slice(*self.slices[name])]

    def connect(self, p: Projection, posts: tuple[str, ...]) -> b.Synapses:
        first = self.slices[posts[0]][0]
        last = self.slices[posts[-1]][1]
        whole = (first, last) == (0, self.workload.neurons)
        post = self.group if whole else self.group[first:last]
        form = self.form_of_synapses(p)
        synapses = b.Synapses(self.part(p.pre), post, form.model, on_pre=form.on_pre, **form.further)
        rule = p.rule
        if isinstance(rule, InDegree):
            synapses.connect(**self.in_degree(rule.n, len(synapses.source), len(post)))
        elif isinstance(rule, Probability):
            synapses.connect(p=rule.p)
        else:
            synapses.connect(i=rule.sources, j=rule.targets)
        if isinstance(p.weight, Normal):
            synapses.w = expression(p.weight)
        elif p.stdp or not isinstance(p.weight, float):
            synapses.w = p.weight
        if p.stdp:
            synapses.post.when = "after_thresholds"
        synapses.pre.delay = (np.asarray(p.delay) - self.workload.dt) * b.second
        return synapses

    def form_of_synapses(self, p: Projection) -> Form:
        """Return plastic synapses, one weight for all of them, or a weight for each."""
        if p.stdp:
            model, on_pre, namespace = learning(p.stdp, self.form)
            return Form(model, on_pre, {"namespace": namespace, "on_post": ON_POST})
        jump = JUMP[self.form, p.inhibitory]
        if isinstance(p.weight, float):
            return Form("", jump.format("_post", "weight"), {"namespace": {"weight": p.weight}})
        return Form("w : 1 (constant)", jump.format("_post", "w"), {"namespace": {}})

    def in_degree(self, n: int, sources: int, targets: int) -> dict[str, np.ndarray]:
        """Ordered by source: each spike then walks along its synapses, for Brian2 numbers them in this order."""
        i = self.rng.integers(sources, size=n * targets, dtype=np.int32)
        order = np.argsort(i, kind="stable")
        return {"i": i[order], "j": np.repeat(np.arange(targets, dtype=np.int32), n)[order]}

    def connect_totals(self) -> Iterator[b.Synapses]:
        """All projections of a total number as two sets of arrays, exciting and inhibiting: two objects, not 64."""
        for inhibitory in (False, True):
            chosen = [p for p in self.workload.projections if isinstance(p.rule, Total) and p.inhibitory == inhibitory]
            if not chosen:
                continue
            columns = [np.concatenate(part) for part in zip(*map(self.total_arrays, chosen), strict=True)]
            order = np.argsort(columns[0], kind="stable")
            columns = [column[order] for column in columns]
            synapses = b.Synapses(
                self.group, self.group, "w : 1 (constant)", on_pre=JUMP[self.form, inhibitory].format("_post", "w")
            )
            synapses.connect(i=columns[0], j=columns[1])
            synapses.w = columns[2]
            synapses.delay = columns[3] * b.second
            yield synapses

    def total_arrays(self, p: Projection) -> tuple[np.ndarray, ...]:
        """Sources, targets, weights and Brian2's delays of one projection."""
        n = p.rule.n
        dt = self.workload.dt
        ends = (self.rng.integers(*self.slices[name], size=n, dtype=np.int32) for name in (p.pre, p.post))
        delays = np.maximum(np.rint(self.draw(p.delay, n) / dt), 1) - 1
        return (*ends, self.draw(p.weight, n), delays * dt)

    def drive(self, post: str, mean: float, weight: float) -> b.CodeRunner:
        jump = JUMP[self.form, weight < 0].format("", f"{weight!r} * poisson({mean!r})")
        return self.part(post).run_regularly(jump, when="synapses")

    def draw(self, value: Value, n: int) -> np.ndarray:
        if isinstance(value, Uniform):
            return self.rng.uniform(value.low, value.high, n)
        if not isinstance(value, Normal):
            return np.full(n, value)
        drawn = self.rng.normal(value.mean, value.sd, n)
        while (bad := (drawn < value.low) | (drawn > value.high)).any():
            drawn[bad] = self.rng.normal(value.mean, value.sd, bad.sum())
        return drawn

    def network(self) -> b.Network:
        objects = [self.group, self.monitor, *self.sources.values(), *self.synapses, *self.drives]
        net = b.Network(*objects)
        net.schedule = SCHEDULE
        return net

    def trains(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        steps = np.rint(np.asarray(self.monitor.t / b.second) / self.workload.dt).astype(np.int64) + 1
        units = np.asarray(self.monitor.i)
        order = np.lexsort((units, steps))
        steps = steps[order]
        units = units[order]
        inside = {name: (units >= a) & (units < z) for name, (a, z) in self.slices.items()}
        return {name: (steps[k], units[k] - self.slices[name][0]) for name, k in inside.items()}


def merged(workload: Workload) -> list[tuple[Projection, tuple[str, ...]]]:
    """Projections that differ in their target only become one object over neighbouring populations: it is faster.

    Projections of a total number are left out: see `Model.connect_totals`.
    """
    found: dict[object, tuple[Projection, list[str]]] = {}
    for index, p in enumerate(workload.projections):
        if isinstance(p.rule, Total):
            continue
        if isinstance(p.rule, Pairs) or p.stdp:
            key = index
        else:
            key = (p.pre, p.rule, p.weight, p.delay)
        found.setdefault(key, (p, []))[1].append(p.post)
    return [(p, tuple(posts)) for p, posts in found.values()]


def expression(value: Normal) -> str:
    """Clipped, not redrawn: the limits lie ten standard deviations off."""
    return f"clip({value.mean!r} + {value.sd!r} * randn(), {max(value.low, -1e9)!r}, {min(value.high, 1e9)!r})"


class PeakOfChild(threading.Thread):
    """Watches the largest resident size that a child process named `main`, Brian2's binary, reaches."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        children = Path("/proc/self/task")
        while not self.done.wait(0.02):
            for pid in {pid for f in children.glob("*/children") for pid in f.read_text().split()}:
                self.look(Path("/proc") / pid)

    def look(self, process: Path) -> None:
        try:
            lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        except OSError:
            return  # it has just ended
        if lines["Name"].strip() == "main" and "VmHWM" in lines:
            self.peak = max(self.peak, int(lines["VmHWM"].split()[0]) / 1024)


def run_standalone(
    chosen: argparse.Namespace, workload: Workload, grid: protocol.Grid, folder: str
) -> tuple[dict[str, object], protocol.Trains]:
    start = time.perf_counter()
    b.set_device("cpp_standalone", build_on_run=False)
    # 0 is Brian2's plain loop; 1 would still go through OpenMP.
    if chosen.threads > 1:
        b.prefs.devices.cpp_standalone.openmp_threads = chosen.threads
    else:
        b.prefs.devices.cpp_standalone.openmp_threads = 0
    b.seed(chosen.seed)
    b.defaultclock.dt = workload.dt * b.second
    model = Model(workload, chosen.seed)
    net = model.network()
    for steps in (grid.warmup, grid.timed):
        if steps:
            net.run(steps * workload.dt * b.second)
    b.device.build(directory=folder, compile=True, run=False)
    watch = PeakOfChild()
    watch.start()
    with protocol.Stretch() as sim:
        b.device.run(folder, with_output=False)
    watch.done.set()
    total = time.perf_counter() - start
    sim.wall = b.device._last_run_time  # the second `run` alone; connecting and the warm-up belong to the build
    trains = protocol.after(model.trains(), grid)
    return protocol.result(workload, grid, total - sim.wall, sim, trains, peak=watch.peak), trains


def run_here(
    chosen: argparse.Namespace, workload: Workload, grid: protocol.Grid
) -> tuple[dict[str, object], protocol.Trains]:
    start = time.perf_counter()
    b.prefs.codegen.target = chosen.device
    b.seed(chosen.seed)
    b.defaultclock.dt = workload.dt * b.second
    model = Model(workload, chosen.seed)
    net = model.network()
    net.run(grid.warmup * workload.dt * b.second)
    build_s = time.perf_counter() - start
    with protocol.Stretch() as sim:
        net.run(grid.timed * workload.dt * b.second)
    trains = protocol.after(model.trains(), grid)
    return protocol.result(workload, grid, build_s, sim, trains), trains


def run(
    chosen: argparse.Namespace, workload: Workload, grid: protocol.Grid
) -> tuple[dict[str, object], protocol.Trains]:
    if chosen.device != "cpp_standalone":
        return run_here(chosen, workload, grid)
    with tempfile.TemporaryDirectory() as folder:
        return run_standalone(chosen, workload, grid, folder)


if __name__ == "__main__":
    protocol.main(run, DEVICES)
