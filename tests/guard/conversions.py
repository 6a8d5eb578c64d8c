"""Random conversions, each in all its forms: simulated, executed, compiled, saved and loaded, one sequence alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from helpers.decoding import SENSITIVE, assert_same_but, decoded, model_of, stepped, text
from torch import Tensor, nn

from guard import spike_coding
from neurosim.language import (
    EXPANSIONS,
    Coding,
    Converted,
    Decoder,
    SpikedLinear,
    convert,
    read_converted,
    write_converted,
)
from neurosim.language.conversion.expansions import count_spikes, expand

TOKENS = 5  # of each sequence
# Most counts or weights that may lie so near to an edge that float32 decides them: a share, and a number of them,
# for heads that share keys repeat a value.
AT_EDGES = (0.01, 4)


@dataclass(frozen=True)
class Conversion:
    """One case: a kind of attention, and what its conversion meets."""

    seed: int
    kind: str
    scheme: str
    expansion: str
    weights: str
    batch: int
    threads: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.scheme}-{self.expansion}-{self.weights}-{self.batch}x{self.threads}"

    def coding(self) -> Coding:
        """Return its coding; every third has so few planes that counts escape."""
        few = 2 if self.seed % 3 == 0 else None
        return Coding(
            self.scheme,
            expansion=self.expansion,
            planes=few,
            weights=self.weights,
            spikes=0.8,
            price=0.5 if self.has_price else 0.0,
            balance=self.has_price,
            head=self.seed % 2 == 0,
        )

    @property
    def has_price(self) -> bool:
        """Return whether counts are rounded by the price of their digits, and each group of layers has its k."""
        return self.scheme == "ternary" and self.expansion == "canonical"


def hold(case: Conversion, folder: Path) -> None:
    """Hold a conversion to the plain coding, layer by layer, and its forms to each other.

    Raises:
        AssertionError: naming the layer or the form.
    """
    draws = torch.Generator().manual_seed(case.seed)
    tokens = torch.randint(256, (TOKENS, case.batch), generator=draws)
    made = convert(model_of(case.kind), case.coding(), text(600), windows=2, length=16)

    with recorded(made) as calls:
        simulated = stepped(made.model, tokens)
    for name, parts in calls.items():
        x, y = (torch.cat(list(each)).double().numpy() for each in zip(*parts, strict=True))
        if len(x):  # a kind that chooses tokens may have chosen none
            hold_layer(name, made.layers[name], case, x, y)

    made.execute(threads=case.threads)
    executed = stepped(made.model, tokens)
    some, close = (2, 1e-4) if case.kind in SENSITIVE else (1, 2e-5)
    if case.weights == "int8":
        assert torch.equal(executed, simulated), "executed, and simulated"
    else:
        assert_same_but(some, executed, simulated, close)
    compiled = decoded(Decoder(made.model, case.batch, case.threads), tokens)
    assert_same_but(some, compiled, executed, close)
    for sequence in range(case.batch):
        alone = decoded(Decoder(made.model, 1), tokens[:, sequence : sequence + 1])
        assert torch.equal(alone, compiled[:, sequence : sequence + 1]), f"sequence {sequence} alone, on one thread"

    made.execute(False)
    write_converted(folder, made)
    loaded = read_converted(folder)
    assert torch.equal(stepped(loaded.model, tokens), simulated), "simulated, saved and loaded"
    loaded.execute(threads=case.threads)
    assert torch.equal(stepped(loaded.model, tokens), executed), "executed, saved and loaded"
    again = decoded(Decoder(loaded.model, case.batch, case.threads), tokens)
    assert torch.equal(again, compiled), "compiled, saved and loaded"


@contextmanager
def recorded(made: Converted) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Yield (inputs [n, K], outputs [n, N]) of each call of the spiked layers by name, filled while the block runs."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def record(name: str, layer: SpikedLinear) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x = inputs[0].detach().reshape(-1, layer.in_features)
            calls.setdefault(name, []).append((x, output.detach().reshape(-1, layer.out_features)))

        return layer.register_forward_hook(hook)

    handles = [record(name, layer) for name, layer in made.layers.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def hold_layer(name: str, layer: SpikedLinear, case: Conversion, x: np.ndarray, y: np.ndarray) -> None:
    """Hold outputs y [n, N] of a layer for inputs x [n, K] to the plain coding, in float64 and integers."""
    coder = layer.coder
    rounding = "priced" if case.has_price else spike_coding.SCHEMES[case.scheme]
    thresholds = coder.thresholds.detach().double().numpy()
    scales = coder.scales.detach().double().numpy()
    if case.scheme == "ternary":
        tokens = spike_coding.token_thresholds(x, coder.k)
    else:
        tokens = np.ones((len(x), 1))
    z = x / (tokens * thresholds)
    counts, at_edge = spike_coding.counts_and_edges(z, rounding, coder.price, coder.shrink, coder.limit)

    single = torch.from_numpy(x.astype(np.float32))
    own = coder.counts(single, coder.level(single)).numpy().astype(np.int64)
    assert ((own == counts) | at_edge).all(), f"{name}: counts"
    assert at_edge.sum() <= max(AT_EDGES[0] * at_edge.size, AT_EDGES[1]), f"{name}: counts at edges"
    counts = np.where(at_edge, own, counts)

    planes = case.coding().sent_planes
    spikes, escaped = spike_coding.planes_of(counts, case.expansion, planes)
    sent = expand(EXPANSIONS[case.expansion], counts, planes)
    assert np.array_equal(sent.spikes, spikes), f"{name}: planes"
    assert np.array_equal(sent.values, escaped.ravel()[sent.escaped]), f"{name}: escapes"
    assert np.count_nonzero(escaped) == len(sent.escaped), f"{name}: escapes"
    number = count_spikes(EXPANSIONS[case.expansion], counts, planes)
    within = escaped == 0
    assert np.array_equal(number[within], np.abs(spikes).sum(0)[within]), f"{name}: number of spikes"

    places = spike_coding.place_values(case.expansion, planes)
    weight = layer.weight.detach().double().numpy()
    if case.weights == "int8":
        rows, steps, at_edge = spike_coding.integer_weights(weight, scales)
        stored = layer.stored()[0].numpy().astype(np.int64)
        assert ((stored == rows) | at_edge).all(), f"{name}: weights"
        assert at_edge.sum() <= max(AT_EDGES[0] * at_edge.size, AT_EDGES[1]), f"{name}: weights at edges"
        rows = np.where(at_edge, stored, rows)
        sums = spike_coding.sums_of(spikes, escaped, places, rows) * steps
    else:
        sums = spike_coding.sums_of(spikes, escaped, places, weight * scales)
    expected = tokens * sums
    if layer.bias is not None:
        expected = expected + layer.bias.detach().double().numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * np.abs(expected).max(), err_msg=f"{name}: outputs")
