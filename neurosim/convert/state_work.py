"""Counts of the states of a converted model: what their recurrences add, read and change, token by token."""

from __future__ import annotations

import torch

from ..attention import Mixer
from ..attention.base import DeltaMixer
from ..attention.delta import DeltaProduct
from ..attention.rwkv import RWKV7
from ..measure import LayerCounts
from .costs import Histograms
from .histogram import CountHistogram
from .model import Converted
from .spiked_mixer import SpikedMixer, recurrence


def state_counts(converted: Converted, histograms: Histograms) -> list[LayerCounts]:
    """Return the counts of every state of known recurrence, from the histograms of `Converted.counting`.

    A nonzero entry of k selects a row of the state [K, V], to which a value is added; with the delta rule the row is
    read before, too; a nonzero entry of q selects a row to read. Each takes V multiply-adds on floats, and RWKV-7 two
    products with the whole state more. Where q and k are not in spikes, every entry counts as nonzero.

    A cell of the state is a unit. All cells change with every token, except where q and k are in spikes and rows wait
    for their decay: there those change that k selects.
    """
    return [
        _counts(f"layers.{i}.mixer", mixer, histograms)
        for i, mixer in enumerate(_mixers(converted))
        if recurrence(mixer)[1] is not None
    ]


def uncounted_states(converted: Converted) -> tuple[str, ...]:
    """Return a sentence for every state whose recurrence is not counted."""
    found = [(i, *recurrence(mixer)) for i, mixer in enumerate(_mixers(converted))]
    return tuple(
        f"layers.{i}.mixer: the work of its {words} is not counted, for it is not of the form S += k v^T"
        for i, words, scan in found
        if scan is None
    )


def _mixers(converted: Converted) -> list[Mixer]:
    return [mixer.mixer if isinstance(mixer, SpikedMixer) else mixer for mixer in converted.model.mixers()]


def _counts(name: str, mixer: Mixer, histograms: Histograms) -> LayerCounts:
    heads, rows, width = mixer.initial(torch.zeros(1, 1, mixer.width))["memory"].shape[-3:]
    tokens = next(found.rows for each, found in histograms.items() if each.startswith(f"{name}."))
    steps = mixer.num_householder if isinstance(mixer, DeltaProduct) else 1
    delta, turn = isinstance(mixer, DeltaMixer | DeltaProduct), isinstance(mixer, RWKV7)
    whole = heads * rows
    written = _nonzero(histograms.get(f"{name}.codes.k"), tokens * steps * whole)
    reading = _nonzero(histograms.get(f"{name}.codes.q"), tokens * whole)
    every = tokens * whole * width
    lazy = mixer.codes.q is not None and mixer.codes.state is None and not turn
    turned = 2 * every if turn else 0
    return LayerCounts(
        name=f"{name}.state",
        inputs=2 * whole,
        outputs=whole * width,
        weights=0,
        nonzero_weights=0,
        weight_bits=32,
        steps=tokens,
        input_events=written + reading,
        # Of a state, its outputs are read: V channels a head, not its cells.
        output_events=tokens * heads * width,
        output_entries=tokens * heads * width,
        synaptic_operations=((2 if delta else 1) * written + reading) * width + turned,
        binary_input=False,
        dense_operations=((2 if delta else 1) * steps + 1) * every + turned,
        membrane_updates=written * width if lazy else every,
        dense_membrane_updates=every,
        state_bytes=4 * whole * width,
        parameter_bytes=0,
        spiking=False,
        dense_weights=0,
    )


def _nonzero(histogram: CountHistogram | None, entries: int) -> int:
    """Return the nonzero entries of q or k; all of them where they are floats."""
    return entries if histogram is None else histogram.entries - histogram.silent()
