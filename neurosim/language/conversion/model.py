"""Language models whose linear layers are fed in spikes, simulated or executed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast, final

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ...base.heap import trim_heap
from ...kernels.spikes.planes.reference import MAX_PLANES
from ..attention.model import LanguageModel
from ..attention.tensors import MappedFiles
from . import int4, spiked_mixer
from .coding import Coder
from .histogram import CountHistogram
from .linear import SpikedLinear
from .operators import operators
from .settings import Coding


@final
class Converted:
    """A language model in spikes.

    Attributes:
        model: the model with its linear layers replaced by `SpikedLinear`; called and stepped like any other.
        coding: its spike coding.
        layers: the spiked layers by name.
        dense: (name, description) of every operator that still works on floats.
        remarks: messages for the user.
        price: nats a token that one more spike a token had to save, where thresholds were calibrated; else 0.
    """

    def __init__(
        self, model: LanguageModel, coding: Coding, coders: Mapping[str, Coder], remarks: tuple[str, ...] = ()
    ) -> None:
        self.model = model
        self.coding = coding
        self.remarks = remarks
        self.price = 0.0
        self.layers: dict[str, SpikedLinear] = {}
        # Kernels pack the planes of binary digits into words; other expansions are counted only.
        packed = coding.sent_as == "bitwise" and coding.sent_planes <= MAX_PLANES
        planes = coding.sent_planes if packed else None
        for name, coder in coders.items():
            layer = cast(nn.Linear, model.get_submodule(name))
            spiked = SpikedLinear(layer, coder, int4.type_of(coding.weights, name, layer.in_features), planes)
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, spiked)
            self.layers[name] = spiked
        spiked_mixer.add_coders(model, qk=coding.qk, state=coding.state, k=coding.k)
        self.dense = operators(model)
        self.executed = False

    def __repr__(self) -> str:
        form = "executed" if self.executed else "simulated"
        return f"Converted({len(self.layers)} layers in spikes, {self.coding.scheme}, {form})"

    def to(self, device: str | torch.device) -> Converted:
        """Move the model to a device, simulated; return self."""
        self.execute(on=False)
        self.model.to(device)
        return self

    def set_k(self, k: float) -> None:
        """Give the coders of a scheme whose thresholds follow tokens another k: as if it had been converted with it."""
        for coder in self.coders().values():
            coder.k = coder.k / self.coding.k * k
        self.coding = replace(self.coding, k=k)

    def execute(self, on: bool = True, *, threads: int = 1) -> Converted:
        """Add rows of weights for spikes and update the state lazily (`on`), or simulate; return self.

        Runs on the device of the model: numba on a CPU, Triton on a CUDA device.
        """
        for layer in self.layers.values():
            layer.execute(on, threads=threads)
        self._update_lazily(on, threads)
        return self

    def _update_lazily(self, on: bool, threads: int) -> None:
        """Update the states lazily (`on`), or as the dense model does."""
        if on and not self.executed:
            spiked_mixer.wrap(self.model, threads)
        elif self.executed and not on:
            spiked_mixer.unwrap(self.model)
        self.executed = on

    @contextmanager
    def in_turn(self, on: bool, threads: int = 1) -> Iterator[list[float]]:
        """Execute (`on`) or simulate one residual block at a time while the block of code runs; simulate after it.

        The weights of one residual block are rounded at a time, so that a large model needs little memory beside what
        it was read from.

        Yields:
            the seconds that rounding each residual block's weights took, and giving them back, filled while the model
            runs.
        """
        self.execute(on=False)
        self._update_lazily(on, threads)
        rounded: list[float] = []
        # Layers outside of residual blocks, as the head, are executed all the time.
        outside = set(self.layers.values())
        handles: list[RemovableHandle] = []
        for block in self.model.layers:
            inner = [module for module in block.modules() if isinstance(module, SpikedLinear)]
            outside.difference_update(inner)
            handles += _round_while_called(block, inner, on, threads, self.model.files, rounded)
        for layer in outside:
            layer.execute(on, threads=threads)
        try:
            yield rounded
        finally:
            for handle in handles:
                handle.remove()
            self.execute(on=False)

    @contextmanager
    def counting(self) -> Iterator[dict[str, CountHistogram]]:
        """Yield histograms of the counts of all coders by name, filled while the block runs."""
        coders = self.coders()
        histograms = {}
        for name, coder in coders.items():
            # An expert that no token reaches counts nothing, and has its channels all the same.
            channels = self.layers[name].in_features if name in self.layers else None
            coder.histogram = CountHistogram(name, self.coding.sent_as, self.coding.sent_planes, channels)
            histograms[name] = coder.histogram
        try:
            yield histograms
        finally:
            for coder in coders.values():
                coder.histogram = None

    @contextmanager
    def bypassed(self) -> Iterator[LanguageModel]:
        """Yield the model as the dense one, working on floats while the block runs."""
        coders = self.coders().values()
        before = [coder.bypassed for coder in coders]
        for coder in coders:
            coder.bypassed = True
        try:
            yield self.model
        finally:
            for coder, was_bypassed in zip(coders, before, strict=True):
                coder.bypassed = was_bypassed

    def coders(self) -> dict[str, Coder]:
        """Return the coders by name: of the linear layers, and of q, k and the state where they are coded."""
        coders = {name: layer.coder for name, layer in self.layers.items()}
        return coders | spiked_mixer.coders(self.model)


def _round_while_called(
    block: nn.Module,
    layers: Sequence[SpikedLinear],
    on: bool,
    threads: int,
    files: MappedFiles,
    rounded: list[float],
) -> list[RemovableHandle]:
    """Round the weights of a block's layers whenever it is called, and give them back; add the seconds to `rounded`."""

    def before(*_: object) -> None:
        start = time.perf_counter()
        # Rounded weights exist for one block at a time.
        for layer in layers:
            layer.execute(on, threads=threads)
            layer.prepare()
        rounded.append(time.perf_counter() - start)

    def after(*_: object) -> None:
        start = time.perf_counter()
        for layer in layers:
            layer.execute(False)
        files.release()
        trim_heap()
        rounded.append(time.perf_counter() - start)

    return [block.register_forward_pre_hook(before), block.register_forward_hook(after)]
