"""Triton's products of spikes against the references. Run by `triton_tools`."""

from __future__ import annotations

import numpy as np
import torch

from neurosim.kernels.spikes.accumulate import gpu as accumulate_triton
from neurosim.kernels.spikes.accumulate.launch import encode_accumulate, spike_accumulate
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.spikes.encode.launch import encode
from neurosim.kernels.spikes.encode.reference import Escapes, clip_reference, encode_reference
from neurosim.kernels.spikes.planes.gpu import plane_product
from neurosim.kernels.spikes.planes.reference import Planes, pack_reference

# Inputs and outputs; the last is more than one split and more than one block of outputs.
SHAPES = [(40, 33), (1030, 290)]


def spikes(rows: int, inputs: int, limit: int = 127, large: bool = True) -> np.ndarray:
    """Whole counts, most of them 0, a few beyond `limit`."""
    rng = np.random.default_rng(rows + inputs)
    whole = rng.integers(-3, 4, (rows, inputs)) * (rng.random((rows, inputs)) < 0.3)
    if large:
        whole[0, :2] = (limit + 70, -3 * limit)
        whole[-1, -1] = limit + 1
    return whole.astype(np.int32)


def weights(inputs: int, outputs: int, kind: torch.dtype, device: str, transposed: bool = False) -> torch.Tensor:
    made = torch.Generator().manual_seed(inputs)
    if kind == torch.int8:
        w = torch.randint(-128, 128, (inputs, outputs), generator=made, dtype=torch.int8)
    else:
        w = torch.randn(inputs, outputs, generator=made).to(kind)
    return (w.T.contiguous().T if transposed else w).to(device)


def plain(w: torch.Tensor) -> np.ndarray:
    return (w if w.dtype == torch.int8 else w.float()).cpu().contiguous().numpy()


def clipped(whole: np.ndarray, device: str, limit: int = 127) -> tuple[torch.Tensor, Escapes]:
    """Counts and escapes as the kernels of a GPU get them: room for every channel, junk where nothing escaped."""
    counts, escapes = clip_reference(whole, limit)
    lists = np.full((2, *whole.shape), 1 << 30, np.int32)
    lists[0, :, : escapes.channels.shape[1]], lists[1, :, : escapes.channels.shape[1]] = escapes[1:]
    for i, n in enumerate(escapes.number):
        lists[:, i, n:] = 1 << 30
    parts = (escapes.number, *lists)
    return torch.from_numpy(counts).to(device), Escapes(*(torch.from_numpy(p).to(device) for p in parts))


def check(found: torch.Tensor, whole: np.ndarray, w: torch.Tensor) -> None:
    expected = accumulate_reference(whole, plain(w))
    if w.dtype == torch.int8:
        assert found.dtype == torch.int32
        np.testing.assert_array_equal(found.cpu().numpy(), expected)
    else:
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def product_case(device: str, kind: torch.dtype, rows: tuple[int, ...], transposed: bool) -> None:
    for inputs, outputs in SHAPES:
        for b in rows:
            whole = spikes(b, inputs)
            counts, escapes = clipped(whole, device)
            w = weights(inputs, outputs, kind, device, transposed)
            check(accumulate_triton.product(counts, w, escapes), whole, w)


def case_few_float32(device: str) -> None:
    product_case(device, torch.float32, (1, 5), False)


def case_few_float16(device: str) -> None:
    product_case(device, torch.float16, (3,), False)


def case_few_int8(device: str) -> None:
    product_case(device, torch.int8, (2, 16), False)


def case_batch_float16(device: str) -> None:
    product_case(device, torch.float16, (17,), False)
    product_case(device, torch.float16, (17,), True)


def case_batch_float32(device: str) -> None:
    product_case(device, torch.float32, (37,), True)


def case_batch_int8(device: str) -> None:
    product_case(device, torch.int8, (70,), True)
    product_case(device, torch.int8, (70,), False)


def case_without_escapes(device: str) -> None:
    for b in (4, 20):
        whole = spikes(b, 300, large=False)
        w = weights(300, 77, torch.int8, device)
        check(accumulate_triton.product(clipped(whole, device)[0], w), whole, w)


def case_planes(device: str) -> None:
    for kind, bits in ((torch.int8, 3), (torch.float16, 2), (torch.int8, 7), (torch.float32, 1)):
        for inputs, outputs in SHAPES:
            whole = spikes(19, inputs, 2**bits - 1)
            packed = pack_reference(whole, bits)
            words = torch.from_numpy(packed.words.view(np.int32)).to(device)
            escapes = clipped(whole, device, 2**bits - 1)[1]
            w = weights(inputs, outputs, kind, device, transposed=True)
            check(plane_product(Planes(words, inputs, escapes), w), whole, w)


