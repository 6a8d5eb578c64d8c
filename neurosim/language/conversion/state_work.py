"""Counts of work: additions, reads and changes of the states of a language model, and all products of a dense model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from ...base.measure.activity import count
from ...base.measure.work import LayerCounts
from ..attention.kinds.base import Mixer, RowUpdates
from ..attention.model import LanguageModel
from .costs import Histograms
from .histogram import CountHistogram
from .model import Converted
from .spiked_mixer import SpikedMixer


def state_counts(converted: Converted, histograms: Histograms) -> list[LayerCounts]:
    """Return the counts of every state of known recurrence, from the histograms of `Converted.counting`.

    A nonzero entry of k selects a row of the state [K, V], to which a value is added; with the delta rule the row is
    read before, too; a nonzero entry of q selects a row to read. Each takes V multiply-adds on floats, and RWKV-7 two
    products with the whole state more. Where q and k are not in spikes, every entry counts as nonzero.

    A cell of the state is a unit. All cells change with every token, except where q and k are in spikes and rows wait
    for their decay: there those change that k selects.
    """
    tokens = next(histograms[name].rows for name in converted.layers)
    return _states(converted.model, histograms, tokens)


@torch.no_grad()
def dense_counts(model: LanguageModel, tokens: Tensor) -> list[LayerCounts]:
    """Return the counts of a dense model that reads tokens [B, T]: of every linear layer, and as `state_counts`."""
    passes: dict[str, tuple[Tensor, Tensor]] = {}
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}

    def remember(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, arguments, out: passes.update({name: (arguments[0], out)})

    hooks = [module.register_forward_hook(remember(name)) for name, module in linear.items()]
    try:
        model(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    layers = []
    for name, pair in passes.items():
        x, out = (value.flatten(0, -2)[:, None].cpu().numpy() for value in pair)
        weights = linear[name].weight.T.cpu().numpy()
        stored = sum(p.nbytes for p in linear[name].parameters())
        no_states = np.zeros((*out.shape, 0), np.float32)
        layers.append(count(name, weights, x, out, no_states, spiking=False, parameter_bytes=stored))
    return [*layers, *_states(model, {}, tokens.numel())]


def uncounted_states(model: LanguageModel) -> tuple[str, ...]:
    """Return a sentence for every run of layers whose recurrence is not counted."""
    layers = enumerate(_mixers(model))
    sentences = []
    for (words, counted), run in groupby(layers, lambda layer: (layer[1].in_words, layer[1].row_updates() is not None)):
        if counted:
            continue
        numbers = [i for i, _ in run]
        names = f"layers.{numbers[0]}.mixer"
        if len(numbers) > 1:
            names += f" to layers.{numbers[-1]}.mixer"
        sentences.append(f"{names}: the work of its {words} is not counted, for it is not of the form S += k v^T")
    return tuple(sentences)


def _mixers(model: LanguageModel) -> list[Mixer]:
    """Return the mixers of a model, without the wrappers of an executed one."""
    return [mixer.mixer if isinstance(mixer, SpikedMixer) else mixer for mixer in model.mixers()]


def _states(model: LanguageModel, histograms: Histograms, tokens: int) -> list[LayerCounts]:
    """Return the counts of the states whose rows tokens change: those whose work is known."""
    layers = []
    for i, mixer in enumerate(_mixers(model)):
        updates = mixer.row_updates()
        if updates is not None:
            layers.append(_counts(f"layers.{i}.mixer", mixer, updates, histograms, tokens))
    return layers


def _counts(name: str, mixer: Mixer, updates: RowUpdates, histograms: Histograms, tokens: int) -> LayerCounts:
    """Return the counts of a state [H, K, V], see `state_counts`."""
    heads, rows, width = mixer.initial(torch.zeros(1, 1, mixer.width))["memory"].shape[-3:]
    steps = updates.steps
    whole = heads * rows  # rows of all heads
    written = _nonzero(histograms.get(f"{name}.codes.k"), tokens * steps * whole)
    reading = _nonzero(histograms.get(f"{name}.codes.q"), tokens * whole)
    every = tokens * whole * width
    lazy = mixer.codes.q is not None and mixer.codes.state is None and updates.products == 0
    products = updates.products * every
    # The delta rule reads the row of k before it adds to it: two operations where S += k v^T has one.
    row_operations = 2 if updates.reads_first else 1
    return LayerCounts(
        name=f"{name}.state",
        inputs=2 * whole,
        outputs=whole * width,
        weights=0,
        nonzero_weights=0,
        weight_bits=32,
        steps=tokens,
        input_events=written + reading,
        # Later layers read the outputs of a state, V channels a head, not its cells.
        output_events=tokens * heads * width,
        output_entries=tokens * heads * width,
        synaptic_operations=(row_operations * written + reading) * width + products,
        binary_input=False,
        dense_operations=(row_operations * steps + 1) * every + products,
        membrane_updates=written * width if lazy else every,
        dense_membrane_updates=every,
        state_bytes=4 * whole * width,
        parameter_bytes=0,
        spiking=False,
        dense_weights=0,
    )


def _nonzero(histogram: CountHistogram | None, entries: int) -> int:
    """Return the nonzero entries of q or k; all of them where they are floats."""
    if histogram is None:
        return entries
    return histogram.entries - histogram.silent()
