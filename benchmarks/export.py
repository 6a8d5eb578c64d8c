"""A trained network event by event, one recording at a time, against the same network as a dense loop over steps.

    NEUROSIM_DATA=FOLDER python benchmarks/export.py [--epochs 4] [--json]

Both run N-MNIST-800/100's test recordings (where NEUROSIM_DATA has N-MNIST whole: its first 100) on one thread, and are
given them as they like best: the engine as events, the loops as tensors [steps, 1, units]. Each row is one design,
trained for a few epochs so that it is as active as a trained network is. The loops are plain torch, which computes the
same spikes, and snnTorch's `Leaky`. `whole recording` is neurosim.learning.layers, all steps of a recording at once,
which a stream of events does not allow. Milliseconds a recording, the median over passes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import frame
import numpy as np
import torch
from torch import nn

from neurosim import Recordings
from neurosim.data import catalog
from neurosim.learning import Augment, Binning, EventNet, NetworkSpec, SpikingNet, Trainer, TrainingSpec
from neurosim.learning.training.scoring import scores

PASSES = 5
DESIGNS = {
    "2312-256-256-10": (NetworkSpec(hidden=(256, 256)), Binning((2, 34, 34), 0.005, 0.31)),
    "2312-512-10": (NetworkSpec(hidden=(512,)), Binning((2, 34, 34), 0.005, 0.31)),
    "17x17 conv 16, 128, 10": (NetworkSpec(filters=(16,), hidden=(128,)), Binning((2, 34, 34), 0.005, 0.31, pool=2)),
}


def trained(design: NetworkSpec, binning: Binning, train: Recordings, epochs: int) -> SpikingNet:
    net = SpikingNet(binning.shape, len(train.classes), design, binning.dt)
    schedule = TrainingSpec(epochs=epochs, learning_rate=2e-3, sparsity=0.3)
    Trainer(net, binning, train, None, schedule, Augment(shift=1.0)).run()
    net.round_for_exact_sums(binning.max_count)
    return net


@torch.no_grad()
def dense_loop(net: SpikingNet, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Spikes of each layer [steps, 1, units] and the mean membrane, step by step in plain torch: LIF, subtracting."""
    layers = []
    for block in net.layers:
        alpha = torch.exp(-net.dt / block.neurons.tau_mem()).float()
        layers.append([_layer(block.connection), alpha, torch.zeros(1, block.connection.units)])
    found: list[list[torch.Tensor]] = [[] for _ in net.blocks]
    total = torch.zeros(1, net.classes)
    for step in x:
        s = step
        for k, layer in enumerate(layers):
            joint, alpha, v = layer
            v = alpha * v + joint(s)
            if k < len(net.blocks):
                fired = (v > 1).float()
                v = v - fired
                found[k].append(fired)
                s = fired
            layer[2] = v
        total += v
    return [torch.stack(spikes) for spikes in found], total / len(x)


def snntorch_loop(net: SpikingNet) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same layers with snnTorch's neurons (whose reset comes a step later: other spikes, the same work)."""
    import snntorch

    joints = [_layer(block.connection) for block in net.layers]
    betas = [float(torch.exp(-net.dt / block.neurons.tau_mem())) for block in net.layers]
    kinds = ["subtract"] * len(net.blocks) + ["none"]
    cells = [snntorch.Leaky(beta=beta, reset_mechanism=kind) for beta, kind in zip(betas, kinds, strict=True)]

    @torch.no_grad()
    def run(x: torch.Tensor) -> torch.Tensor:
        states = [cell.init_leaky() for cell in cells]
        total = torch.zeros(1, net.classes)
        for step in x:
            s = step
            for k, (joint, cell) in enumerate(zip(joints, cells, strict=True)):
                s, states[k] = cell(joint(s), states[k])
            total += states[-1]
        return total / len(x)

    return run


def _layer(joint: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    if hasattr(joint, "linear"):
        linear = nn.Linear(joint.linear.in_features, joint.units, bias=False)
        linear.weight = nn.Parameter(joint.linear.weight.detach().contiguous())
        return linear
    kernel = joint.kernel.detach()
    before = joint.before
    return lambda s: nn.functional.conv2d(s.reshape(-1, *before), kernel, stride=joint.stride).flatten(1)


def each(run: Callable[[torch.Tensor], object], tensors: list[torch.Tensor]) -> float:
    """ms a recording, one after another."""
    for x in tensors[:3]:
        run(x)
    times = [frame.seconds(lambda: [run(x) for x in tensors]) / len(tensors) for _ in range(PASSES)]
    return 1e3 * statistics.median(times)


def row(name: str, train: Recordings, test: Recordings, epochs: int) -> dict[str, object]:
    design, binning = DESIGNS[name]
    net = trained(design, binning, train, epochs)
    event = EventNet.of(net, binning.max_count)
    played = binning.recordings(test)
    event.run(played.select(range(2)), threads=1)
    runs = [event.run(played, threads=1) for _ in range(PASSES)]
    engine = 1e3 * statistics.median(run.run_s for run in runs) / len(test)
    tensors = []
    for k in range(len(test)):
        batch = binning.batch(test, np.array([k]))
        tensors.append(torch.from_numpy(batch.x))
    same = True
    for k, x in enumerate(tensors):
        for layer, spikes in enumerate(dense_loop(net, x)[0]):
            grid = event.spikes(runs[0], layer)[k].to_grid(binning.dt)
            same &= bool(np.array_equal(grid, spikes[:, 0].numpy()))
    loop = each(lambda x: dense_loop(net, x), tensors)
    with torch.no_grad():
        whole = each(net, tensors)
    spikes = sum(len(event.spikes(runs[0], k).ticks) for k in range(len(net.blocks)))
    return {
        "network": name,
        "accuracy": float((scores(net, binning, test).argmax(axis=1) == test.labels).mean()),
        "identical": same,
        "steps": float(np.mean([len(x) for x in tensors])),
        "events": len(played.ticks) / len(test),
        "spikes": spikes / len(test),
        "engine_ms": engine,
        "torch_ms": loop,
        "snntorch_ms": each(snntorch_loop(net), tensors),
        "whole_recording_ms": whole,
    }


def table(rows: list[dict]) -> list[str]:
    heads = ("engine", "torch loop", "snnTorch loop", "whole recording", "torch / engine", "same spikes", "accuracy")
    cells = []
    for r in rows:
        times = [f"{r[key]:.3f}" for key in ("engine_ms", "torch_ms", "snntorch_ms", "whole_recording_ms")]
        cells.append(
            [r["network"], *times, f"{r['torch_ms'] / r['engine_ms']:.1f}", r["identical"], f"{r['accuracy']:.3f}"]
        )
    return frame.table(["ms a recording", *heads], cells)


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--only", choices=list(DESIGNS), action="append", help="repeatable")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (catalog.load("nmnist", split) for split in ("train", "test"))
    train = train.select(range(min(800, len(train))))
    test = test.select(range(min(100, len(test))))
    rows = [row(name, train, test, options.epochs) for name in options.only or DESIGNS]
    frame.report(options, table(rows), {"rows": rows})


if __name__ == "__main__":
    main()
