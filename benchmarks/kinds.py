"""The experiments that made attention kinds known, small, each printing its table.

    python benchmarks/kinds.py [regression] [outliers] [shares] [entropy] [newton] [--seeds 3] [--json]

regression: values v = W k + noise, W and the region of the keys switched every 64 tokens; each token's value is
    predicted from those before it by local linear, softmax and linear attention, without training, each at the
    bandwidth (or scale) that is best on other draws; error relative to predicting 0. Also with keys of one region.
outliers: 1,000 pairs of 32 keys written into one matrix, 5 % of the values times 1 to 20; error of the recalled values.
    Moneta, whose cubic loss diverges at larger steps, also at a step that suits no outliers, and with two layers.
shares: the same with values that Memora can hold, the shares of 32 one-hot keys in each channel; errors relative to the
    variance of the values.
entropy: nats of the weights of 256 normal keys of 16 channels, seen by 64 queries of a norm from 1/4 to 4: those of
    softmax and of maps of linear attention as they begin; 5.55 where all weights are alike.
newton: a gated recurrent unit of 64 units, trained-size weights: rounds and CPU time of Newton's method against the
    loop, forward and back, by number of tokens; the same for smooth spikes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import frame
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurosim.kernels.layers.newton.solve import newton_scan
from neurosim.language import Depth, build
from neurosim.language.attention.kinds.feature_maps import NormAware, feature_map
from neurosim.language.attention.kinds.local_linear import regress_locally
from neurosim.learning.layers.parallel import SmoothLIF

KEY = 16
SWITCH = 64
LENGTHS = (64, 128, 256, 512)
Predictor = Callable[[Tensor, Tensor], Tensor]


def pairs(seed: int, *, regions: bool, batch: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Keys [B, T, K] of length sqrt(K), values with noise [B, T, 4], and without."""
    draws = torch.Generator().manual_seed(seed)
    count = LENGTHS[-1] // SWITCH
    weights = torch.randn(batch, count, KEY, 4, generator=draws) / KEY**0.5
    keys = torch.randn(batch, count, SWITCH, KEY, generator=draws)
    if regions:
        keys = torch.randn(batch, count, 1, KEY, generator=draws) + 0.5 * keys
    keys = keys / keys.norm(dim=-1, keepdim=True) * KEY**0.5
    values = (keys @ weights).flatten(1, 2)
    return keys.flatten(1, 2), values + 0.1 * torch.randn(values.shape, generator=draws), values


def _scores(keys: Tensor, bandwidth: float) -> Tensor:
    future = torch.ones(keys.shape[1], keys.shape[1]).triu().bool()
    return (keys @ keys.mT / bandwidth).masked_fill(future, -torch.inf)[:, 1:]


def _local(bandwidth: float, ridge: float) -> Predictor:
    return lambda k, v: regress_locally(_scores(k, bandwidth), k[:, 1:], k, v, torch.tensor([[[ridge]]]))


PREDICTORS: dict[str, list[Predictor]] = {
    "local linear": [_local(h, ridge) for h in (0.5, 1, 2, 4, 8) for ridge in (0.03, 0.3)],
    "softmax": [lambda k, v, h=h: _scores(k, h).softmax(-1) @ v for h in (0.25, 0.5, 1, 2, 4, 8)],
    "linear": [lambda k, v, a=a: a * ((k @ k.mT).tril(-1) @ v)[:, 1:] for a in 10 ** np.arange(-5, -1, 0.25)],
}


def regression(seeds: int) -> list[dict[str, Any]]:
    """Error by tokens seen: those of the last half before each of `LENGTHS`."""
    rows = []
    for regions in (True, False):
        for name, choices in PREDICTORS.items():
            found = []
            for seed in range(seeds):
                errors = [_errors(choice, pairs(100 + seed, regions=regions)) for choice in choices]
                # Each length at its own best: the choice is by other draws than the score.
                scored = [_errors(choice, pairs(seed, regions=regions)) for choice in choices]
                found.append([scored[int(np.argmin([e[i] for e in errors]))][i] for i in range(len(LENGTHS))])
            rows.append({"keys": "regions" if regions else "one region", "attention": name, "error": found})
    return rows


