"""Spike products on an NVIDIA GPU beside cuBLAS in fp16, and how far they are from the time their bytes take.

    python benchmarks/accumulate_gpu.py [--shape 4096x4096] [--densities 0.1 0.3 0.82] [--bandwidth 3.0e12] [--json]

Times are of a CUDA graph of many calls in turn on copies of the weights that together are larger than any cache, so
that weights come from memory as they do in a model. The floor is the bytes of the selected rows of weights (of all of
them for cuBLAS), of the input and of the output, over --bandwidth (that of an H100 as measured: 3.0e12 bytes a
second). `decode` includes coding the token. Without a GPU the same bytes and floors are printed.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator

import frame
import numpy as np
import torch
from spike_work import work

from neurosim.kernels.spikes.encode.launch import encode

CACHE = 256 << 20  # bytes of weights that no cache holds
CALLS = 32
ROUNDS = 20


def tokens(batch: int, inputs: int, density: float) -> np.ndarray:
    """Real numbers of which a share `density` is not zero; at k = 3 each of those gives a count that is not zero."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 4, (batch, inputs)) * rng.choice([-1.0, 1.0], (batch, inputs))
    return (sizes * (rng.random((batch, inputs)) < density)).astype(np.float32)


def floor(x: np.ndarray, outputs: int, weight_bytes: int, bandwidth: float) -> dict:
    """Bytes that a product of coded tokens moves, and a dense one; microseconds they take."""
    coded = encode(x)
    counted = work(coded.counts, outputs, weight_bytes, coded.escapes)
    ends = x.size * 2 + len(x) * outputs * 4
    return {
        "density": 1 - counted.silent / x.size,
        "bytes": counted.batch_bytes + ends,
        "floor_us": 1e6 * (counted.batch_bytes + ends) / bandwidth,
        "dense_floor_us": 1e6 * (counted.dense_bytes + ends) / bandwidth,
        "operations": counted.operations,
    }


def microseconds(call: Callable[[torch.Tensor], object], copies: list[torch.Tensor]) -> float:
    """Median over rounds of one call's time within a graph of many."""
    for w in copies[:2]:
        call(w)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(CALLS):
            call(copies[i % len(copies)])
    found = []
    for _ in range(ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        found.append(1e3 * start.elapsed_time(end) / CALLS)
    return statistics.median(found)


def copies(weights: torch.Tensor) -> list[torch.Tensor]:
    return [weights.clone() for _ in range(max(2, CACHE // (weights.numel() * weights.element_size())))]


def decode_rows(shape: tuple[int, int], densities: list[float], bandwidth: float) -> list[dict]:
    """One token and a few: rows of weights are skipped."""
    inputs, outputs = shape
    rows = []
    for batch in (1, 4, 16):
        for density in densities:
            x = tokens(batch, inputs, density)
            row = {"kernel": "decode" if batch == 1 else "few", "batch": batch, **floor(x, outputs, 2, bandwidth)}
            if torch.cuda.is_available():
                row |= time_decode(x, outputs)
            rows.append(row)
    return rows


def time_decode(x: np.ndarray, outputs: int) -> dict:
    from neurosim.kernels.spikes.accumulate import gpu

    inputs = x.shape[1]
    made = torch.Generator("cuda").manual_seed(0)
    many = copies(torch.randn(inputs, outputs, generator=made, device="cuda", dtype=torch.float16))
    turned = [w.T.contiguous() for w in many]
    on = torch.from_numpy(x).cuda().half()
    found = {
        "cublas_fp16_us": min(
            microseconds(lambda w: torch.nn.functional.linear(on, w), turned), microseconds(lambda w: on @ w, many)
        )
    }
    if len(x) == 1:
        found["us"] = microseconds(lambda w: gpu.decode(on, w, 3.0, None), many)
    else:
        found["us"] = microseconds(lambda w: gpu.encode_product(on, w, 3.0, None), many)
    return found


def batch_rows(shape: tuple[int, int], bandwidth: float) -> list[dict]:
    """Many tokens: the count product in int8 and fp16, and the plane product, beside dense fp16 and int8 products."""
    inputs, outputs = shape
    rows = []
    for batch in (64, 256, 2048):
        x = tokens(batch, inputs, 0.82)
        row = {"kernel": "batch", "batch": batch, **floor(x, outputs, 1, bandwidth)}
        if torch.cuda.is_available():
            row |= time_batch(x, outputs)
        rows.append(row)
    return rows


def time_batch(x: np.ndarray, outputs: int) -> dict:
    from neurosim.kernels.spikes.accumulate import gpu
    from neurosim.kernels.spikes.encode.gpu import encode as encode_on_gpu
    from neurosim.kernels.spikes.planes.gpu import encode_planes, plane_product

    made = torch.Generator("cuda").manual_seed(0)
    size = (outputs, x.shape[1])
    whole = copies(torch.randint(-127, 128, size, generator=made, device="cuda", dtype=torch.int8))
    half = [w.half() for w in whole]
    on = torch.from_numpy(x).cuda().half()
    coded = encode_on_gpu(on, 3.0, None, 127)
    packed, _ = encode_planes(on, 3.0, None, 3)
    return {
        "cublas_fp16_us": microseconds(lambda w: torch.nn.functional.linear(on, w), half),
        "cublas_int8_us": microseconds(lambda w: torch._int_mm(coded.counts, w.T), whole),
        "us": microseconds(lambda w: gpu.product(coded.counts, w.T, coded.escapes), whole),
        "fp16_us": microseconds(lambda w: gpu.product(coded.counts, w.T, coded.escapes), half),
        "planes_us": microseconds(lambda w: plane_product(packed, w.T), whole),
    }


def show(rows: list[dict]) -> Iterator[str]:
    for row in rows:
        cells = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        yield "  ".join(cells)


def main() -> None:
    # Decided here whether products and sums may be one instruction; each launch says it again.
    os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"
    parser = frame.arguments(__doc__)
    parser.add_argument("--shape", default="4096x4096", metavar="KxN")
    parser.add_argument("--densities", nargs="*", type=float, default=[0.1, 0.3, 0.82])
    parser.add_argument("--bandwidth", type=float, default=3.0e12, help="bytes a second")
    options = parser.parse_args()
    shape = tuple(map(int, options.shape.split("x")))
    if torch.cuda.is_available():
        card = torch.cuda.get_device_name()
    else:
        card = None
    rows = decode_rows(shape, options.densities, options.bandwidth) + batch_rows(shape, options.bandwidth)
    lines = [f"card: {card or 'none here: bytes and floors alone'}", *show(rows)]
    frame.report(options, lines, {"card": card, "torch": torch.__version__, "rows": rows})


if __name__ == "__main__":
    main()
