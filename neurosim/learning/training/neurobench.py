"""Trained networks of neurosim by NeuroBench's metrics, and models of NeuroBench by our measures (extra `neurobench`).

rows = compare(net, binning, recordings)      # both figures of each metric, and why they differ
measures = measure_model(model, batches)      # our measures of a NeuroBenchModel
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ...base.distribution import install
from ...base.errors import NeurosimMissingError, require
from ...base.measure.activity import count
from ...base.measure.measures import Measures, measure
from ...data.recordings import Recordings

try:
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
    from neurobench.metrics.workload import ActivationSparsity, ClassificationAccuracy, SynapticOperations
    from neurobench.models import NeuroBenchModel
    from torch import Tensor, nn
except ImportError as error:
    raise NeurosimMissingError(
        f"training.neurobench: needs neurobench ({error}); run: {install('neurobench')}"
    ) from None

from .binning import Binning
from .classifier import READOUTS
from .connections import Dense
from .export import EventNet
from .net import SpikingNet

# Relative difference up to which two figures are equal: NeuroBench rounds to four digits.
SAME = 1e-4


@dataclass(frozen=True)
class Compared:
    """A metric by both definitions.

    Attributes:
        name: name of the metric in NeuroBench.
        ours, theirs: values; None where a side has none.
        why: difference between the definitions, where the values differ.
    """

    name: str
    ours: float | None
    theirs: float | None
    why: str = ""


@final
class _Spikes(nn.Module):
    """The spikes of a layer, as a module whose output NeuroBench sees."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@final
class _Counted(nn.Module):
    """A network whose layers, feed-back and spikes are called one by one, as NeuroBench counts them."""

    def __init__(self, net: SpikingNet) -> None:
        super().__init__()
        self.net = net
        self.spikes = nn.ModuleList(_Spikes() for _ in net.blocks)

    def forward(self, batch: Tensor) -> Tensor:
        x = batch.transpose(0, 1).contiguous()
        for block, spikes in zip(self.net.layers[:-1], self.spikes, strict=True):
            x = spikes(block(x))
            back = block.neurons.recurrent
            if back is not None:
                # The recurrence is one kernel: its products are repeated for NeuroBench to count.
                back(nn.functional.pad(x, (0, 0, 0, 0, 1, 0))[:-1])
        return READOUTS[self.net.spec.readout](self.net.readout(x), None)


@final
class NetModel(NeuroBenchModel):
    """A trained network as a model of NeuroBench: called with [batch, steps, units], it returns scores.

    Raises:
        NeurosimInputError: a layer that is not dense, which NeuroBench cannot count here.
    """

    def __init__(self, net: SpikingNet) -> None:
        super().__init__()
        dense = all(isinstance(block.connection, Dense) for block in net.layers)
        require(dense, "NetModel.net", "must have dense layers alone (network.filters = [])", net.spec.filters)
        self.counted = _Counted(net).eval()
        self.add_activation_module(_Spikes)

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> Tensor:
        scores: Tensor = self.counted(batch)
        return scores

    def __net__(self) -> nn.Module:
        return self.counted


def compare(net: SpikingNet, binning: Binning, recordings: Recordings) -> list[Compared]:
    """Return every metric of both for a trained network on labelled recordings.

    Raises:
        NeurosimInputError: a layer that is not dense; recordings of another sensor.
    """
    theirs = _benchmark(NetModel(net), binning, recordings)
    event = EventNet.of(net, binning.max_count)
    inputs = binning.recordings(recordings)
    result = event.run(inputs, count_updates=True)
    ours = measure(list(result.work), len(inputs), result.duration, len(inputs.ticks))
    # Accuracy of the engine's own scores, not of torch's.
    right = float(np.mean(event.scores(result).argmax(axis=1) == recordings.labels))
    operations = ours.synaptic_operations
    their_operations = theirs["SynapticOperations"]
    steps = "the engine runs a step a layer longer, until the last spike has arrived"
    stored = "ours: weights, constants and state in the engine; theirs: parameters and buffers in torch, no state"
    rows = [
        Compared("ClassificationAccuracy", right, theirs["ClassificationAccuracy"], "sums of weights are not exact"),
        Compared("ParameterCount", sum(p.numel() for p in net.parameters()), theirs["ParameterCount"]),
        Compared("Footprint", ours.footprint, theirs["Footprint"], stored),
        Compared("ConnectionSparsity", ours.connection_sparsity, theirs["ConnectionSparsity"], "theirs is rounded"),
        Compared("ActivationSparsity", ours.activation_sparsity, theirs["ActivationSparsity"], steps),
    ]
    why = f"{steps}; an input of several events in a step is one multiply-accumulate there, additions here"
    return rows + [
        Compared(name, getattr(operations, name), float(their_operations[name]), why)
        for name in ("Effective_ACs", "Effective_MACs", "Dense")
    ]


