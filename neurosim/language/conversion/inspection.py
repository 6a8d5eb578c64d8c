"""Inspect the memory of each layer of a language model: eigenvalues, horizon, bytes of state, spikes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...base.errors import NeurosimInputError
from ...base.plain import Record
from ..attention.dynamics import Spectrum
from ..attention.kinds.base import Shared
from ..attention.model import LanguageModel
from .generate import state_bytes
from .model import Converted


@dataclass(frozen=True, kw_only=True)
class LayerInspection(Record):
    """Spectrum, state and spikes of a layer of attention.

    Attributes:
        name, kind: name and kind of the layer.
        state_bytes: bytes carried from token to token, of one sequence at the end of the text.
        spectrum: eigenvalues over the tokens of the text; None where the state is no linear system, and `reason`.
        spikes: mean spikes a channel into its linear layers, of a converted model.
        rounds: rounds of Newton's method over the text, of kinds that take it.
        residual: largest difference of a state and a step from the one before it that these rounds left.
    """

    name: str
    kind: str
    state_bytes: int
    spectrum: Spectrum | None
    reason: str
    spikes: float | None
    rounds: int | None = None
    residual: float | None = None


@torch.no_grad()
def inspect_layers(model: LanguageModel | Converted, tokens: Tensor) -> list[LayerInspection]:
    """Return the layers of a model, dense or converted, as they read tokens [T]."""
    network = model.model if isinstance(model, Converted) else model
    histograms = {}
    with _inputs_of_mixers(network) as calls:
        if isinstance(model, Converted):
            with model.counting() as histograms:
                _, state = network(tokens[None])
        else:
            _, state = network(tokens[None])
    layers = []
    for i, (mixer, layer) in enumerate(zip(network.mixers(), network.config.layers, strict=True)):
        spectrum = None
        reason = ""
        x, shared = calls[i]
        start = mixer.initial(x)
        try:
            # The system of a layer follows from its inputs on this text, from the empty state on.
            spectrum = Spectrum.of(mixer.system(mixer.project(x, start, shared)[0], start["memory"]))
        except NeurosimInputError as error:
            reason = str(error)
        spikes = None
        if isinstance(model, Converted):
            inputs = [histograms[name] for name in model.layers if name.startswith(f"layers.{i}.")]
            sent = model.coding.sent_as
            planes = model.coding.sent_planes
            spikes = sum(h.spikes(sent, planes) for h in inputs) / max(sum(h.entries for h in inputs), 1)
        layers.append(
            LayerInspection(
                name=f"layers.{i}",
                kind=layer.kind,
                state_bytes=state_bytes(state[i : i + 1]),
                spectrum=spectrum,
                reason=reason,
                spikes=spikes,
                rounds=mixer.last_rounds,
                residual=mixer.residual,
            )
        )
    return layers


@contextmanager
def _inputs_of_mixers(model: LanguageModel) -> Iterator[dict[int, tuple[Tensor, Shared]]]:
    """Yield the arguments of each mixer in a pass: x, and the values shared by layers before it."""
    calls: dict[int, tuple[Tensor, Shared]] = {}

    def record(i: int) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            # A copy of the shared values: later layers add theirs.
            calls[i] = arguments[0], dict(arguments[2])

        return hook

    handles = [mixer.register_forward_pre_hook(record(i)) for i, mixer in enumerate(model.mixers())]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