def decode_case(device: str, kind: torch.dtype, given: bool) -> None:
    for inputs, outputs in [*SHAPES, (1030, 288)]:
        rng = np.random.default_rng(inputs)
        x = rng.standard_normal((1, inputs)).astype(np.float32)
        x[0, 1] = 700  # a count that int8 would not hold
        if given:
            thresholds = rng.random(inputs).astype(np.float32) + 0.5
        else:
            thresholds = None
        whole, used = encode_reference(x, 3.0, thresholds)
        w = weights(inputs, outputs, kind, device)
        if thresholds is None:
            on_device = None
        else:
            on_device = torch.from_numpy(thresholds).to(device)
        y, scale = accumulate_triton.decode(torch.from_numpy(x).to(device), w, 3.0, on_device)
        np.testing.assert_array_equal(scale.cpu().numpy(), used)
        expected = accumulate_reference(whole, plain(w)).astype(np.float32) * (1 if given else used[0])
        if kind == torch.int8:
            tolerance = 0
        else:
            tolerance = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(y.cpu().numpy(), expected, rtol=0, atol=tolerance)


def case_decode(device: str) -> None:
    decode_case(device, torch.float32, given=False)


def case_decode_float16(device: str) -> None:
    decode_case(device, torch.float16, given=False)


def case_decode_int8(device: str) -> None:
    decode_case(device, torch.int8, given=False)


def case_decode_channel_thresholds(device: str) -> None:
    decode_case(device, torch.float32, given=True)
    decode_case(device, torch.float16, given=True)


def case_silent_rows_are_not_read(device: str) -> None:
    """Rows of weights that no spike selects are no numbers: had they been read, so would the result be."""
    x = torch.zeros(1, 300, device=device)
    x[0, [3, 70, 299]] = torch.tensor([1.0, -2.0, 1.0], device=device)
    w = torch.full((300, 77), float("nan"), device=device)
    w[[3, 70, 299]] = weights(3, 77, torch.float32, device)
    y, used = accumulate_triton.decode(x, w, 3.0, None)
    whole = encode_reference(x.cpu().numpy())[0]
    silent = whole[0] == 0
    clean = torch.where(torch.from_numpy(silent).to(device)[:, None], 0.0, w)
    check(y / used, whole, clean)
    counts, escapes = clipped(whole, device)
    check(accumulate_triton.product(counts, w, escapes), whole, clean)


def case_encode_product_of_a_batch(device: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 300)).astype(np.float32)
    x[2, 7] = 500
    whole, used = encode_reference(x)
    w = weights(300, 77, torch.int8, device)
    y, thresholds = accumulate_triton.encode_product(torch.from_numpy(x).to(device), w, 3.0, None)
    np.testing.assert_array_equal(thresholds.cpu().numpy(), used)
    expected = accumulate_reference(whole, plain(w)).astype(np.float32) * used[:, None]
    np.testing.assert_array_equal(y.cpu().numpy(), expected)


def case_steps_and_planes_of_a_batch(device: str) -> None:
    """Sums of int8 weights times a step for each output, then times the token's threshold, for any number of tokens."""
    rng = np.random.default_rng(4)
    steps = rng.random(77).astype(np.float32)
    w = weights(300, 77, torch.int8, device)
    for rows in (1, 5, 20):
        x = rng.standard_normal((rows, 300)).astype(np.float32)
        x[0, 7] = 500
        whole, used = encode_reference(x)
        expected = accumulate_reference(whole, plain(w)).astype(np.float32) * steps * used[:, None]
        arguments = torch.from_numpy(x).to(device), w, 3.0, None, torch.from_numpy(steps).to(device)
        for planes in (None, 3):
            y, _ = accumulate_triton.encode_product(*arguments, planes=planes)
            np.testing.assert_array_equal(y.cpu().numpy(), expected)


def case_public_functions_pick_the_device(device: str) -> None:
    """The same calls for numpy and for tensors of any device, the same integers out."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, 300)).astype(np.float32)
    w = plain(weights(300, 77, torch.int8, "cpu"))
    x[1, 5] = 900
    on = torch.from_numpy(x).to(device)
    whole = torch.from_numpy(w).to(device)
    coded = encode(on)
    expected = encode(x)
    np.testing.assert_array_equal(coded.counts.cpu().numpy(), expected.counts)
    sums = spike_accumulate(expected.counts, w, expected.escapes)
    np.testing.assert_array_equal(spike_accumulate(coded.counts, whole, coded.escapes).cpu().numpy(), sums)
    y, _ = encode_accumulate(on, whole)
    np.testing.assert_array_equal(y.cpu().numpy(), encode_accumulate(x, w)[0])