def differs(row: Compared) -> bool:
    """Return whether the two values of a row differ by more than rounding."""
    if row.ours is None or row.theirs is None:
        return row.ours is not row.theirs
    return abs(row.ours - row.theirs) > SAME * max(abs(row.ours), abs(row.theirs))


def table(rows: Iterable[Compared]) -> str:
    """Return a table of both values of each metric, and the reason where they differ."""
    lines = [f"{'metric':24}{'ours':>14}{'NeuroBench':>14}"]
    for row in rows:
        line = f"{row.name:24}{_figure(row.ours):>14}{_figure(row.theirs):>14}"
        if differs(row):
            line += f"  {row.why}"
        lines.append(line)
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}"


@torch.no_grad()
def measure_model(model: NeuroBenchModel, batches: Iterable[Tensor]) -> Measures:
    """Return our measures of a model of NeuroBench whose linear layers are called once a step.

    Args:
        batches: inputs of the model, [samples, ...] each, with the same steps in all.

    Raises:
        NeurosimInputError: a layer that is not linear, or not called with [samples, inputs]; a model whose activations
            do not follow its linear layers one by one.
    """
    layers = model.connection_layers()
    activations = len(model.activation_layers())
    kinds = sorted({type(layer).__name__ for layer in layers if not isinstance(layer, nn.Linear)})
    require(not kinds, "measure_model", "must have linear layers alone", kinds)
    follows = 0 < len(layers) - activations + 1 <= 2
    require(
        follows,
        "measure_model",
        "must have an activation after each layer but the last",
        (len(layers), activations),
    )
    inputs_of, outputs_of, samples = _record(model, layers, activations, batches)
    counts = []
    for k, layer in enumerate(layers):
        arrays = (torch.cat(parts).numpy() for parts in (inputs_of[k], outputs_of[k]))
        stored = sum(p.nbytes for p in layer.parameters())
        weights = layer.weight.detach().numpy().T
        spiking = k < activations and _are_spikes(outputs_of[k])
        counts.append(count(f"layer{k + 1}", weights, *arrays, spiking=spiking, parameter_bytes=stored))
    return measure(counts, samples, 0.0)


def _record(
    model: NeuroBenchModel, layers: Sequence[Any], activations: int, batches: Iterable[Tensor]
) -> tuple[list[list[Tensor]], list[list[Tensor]], int]:
    """Run a model, and return inputs and outputs of each layer and the number of samples.

    Args:
        layers: the linear layers.
        activations: number of layers that have one; the outputs are its values, of the others their own.

    Returns:
        By layer, then by batch, [samples, steps, inputs] and [samples, steps, outputs], as `count` takes them.
    """
    inputs_of: list[list[Tensor]] = [[] for _ in layers]
    outputs_of: list[list[Tensor]] = [[] for _ in layers]
    samples = 0
    model.register_hooks()
    try:
        for batch in batches:
            model(batch)
            samples += len(batch)
            for k, hook in enumerate(model.connection_hooks):
                # One call a step, with the input as its first argument.
                inputs = [arguments[0] for arguments in hook.inputs]
                flat = bool(inputs) and all(x.ndim == 2 for x in inputs)
                require(flat, "measure_model", "must call its layers with [samples, inputs]", type(layers[k]).__name__)
                inputs_of[k].append(torch.stack(inputs, dim=1))
                if k < activations:
                    outputs = model.activation_hooks[k].activation_outputs
                else:
                    # `forward` and not a call, which the hooks would count.
                    outputs = [layers[k].forward(x) for x in inputs]
                outputs_of[k].append(torch.stack(list(outputs), dim=1))
            model.reset_hooks()
    finally:
        model.cleanup_hooks()
    return inputs_of, outputs_of, samples


def _are_spikes(outputs: Iterable[Tensor]) -> bool:
    """Return whether the outputs of a layer are zeros and ones."""
    return all(bool(((x == 0) | (x == 1)).all()) for x in outputs)


def _benchmark(model: NetModel, binning: Binning, recordings: Recordings) -> dict[str, Any]:
    """Return the results of NeuroBench, one recording a batch, so that none is padded."""
    data = []
    for i in range(len(recordings)):
        batch = binning.batch(recordings, np.array([i]))
        data.append((torch.from_numpy(batch.x[:, 0]), torch.tensor(int(batch.labels[0]))))
    loader: Any = torch.utils.data.DataLoader(data, batch_size=1)  # type: ignore[arg-type]
    static = [Footprint, ConnectionSparsity, ParameterCount]
    workload = [ClassificationAccuracy, ActivationSparsity, SynapticOperations]
    benchmark = Benchmark(model, loader, [], [lambda scores: scores.argmax(dim=-1)], [static, workload])
    results: dict[str, Any] = benchmark.run(quiet=True)
    return results
