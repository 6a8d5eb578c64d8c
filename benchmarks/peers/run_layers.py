"""Times one library on one spiking layer, forward and backward, and prints its figures as JSON.

    python run_layers.py LIBRARY WORKLOAD [--units 512] [--steps 500] [--batch 16] [--threads 2] [--repeats 7]

LIBRARY: neurosim, snntorch, spikingjelly (torch backend, multi-step mode) or norse (LIFBox); each runs where it is
installed. WORKLOAD: "layer", a linear layer of `units` to `units` from spikes of density .05 with leaky
integrate-and-fire neurons behind; or "neurons", those alone, on a given current. All have a decay of .95 a step, a
threshold of 1, a detached reset to zero, an arctan surrogate (norse: its own "super"), and the same input, weights
and gradient of the spikes. In "layer" the weights get gradients, in "neurons" the current does.

Peak memory is how far the resident set rises above where it stood when input, weights and gradient were in place; one
pass has been made before, so that code and buffers that stay are not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

DECAY = 0.95
THRESHOLD = 1.0
DENSITY = 0.05
# Input current: spikes come at about .03 a step.
SPREAD = 0.25
Net = Callable[[Tensor], Tensor]


def neurosim(units: int, weight: Tensor | None) -> tuple[Net, list[nn.Parameter]]:
    from neurosim.learning import LIFLayer, SpikeLinear

    neurons = LIFLayer(units, tau_mem=-1e-3 / math.log(DECAY), reset="zero")
    if weight is None:
        return lambda x: neurons(x)[0], []
    linear = SpikeLinear(units, units, bias=False)
    with torch.no_grad():
        linear.weight.copy_(weight)
    return lambda x: neurons(linear(x))[0], [linear.weight]


def snntorch(units: int, weight: Tensor | None) -> tuple[Net, list[nn.Parameter]]:
    import snntorch as snn

    neurons = snn.Leaky(beta=DECAY, threshold=THRESHOLD, reset_mechanism="zero", spike_grad=snn.surrogate.atan())
    linear = plain(units, weight)

    def run(x: Tensor) -> Tensor:
        current = x if linear is None else linear(x)
        mem = torch.zeros_like(x[0])
        out = []
        for row in current:
            spikes, mem = neurons(row, mem)
            out.append(spikes)
        return torch.stack(out)

    return run, [] if linear is None else [linear.weight]


def spikingjelly(units: int, weight: Tensor | None) -> tuple[Net, list[nn.Parameter]]:
    from spikingjelly.activation_based import functional, neuron, surrogate

    tau = 1 / (1 - DECAY)
    neurons = neuron.LIFNode(tau, False, THRESHOLD, 0.0, surrogate.ATan(), detach_reset=True, step_mode="m")
    linear = plain(units, weight)

    def run(x: Tensor) -> Tensor:
        functional.reset_net(neurons)
        return neurons(x if linear is None else linear(x))

    return run, [] if linear is None else [linear.weight]


def norse(units: int, weight: Tensor | None) -> tuple[Net, list[nn.Parameter]]:
    from norse.torch import LIFBoxCell, LIFBoxParameters

    # Its input is scaled by the leak, dt / tau: weights or current are larger by as much.
    leak = 1 - DECAY
    neurons = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(leak / 1e-3), v_th=torch.tensor(THRESHOLD)))
    if weight is None:
        linear = None
    else:
        linear = plain(units, weight / leak)

    def run(x: Tensor) -> Tensor:
        current = x / leak if linear is None else linear(x)
        state = None
        out = []
        for row in current:
            spikes, state = neurons(row, state)
            out.append(spikes)
        return torch.stack(out)

    return run, [] if linear is None else [linear.weight]


def plain(units: int, weight: Tensor | None) -> nn.Linear | None:
    if weight is None:
        return None
    linear = nn.Linear(units, units, bias=False)
    linear.weight = nn.Parameter(weight)
    return linear


LIBRARIES = {"neurosim": neurosim, "snntorch": snntorch, "spikingjelly": spikingjelly, "norse": norse}


def resident(field: str) -> int:
    """Bytes of VmRSS or VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure(options: argparse.Namespace) -> dict[str, object]:
    torch.set_num_threads(options.threads)
    draws = torch.Generator().manual_seed(0)
    shape = (options.steps, options.batch, options.units)
    layer = options.workload == "layer"
    weight = torch.randn(options.units, options.units, generator=draws)
    weight *= SPREAD / math.sqrt(DENSITY * options.units)
    if layer:
        spikes = (torch.rand(shape, generator=draws) < DENSITY).float()
    else:
        spikes = None
    if layer:
        x = spikes
    else:
        x = (SPREAD * torch.randn(shape, generator=draws)).requires_grad_()
    gradient = torch.randn(shape, generator=draws)
    net, parameters = LIBRARIES[options.library](options.units, weight if layer else None)
    del weight, spikes

    def once() -> tuple[float, float, float]:
        for leaf in [*parameters, *([] if layer else [x])]:
            leaf.grad = None
        start = time.perf_counter()
        out = net(x)
        middle = time.perf_counter()
        out.backward(gradient)
        return middle - start, time.perf_counter() - middle, float(out.detach().mean())

    once()
    for leaf in [*parameters, *([] if layer else [x])]:
        leaf.grad = None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator holds back would hide what a pass needs
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    runs = [once()]
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = resident("VmHWM") - before
    runs += [once() for _ in range(options.repeats - 1)]
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / max(1, options.repeats - 1)
    return {
        "library": options.library,
        "seconds": statistics.median(a + b for a, b, _ in runs),
        "forward_s": statistics.median(a for a, _, _ in runs),
        "backward_s": statistics.median(b for _, b, _ in runs),
        "fastest_s": min(a + b for a, b, _ in runs),
        "cpu_s": cpu,
        "peak_mb": peak / 2**20,
        "spikes": runs[0][2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("workload", choices=["layer", "neurons"])
    for name, value in (("units", 512), ("steps", 500), ("batch", 16), ("threads", 2), ("repeats", 7)):
        parser.add_argument(f"--{name}", type=int, default=value)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
