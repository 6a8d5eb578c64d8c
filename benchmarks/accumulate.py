"""Spike products on the CPU: rows of weights that spikes select, against torch's dense float32 product.

    python benchmarks/accumulate.py [--shapes 4096x4096 1024x4096] [--batches 1 4 16] [--densities 0.1 0.3 0.82]
                                    [--threads 2] [--rounds 15] [--json]

Counts are small integers of both signs at random places (density .82 is what k = 3 gives). A time is that of
`spike_accumulate` from the counts on: the list of active channels is made each time. torch multiplies the same counts
as float32 by [N, K] weights, its own layout, which is the faster one there. In each round every form runs once, in
turn, so that none finds its weights in a core's cache; medians over rounds. GB/s is over the bytes of those rows of
weights that the batch selects (of all weights, for torch).

Then the state of linear attention (16 heads of 128 x 128, float32, decay and delta rule), token by token: `lazy_scan`,
which touches rows active in q or k, beside the dense recurrence in torch, with the bytes that either has to move.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import frame
import numpy as np
import torch
from spike_work import work
from tqdm import tqdm

from neurosim.kernels.spikes.accumulate.launch import spike_accumulate
from neurosim.kernels.spikes.accumulate.reference import accumulate_reference
from neurosim.kernels.spikes.lazy_state.launch import lazy_scan
from neurosim.kernels.spikes.lazy_state.reference import LazyState, traffic

TYPES = {"float32": 4, "bfloat16": 2, "int8": 1}
# The state of linear attention: tokens of a run, heads, and channels of keys and values.
TOKENS = 32
HEADS = 16
KEYS = 128


def spikes(rows: int, inputs: int, density: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, (rows, inputs)) * rng.choice([-1, 1], (rows, inputs))
    return (sizes * (rng.random((rows, inputs)) < density)).astype(np.int8)


def weights(inputs: int, outputs: int) -> dict[str, np.ndarray]:
    """Return the same matrix [K, N] in each type; bfloat16 as its bits, int8 in steps of 1 / 32."""
    real = np.random.default_rng(1).standard_normal((inputs, outputs), np.float32)
    bits = torch.from_numpy(real).bfloat16().view(torch.uint16).numpy()
    return {"float32": real, "bfloat16": bits, "int8": np.clip(np.rint(real * 32), -127, 127).astype(np.int8)}


def measure(shape: tuple[int, int], batch: int, density: float, threads: int, rounds: int) -> dict:
    inputs, outputs = shape
    counts = spikes(batch, inputs, density)
    made = weights(inputs, outputs)
    dense_weights = torch.from_numpy(made["float32"]).T.contiguous()
    as_float = torch.from_numpy(counts.astype(np.float32))
    expected = accumulate_reference(counts, made["float32"])
    np.testing.assert_allclose(
        spike_accumulate(counts, made["float32"]), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    forms: dict[str, Callable[[], object]] = {
        name: lambda w=w: spike_accumulate(counts, w, threads=threads) for name, w in made.items()
    }
    forms["torch"] = lambda: torch.nn.functional.linear(as_float, dense_weights)
    for call in forms.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, call in forms.items():
            taken[name].append(frame.seconds(call))
    row: dict = {"inputs": inputs, "outputs": outputs, "batch": batch, "density": density}
    for name, times in taken.items():
        middle = statistics.median(times)
        counted = work(counts, outputs, TYPES.get(name, 4))
        if name == "torch":
            read = counted.dense_bytes
        else:
            read = counted.batch_bytes
        row[name] = {"ns": 1e9 * middle, "gb_per_s": read / middle / 1e9, "least_ns": 1e9 * min(times)}
    row["operations"] = work(counts, outputs, 4).operations
    row["times_torch"] = {name: row["torch"]["ns"] / row[name]["ns"] for name in made}
    return row


def dense_token(rows: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor) -> object:
    """Step one token of the delta rule with beta = 1 on rows [H, K, V], all of them, in place."""
    rows *= decay.exp()[:, None, None]
    u = v - torch.bmm(k[:, None], rows)[:, 0]
    rows.baddbmm_(k[:, :, None], u[:, None])
    return torch.bmm(q[:, None], rows)


def measure_state(density: float, threads: int, rounds: int) -> dict:
    draws = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(TOKENS, HEADS, KEYS, generator=draws) for _ in range(3))
    q, k = (x * (torch.rand(x.shape, generator=draws) < density) / KEYS**0.5 for x in (q, k))
    decay = torch.full((TOKENS, HEADS), -0.05)
    beta = torch.ones(TOKENS, HEADS)
    rows = torch.zeros(HEADS, KEYS, KEYS)
    state = LazyState(torch.zeros(HEADS, KEYS, KEYS), torch.zeros(HEADS, KEYS))
    forms: dict[str, Callable[[int], object]] = {
        "lazy": lambda t: lazy_scan(state, *(x[t : t + 1] for x in (q, k, v, decay, beta)), threads=threads),
        "torch": lambda t: dense_token(rows, q[t], k[t], v[t], decay[t]),
    }
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds + 1):
        for name, call in forms.items():
            taken[name] += [frame.seconds(lambda call=call, t=t: call(t)) for t in range(TOKENS)]
    moved = traffic(q.numpy(), k.numpy(), KEYS, delta=True)
    row: dict = {"density": density, "bytes_ratio": moved.dense_bytes / moved.lazy_bytes}
    for name, times in taken.items():
        row[f"{name}_ns"] = 1e9 * statistics.median(times[TOKENS:])
    row["lazy_bytes"] = moved.lazy_bytes / TOKENS
    row["dense_bytes"] = moved.dense_bytes / TOKENS
    return row


def show(rows: list[dict], states: list[dict]) -> Iterator[str]:
    """Yield the lines of both tables."""
    forms = (*TYPES, "torch")
    heads = [head for name in forms for head in (f"{name}, us", "GB/s")]
    times = [f"{name}, x torch" for name in TYPES]
    cells = []
    for row in rows:
        figures = [cell for n in forms for cell in (f"{row[n]['ns'] / 1e3:.0f}", f"{row[n]['gb_per_s']:.1f}")]
        faster = [f"{row['times_torch'][name]:.2f}" for name in TYPES]
        cells.append([f"{row['inputs']} x {row['outputs']}", row["batch"], f"{row['density']:.2f}", *figures, *faster])
    yield from frame.table(["K x N", "batch", "density", *heads, *times], cells)
    yield ""
    cells = []
    for row in states:
        lazy = row["lazy_ns"] / 1e3
        dense = row["torch_ns"] / 1e3
        moved = [f"{row['lazy_bytes']:.0f}", f"{row['dense_bytes']:.0f}", f"{1 / row['bytes_ratio']:.2f}"]
        cells.append([f"{row['density']:.2f}", f"{lazy:.1f}", f"{dense:.1f}", f"{dense / lazy:.2f}", *moved])
    yield from frame.table(["state: density", "lazy, us", "torch, us", "times", "bytes", "dense", "of dense"], cells)


def main() -> None:
    parser = frame.arguments(__doc__, threads=2, rounds=15)
    parser.add_argument("--shapes", nargs="*", default=["4096x4096", "1024x4096"], metavar="KxN")
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 4, 16])
    parser.add_argument("--densities", nargs="*", type=float, default=[0.1, 0.3, 0.82])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = [
        (tuple(map(int, shape.split("x"))), batch, density)
        for shape in options.shapes
        for batch in options.batches
        for density in options.densities
    ]
    rows = [
        measure(shape, batch, density, options.threads, options.rounds)
        for shape, batch, density in tqdm(cases, desc="products")
    ]
    states = [measure_state(density, options.threads, options.rounds) for density in options.densities]
    frame.report(options, show(rows, states), {"torch": torch.__version__, "rows": rows, "states": states})


if __name__ == "__main__":
    main()
