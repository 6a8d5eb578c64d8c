"""A model of event recordings in spikes, run bin by bin as events come, its work counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...base.measure.work import LayerCounts
from ..attention.model import LanguageModel

EVENTS = "embeddings.layers.0"  # the layer that takes the events themselves


@dataclass
class EventCount:
    """Work of the layer that takes the events.

    Attributes:
        rows: number of its inputs: patches of bins.
        events, operations: nonzero entries of the inputs, and weights added for these.
        outputs: nonzero entries of its outputs.
        binary: whether every entry was 0 or 1.
    """

    rows: int = 0
    events: int = 0
    operations: int = 0
    outputs: int = 0
    binary: bool = True

    def layer(self, linear: nn.Linear) -> LayerCounts:
        """Return the counts for `measure`."""
        weights = linear.weight.numel()
        return LayerCounts(
            name=EVENTS,
            inputs=linear.in_features,
            outputs=linear.out_features,
            weights=weights,
            nonzero_weights=int(torch.count_nonzero(linear.weight)),
            weight_bits=32,
            steps=self.rows,
            input_events=self.events,
            output_events=self.outputs,
            output_entries=self.rows * linear.out_features,
            synaptic_operations=self.operations,
            binary_input=self.binary,
            dense_operations=self.rows * weights,
            membrane_updates=0,
            dense_membrane_updates=0,
            state_bytes=4 * linear.out_features,
            parameter_bytes=4 * sum(p.numel() for p in linear.parameters()),
            spiking=False,
        )


@contextmanager
def counting_events(linear: nn.Linear) -> Iterator[EventCount]:
    """Yield the work of a linear layer on events, counted while the block runs."""
    counts = EventCount()
    fan_out = torch.count_nonzero(linear.weight, dim=0)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        x = inputs[0].flatten(0, -2)
        arrived = torch.count_nonzero(x, dim=0)
        counts.rows += len(x)
        counts.events += int(arrived.sum())
        counts.operations += int((arrived * fan_out).sum())
        counts.outputs += int(torch.count_nonzero(out))
        counts.binary = counts.binary and bool(((x == 0) | (x == 1)).all())

    handle = linear.register_forward_hook(count)
    try:
        yield counts
    finally:
        handle.remove()


def _first_of_batch(layer: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return the state of the first `count` of a batch; numbers without axes are the same for all."""
    return {name: value[:count] if value.dim() else value for name, value in layer.items()}


@torch.no_grad()
def classify_events(model: LanguageModel, x: Tensor, lengths: Tensor) -> Tensor:
    """Return scores [B, classes], the means of the logits over the bins of each recording.

    Each bin goes through the whole model when it is complete, with the state of the bins before it; a recording that
    has ended takes no more work.

    Args:
        x: [T, B, units] numbers of events.
        lengths: [B] bins of each recording, at least 1.
    """
    # The longest first: recordings that have ended leave the batch at its end.
    order = torch.argsort(lengths, descending=True, stable=True)
    x = x[:, order]
    remaining = lengths[order]
    total = torch.zeros(len(order), model.config.vocabulary)
    state: list[dict[str, Tensor]] | None = None
    for t in range(int(remaining[0])):
        # Sorted by length: those that go on are the first.
        running = int((remaining > t).sum())
        if state is not None:
            state = [_first_of_batch(layer, running) for layer in state]
        logits, state = model.step(x[t, :running], state)
        total[:running] += logits
    scores = torch.empty_like(total)
    scores[order] = total / remaining[:, None]
    return scores