def _errors(predict: Predictor, data: tuple[Tensor, Tensor, Tensor]) -> list[float]:
    keys, noisy, clean = data
    wrong = (predict(keys, noisy) - clean[:, 1:]).square().mean((0, 2)) / clean.square().mean()
    return [float(wrong[n // 2 : n - 1].mean()) for n in LENGTHS]


FACTORS = (1.0, 2.0, 5.0, 10.0, 20.0)


def outliers(seeds: int) -> list[dict[str, Any]]:
    """Mean squared error of values of variance 1 recalled by the matrix that each memory leaves."""
    rows = []
    cases: list[tuple[str, float, dict[str, Any]]] = [("titans", 0.1, {}), ("yaad", 0.1, {})]
    for retention in ("mirror", "printed"):
        moneta: dict[str, Any] = {"retention": retention}
        cases += [("moneta", 0.01, moneta), ("moneta", 1.0, moneta), ("moneta", 0.01, moneta | {"memory_depth": 2})]
    for kind, step, options in cases:
        scores = [[_recalled(kind, factor, seed, step, **options) for factor in FACTORS] for seed in range(seeds)]
        rows.append({"memory": kind, "step": step, **options, "error": scores})
    return rows


def shares(seeds: int) -> list[dict[str, Any]]:
    """The same of values that are shares."""
    rows = []
    for kind in ("titans", "yaad", "memora"):
        step = 3.0 if kind == "memora" else 0.1  # logarithms of small weights need larger steps
        scores = [[_recalled(kind, factor, seed, step, shares=True) for factor in FACTORS] for seed in range(seeds)]
        rows.append({"memory": kind, "error": scores})
    return rows


WIDTH = 64
COUNT = 32


def _pairs_of(draws: torch.Generator, *, shares: bool) -> tuple[Tensor, Tensor]:
    """Keys [4, COUNT, WIDTH] of length 1 and values alike: normal, or positive with a sum over the keys of 1."""
    keys, values = (torch.randn(4, COUNT, WIDTH, generator=draws) for _ in range(2))
    if shares:
        return torch.eye(COUNT, WIDTH).expand(4, -1, -1), (2 * values).softmax(1)
    return keys / keys.norm(dim=-1, keepdim=True), values


@torch.no_grad()
def _recalled(
    kind: str, factor: float, seed: int, step: float, tokens: int = 1000, *, shares: bool = False, **options: Any
) -> float:
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    mixer: Any = build(kind, WIDTH, Depth(), {"num_heads": 1, "memory_depth": 1, "span": 1} | options)
    keys, values = _pairs_of(draws, shares=shares)
    rows = torch.arange(4)[:, None]
    which = torch.randint(COUNT, (4, tokens), generator=draws)
    size = torch.where(torch.rand(4, tokens, generator=draws) < 0.05, factor, 1.0)[..., None]
    x = torch.zeros(4, tokens, WIDTH)
    inputs, _ = mixer.project(x, mixer.initial(x), {})
    inputs |= {"k": keys[rows, which][:, :, None], "v": (values[rows, which] * size)[:, :, None]}
    # No forgetting and no momentum.
    inputs["log_keep"] = torch.zeros_like(inputs["log_keep"])
    inputs["theta"] = torch.full_like(inputs["theta"], step)
    if "log_momentum" in inputs:
        inputs["log_momentum"] = torch.full_like(inputs["theta"], -1e9)
    if "delta" in inputs:
        inputs["delta"] = torch.full_like(inputs["delta"], float(values.std()) if shares else 1.0)
    first = mixer.initial(x)["memory"]
    if mixer.memory_depth == 1:
        # Moneta divides by the norm of its state, which starts small. The others start at nothing.
        if kind == "moneta":
            first = 0.1 * torch.randn(first.shape, generator=draws)
        else:
            first = torch.zeros_like(first)
    memory, _ = mixer.chunked(first, inputs)
    recalled = mixer.recall([matrix[:, None] for matrix in mixer.weights(memory[:, 0, 1])], keys)
    wrong = (recalled - values).square().mean()
    return float(wrong / values.var() if shares else wrong)


NORMS = (0.25, 0.5, 1.0, 2.0, 4.0)
MAPS: dict[str, tuple[str, float]] = {
    "softmax": ("", 0),
    "elu": ("elu", 0),
    "hedgehog": ("hedgehog_by_head", 0),
    **{f"norm_aware, power {power}": ("norm_aware", power) for power in (1, 2, 3)},
}


def entropy(seeds: int) -> list[dict[str, Any]]:
    """Entropy of the weights of keys by the norm of the query."""
    return [{"weights": name, "nats": [_entropies(*MAPS[name], seed) for seed in range(seeds)]} for name in MAPS]


def _map(name: str, power: float, *, is_query: bool) -> nn.Module:
    """Return a feature map, with this power if it has one."""
    made = feature_map(name, KEY, 1, is_query=is_query)
    if isinstance(made, NormAware):
        made.set_power(power, trained=False)
    return made


@torch.no_grad()
def _entropies(name: str, power: float, seed: int) -> list[float]:
    draws = torch.Generator().manual_seed(seed)
    directions = functional.normalize(torch.randn(64, 1, KEY, generator=draws), dim=-1)
    keys = torch.randn(256, 1, KEY, generator=draws)
    found = []
    for norm in NORMS:
        q = norm * directions
        if name:
            weights = _map(name, power, is_query=True)(q)[:, 0] @ _map(name, power, is_query=False)(keys)[:, 0].mT
        else:
            weights = (q[:, 0] @ keys[:, 0].mT / KEY**0.5).exp()
        shares = weights / weights.sum(1, keepdim=True)
        found.append(float(torch.special.entr(shares).sum(1).mean()))
    return found


TOKENS = (64, 256, 1024, 4096)


def newton(seeds: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in ("paragru", "paralstm", "smooth LIF"):
        for tokens in TOKENS:
            found = [_newton(name, tokens, seed) for seed in range(seeds)]
            rows.append({"recurrence": name, "tokens": tokens, "rounds": [f[0] for f in found]})
            rows[-1] |= {"newton": min(f[1] for f in found), "loop": min(f[2] for f in found)}
    return rows


def _newton(name: str, tokens: int, seed: int) -> tuple[int, float, float]:
    """(rounds, CPU seconds forward and back, those of the loop)."""
    torch.manual_seed(seed)
    if name == "smooth LIF":
        layer = SmoothLIF(0.01, width=0.2)
        leak = float(np.exp(-0.1))
        inputs = 0.3 * torch.randn(tokens, 8, 64, 1).abs()
        first = torch.zeros(8, 64, 1)

        def step(v: Tensor, x: Tensor) -> Tensor:
            return leak * (v - ((v - layer.v_threshold) / layer.width).sigmoid()) + x
    else:
        mixer: Any = build(name, 64, Depth(), {"units": 64})
        inputs = mixer.project(torch.randn(8, tokens, 64), {}, {})[0]["u"].transpose(0, 1).detach()
        first = torch.zeros(8, 64, mixer.states)
        step = mixer.step
    inputs.requires_grad_()
    start = time.process_time()
    h, rounds, _, _ = newton_scan(step, first, inputs)
    h.square().sum().backward()
    middle = time.process_time()
    state = first
    states = []
    for each in inputs:
        state = step(state, each)
        states.append(state)
    torch.stack(states).square().sum().backward()
    return rounds, middle - start, time.process_time() - middle


def spread(values: list[float]) -> str:
    return f"{np.mean(values):8.3g} ({min(values):.2g} to {max(values):.2g})"


def show(found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    parts = (
        ("regression", LENGTHS),
        ("outliers", FACTORS),
        ("shares", FACTORS),
        ("entropy", NORMS),
    )
    for name, columns in parts:
        if name in found:
            rows = []
            for row in found[name]:
                # The last entry has the figures of each seed, those before it say of what.
                *labels, figures = row.values()
                rows.append([" ".join(map(str, labels)), *(spread(list(each)) for each in zip(*figures, strict=True))])
            yield from frame.table([name, *map(str, columns)], rows)
    if "newton" in found:
        rows = []
        for row in found["newton"]:
            rounds = f"{min(row['rounds'])} to {max(row['rounds'])}"
            rows.append([row["recurrence"], row["tokens"], rounds, f"{row['newton']:.3f}", f"{row['loop']:.3f}"])
        yield from frame.table(["recurrence", "tokens", "rounds", "newton s", "loop s"], rows)


PARTS = {
    "regression": regression,
    "outliers": outliers,
    "shares": shares,
    "entropy": entropy,
    "newton": newton,
}


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {part: PARTS[part](options.seeds) for part in options.parts}
    frame.report(options, show(found), found)


if __name__ == "__main__":
    main()
