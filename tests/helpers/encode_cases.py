"""Triton's `encode` and `encode_planes` against the plain form, to the bit. Run by `triton_tools`."""

from __future__ import annotations

import numpy as np
import torch

from neurosim.kernels.spikes.encode import gpu as encode_triton
from neurosim.kernels.spikes.encode.reference import (
    AWAY,
    EVEN,
    NEAREST,
    PRICED,
    SEARCH,
    UP,
    Rounding,
    clip_reference,
    encode_reference,
)
from neurosim.kernels.spikes.planes.gpu import encode_planes
from neurosim.kernels.spikes.planes.reference import Planes, pack_reference, unpack_reference

SHAPES = [(3, 70), (2, 4096 + 33), (1, 1), (5, 513)]


def numbers(rows: int, inputs: int, seed: int = 0) -> np.ndarray:
    """Normal numbers with ties, an outlier, zeros and a row of denormals."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, inputs)).astype(np.float32)
    x[0, 0] = -300 * inputs
    x[:, inputs // 2] = 0
    x[-1] *= np.float32(1e-42) if rows > 2 else 1
    return x


def check(x: torch.Tensor, k: float, thresholds: torch.Tensor | None, limit: int, rounding: Rounding = NEAREST) -> None:
    if thresholds is None:
        given = None
    else:
        given = thresholds.cpu().numpy()
    whole, used = encode_reference(x.float().cpu().numpy(), k, given, rounding)
    counts, escapes = clip_reference(whole, limit)
    tensors = {n: None if (a := getattr(rounding, n)) is None else torch.from_numpy(a) for n in ("edges", "levels")}
    on_device = {n: a if a is None else a.to(x.device) for n, a in tensors.items()}
    found = encode_triton.encode(x, k, thresholds, limit, rounding._replace(**on_device))
    np.testing.assert_array_equal(found.thresholds.cpu().numpy(), used)
    np.testing.assert_array_equal(found.counts.cpu().numpy(), counts)
    np.testing.assert_array_equal(found.escapes.number.cpu().numpy(), escapes.number)
    for i, n in enumerate(escapes.number):
        np.testing.assert_array_equal(found.escapes.channels[i, :n].cpu().numpy(), escapes.channels[i, :n])
        np.testing.assert_array_equal(found.escapes.excess[i, :n].cpu().numpy(), escapes.excess[i, :n])


def case_token_thresholds(device: str) -> None:
    for rows, inputs in SHAPES:
        x = torch.from_numpy(numbers(rows, inputs)).to(device)
        check(x, 3.0, None, 127)
        check(x, 0.37, None, 7)


def case_half_precision(device: str) -> None:
    x = torch.from_numpy(numbers(2, 300)).to(device)
    check(x.clamp(-6e4, 6e4).half(), 3.0, None, 127)
    check(x.bfloat16(), 3.0, None, 127)


def case_channel_thresholds(device: str) -> None:
    for rows, inputs in SHAPES:
        x = torch.from_numpy(numbers(rows, inputs)).to(device)
        thresholds = torch.rand(inputs, generator=torch.Generator().manual_seed(1)).add(0.01).to(device)
        check(x, 3.0, thresholds, 127)


def case_ties_go_to_even(device: str) -> None:
    x = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 3.5]], device=device)
    found = encode_triton.encode(x, 3.0, torch.ones(6, device=device), 127).counts
    assert found.tolist() == [[0, 2, 2, 0, -2, 4]]


def case_other_roundings(device: str) -> None:
    levels = np.minimum(np.array([0, 1, 2, 4, 8, 16, 32, 64] + [127] * 120), 127).astype(np.int8)
    edges = np.array([0.75, 1.5, 3.25, 6, 12, 24, 48, 96] + [np.inf] * 119, np.float32)
    x = np.concatenate([np.arange(-40, 41) / 8, [0.0, 1e30, -1e30, 300.0], np.random.default_rng(5).normal(size=70)])
    on = torch.from_numpy(x.astype(np.float32)[None]).to(device)
    half = torch.full((on.shape[1],), 0.5, device=device)
    for rounding in (
        Rounding(EVEN, shrink=0.4, max_count=9.0),
        Rounding(AWAY, max_count=7.0),
        Rounding(UP, shrink=0.1),
        Rounding(factor=1.7),
        Rounding(SEARCH, max_count=127.0, edges=edges, levels=levels),
        Rounding(PRICED, price=0.5),
        Rounding(PRICED, max_count=90.0, price=0.9),
    ):
        for thresholds in (None, half):
            check(on, 2.0, thresholds, 15, rounding)


def case_planes(device: str) -> None:
    for rows, inputs in SHAPES:
        for planes in (1, 3, 7):
            x = numbers(rows, inputs)
            whole, used = encode_reference(x)
            expected = pack_reference(whole, planes)
            packed, thresholds = encode_planes(torch.from_numpy(x).to(device), 3.0, None, planes)
            np.testing.assert_array_equal(thresholds.cpu().numpy(), used)
            words = packed.words.cpu().numpy().view(np.uint32)
            np.testing.assert_array_equal(words, expected.words)
            escapes = type(packed.escapes)(*(part.cpu().numpy() for part in packed.escapes))
            np.testing.assert_array_equal(unpack_reference(Planes(words, inputs, escapes)), whole)


def case_what_is_not_finite_shows(device: str) -> None:
    x = torch.ones(2, 40, device=device)
    x[0, 3] = float("inf")
    thresholds = encode_triton.encode(x, 3.0, None, 127).thresholds
    assert thresholds.isnan().tolist() == [True, False]
