"""Shows what a part of a kind of attention is good for: small models with and without it, on one task each.

    python benchmarks/mechanisms.py [rounds] [active] [units] [long] [partitions] [memories] [pixels]
        [frontier] [--seeds 3] [--steps 300] [--side 14] [--json] [--plot FILE]

rounds: rounds of Newton's method of `paragru`, 64 units, over 256 and 1,024 tokens: with its first weights, and after
    150 updates with 3 rounds on parity of up to 40 bits and on recall of up to 32 pairs; at most 32 and 64 are taken.
active: share of tokens that the router of two layers of `seqboat` activates after training on copying 4 tokens among 28
    blanks: tokens, blanks, markers that ask; and the share of right answers.
units: recall of 4 / 8 / 16 pairs by two layers of `seqboat`, `tcnca`, `window` and `ssm`, and by a window above `ssm`
    as in MEGA, whose averages `tcnca` has convolutions in place of. Windows and chunks are of 16 tokens.
long: recall over long texts. 10 keys with a value each follow one another at random; what is the value of the last key
    of a text of 512, 2,048 and 8,192 tokens? One layer of the unit of MEGA in chunks of 64 tokens, behind the dilated
    convolutions of TCNCA, behind MEGA's averages, or behind neither; trained on up to 128 tokens, where every key that
    occurred before is a question. Also the CPU time of a token of each, on stderr; --steps 1000 is enough.
partitions: recall of 8 / 16 / 32 pairs by one layer of `sse` with 1 to 16 partitions, of which a token uses 2.
memories: recall of 8 / 16 / 32 pairs by one layer of Titans, the three kinds of Miras, and `deltanet`.
pixels: classes of MNIST's digits, reduced to --side pixels a side and shown pixel by pixel, told by two layers of
    `lssl` with A trained in its class or left as it starts, from LegS or no measure, and by `ssm`; updates of 20
    images. 28 pixels a side are the digits as they are, 784 steps.
frontier: recall of 8 / 16 / 32 pairs against bytes of state: Based with keys of 8, 12 and 16 channels and windows of 8
    to 64 tokens, `gla`, `mamba2`, `deltanet` and `window` of several sizes, two layers each. --plot draws it, SVG or
    PNG.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import frame
import numpy as np
import torch

from neurosim.app.report.charts import PALETTE, Curve, curves, write_picture
from neurosim.base.errors import NeurosimError
from neurosim.language import Depth, MixerSpec, build
from neurosim.language.attention.kinds.parallel_rnn import NewtonMixer
from neurosim.language.attention.probe import ProbeModel, ProbeRun, ProbeTraining, scores_by_size
from neurosim.language.attention.tasks import TASKS
from neurosim.language.attention.tasks.base import SequenceTask, TaskBatch, batch_of
from neurosim.language.attention.tasks.pixels import Pixels
from neurosim.language.attention.tasks.recall import RecallTask, SelectiveCopying
from neurosim.language.conversion.generate import state_bytes

WIDTH = 32
PAIRS = RecallTask(keys=64, values=16, trained=(1, 16), sizes=(4, 8, 16))
MORE_PAIRS = RecallTask(keys=64, values=16, trained=(1, 32), sizes=(8, 16, 32))
COPYING = SelectiveCopying(tokens=4, values=6, trained=(32, 32), sizes=(32,))
Layers = list[tuple[str, dict[str, Any]]]
WINDOW = {"num_heads": 2, "window_size": 16}
CHUNK = {"layers": 2, "window_size": 16}
UNITS: dict[str, Layers] = {
    "seqboat": [("seqboat", {})] * 2,
    "seqboat, bias": [("seqboat", {"positions": "bias"})] * 2,
    "tcnca": [("tcnca", CHUNK)] * 2,
    "tcnca, simple": [("tcnca", CHUNK | {"simple": True})] * 2,
    "ssm, window": [("ssm", {}), ("window", WINDOW)],
    "window": [("window", WINDOW)] * 2,
    "ssm": [("ssm", {})] * 2,
}
# Seed 0 diverges within 300 updates with larger steps: Titans with 1, Moneta with .1.
MEMORY = {"num_heads": 1, "memory_depth": 1, "max_step": 0.3, "span": 4}
MEMORIES: dict[str, Layers] = {
    "titans": [("titans", MEMORY)],
    "yaad": [("yaad", MEMORY)],
    "moneta": [("moneta", MEMORY | {"max_step": 0.03})],
    "memora": [("memora", MEMORY | {"max_step": 1.0})],
    "deltanet": [("deltanet", {"num_heads": 1, "conv_size": 4})],
}
IN_CHUNKS: dict[str, dict[str, Any]] = {
    "convolutions": {},
    "averages": {"averages": "ema"},
    "neither": {"layers": 1, "kernel": 1},
    "convolutions, simple": {"simple": True},
}
IMAGES_OF_UPDATE = 20
MATRICES = {"trained": (), "fixed": ("P", "diagonal", "Q", "T_lower", "T_diagonal", "T_upper")}


def trained(
    task: SequenceTask,
    layers: Layers,
    steps: int,
    seed: int,
    *,
    tokens: int = 512,
    learning_rate: float = 5e-3,
    fixed: Collection[str] = (),
) -> ProbeModel:
    """A model of these layers, trained on batches of about `tokens` tokens; mixers' parameters `fixed` stay."""
    torch.manual_seed(seed)
    model = ProbeModel(task, [MixerSpec(kind, options) for kind, options in layers], WIDTH, seed=seed)
    for mixer in model.body.mixers():
        for name in fixed:
            mixer.get_parameter(name).requires_grad_(False)
    ProbeRun(task, model, ProbeTraining(steps=steps, tokens=tokens, learning_rate=learning_rate), seed).run()
    return model.eval()


def _score(task: SequenceTask, layers: Layers, steps: int, seed: int) -> tuple[float, ...]:
    """Scores by size, NaN of a training that diverged."""
    try:
        return scores_by_size(task, trained(task, layers, steps, seed), seed)
    except NeurosimError as error:
        frame.say(str(error))
        return (float("nan"),) * len(task.sizes)


def recalled(task: SequenceTask, table: dict[str, Layers], seeds: int, steps: int) -> list[dict[str, Any]]:
    """Scores [seeds, sizes] of each row of a table of layers."""
    rows = []
    for name, layers in table.items():
        scores = [_score(task, layers, steps, seed) for seed in range(seeds)]
        frame.say(f"{name}: {scores}")
        rows.append({"layers": name, "score": scores})
    return rows


@torch.no_grad()
def _rounds(model: ProbeModel, task: SequenceTask, size: int) -> int:
    """Rounds until rounding over one batch of 8 sequences."""
    batch = task.draw(size, 8, torch.Generator().manual_seed(10**6))
    model(batch.inputs)
    return cast(NewtonMixer, model.body.mixers()[0]).last_rounds


def rounds(seeds: int, steps: int) -> list[dict[str, Any]]:
    """Rounds [seeds, sizes]; beyond 2 sqrt(tokens) a loop takes over."""
    parity = TASKS["parity"]
    parity = type(parity)(**{**vars(parity), "trained": (3, 40)})
    pairs = RecallTask(keys=512, values=16, trained=(1, 32), sizes=(32,))
    layers: Layers = [("paragru", {"units": 64})]
    rows = []
    for name, task, sizes, updates in (
        ("first weights", parity, (256, 1024), 0),
        ("parity", parity, (256, 1024), 150),
        ("recall", pairs, (128, 512), 150),
    ):
        found = []
        for seed in range(seeds):
            if updates:
                model = trained(task, layers, updates, seed)
            else:
                model = ProbeModel(task, [MixerSpec(*layers[0])], WIDTH, seed=seed)
            found.append([_rounds(model, task, size) for size in sizes])
        rows.append({"after": name, "rounds": found})
    return rows


@torch.no_grad()
def _shares(model: ProbeModel, task: SelectiveCopying) -> list[float]:
    """Shares of active tokens among values, blanks and markers, mean over layers."""
    batch = task.draw(task.sizes[0], 256, torch.Generator().manual_seed(10**6))
    found: list[torch.Tensor] = []
    handles = []
    for mixer in model.body.mixers():
        # Behind the averages: what the router sees.
        handles.append(
            cast(Any, mixer).hx_proj.register_forward_hook(
                lambda layer, inputs, out: found.append(out[..., 1] > out[..., 0])
            )
        )
    model(batch.inputs)
    for handle in handles:
        handle.remove()
    active = torch.stack(found).double().mean(0)
    token = batch.inputs[..., 0]
    masks = (token < task.values, token == task.values, token == task.values + 1)
    return [float(active[mask].mean()) for mask in masks]


def active(seeds: int, steps: int) -> list[dict[str, Any]]:
    found = []
    for seed in range(seeds):
        model = trained(COPYING, [("seqboat", {})] * 2, steps, seed)
        found.append([*_shares(model, COPYING), *scores_by_size(COPYING, model, seed)])
    layers: Layers = [("window", {"num_heads": 2})] * 2
    window = [scores_by_size(COPYING, trained(COPYING, layers, steps, s), s)[0] for s in range(seeds)]
    return [{"layers": "seqboat", "shares": found}, {"layers": "window", "right": window}]


def units(seeds: int, steps: int) -> list[dict[str, Any]]:
    return recalled(PAIRS, UNITS, seeds, steps)


@dataclass(frozen=True, kw_only=True)
class LongRecall(SequenceTask):
    """Keys and their values in turn, drawn with repeats; the value of the last key is the answer (Sommer et al. 2023).

    Args:
        keys: number of keys, and of values.
    """

    min_tested: ClassVar[int] = 128

    trained: tuple[int, int] = (32, 128)
    sizes: tuple[int, ...] = (512, 2048, 8192)
    keys: int = 10

    @property
    def fields(self) -> tuple[int, ...]:
        return (2 * self.keys,)

    @property
    def outputs(self) -> int:
        return self.keys

    def length(self, size: int) -> int:
        return size // 2 * 2 - 1

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        drawn = self._draw(size, batch, generator)
        drawn.loss_mask[:, :-1] = False
        return drawn

    def training_batch(self, generator: torch.Generator, tokens: int = 1024) -> TaskBatch:
        low, high = self.trained
        size = int(torch.randint(low, high + 1, (), generator=generator))
        return self._draw(size, batch_of(size, tokens), generator)

    def _draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        """Draw sequences in which every key that occurred before is a question."""
        value_of_key = torch.randint(self.keys, (batch, self.keys), generator=generator)
        keys = torch.randint(self.keys, (batch, size // 2), generator=generator)
        # The first keys are all different, so that the last one has been seen.
        first = torch.rand(batch, self.keys, generator=generator).argsort(-1)[:, : keys.shape[1]]
        keys[:, : first.shape[1]] = first
        values = value_of_key.gather(1, keys)
        tokens = torch.stack([keys, values + self.keys], -1).flatten(1)[:, :-1]
        answers = torch.stack([values, torch.zeros_like(values)], -1).flatten(1)[:, :-1]
        place = torch.arange(tokens.shape[1])
        is_question = (place % 2 == 0) & (place >= 2 * first.shape[1])
        return TaskBatch(tokens[..., None], answers, is_question.repeat(batch, 1))


def _time(options: dict[str, Any]) -> dict[str, float]:
    """CPU time of a token in a text of 8,192 by one layer, microseconds, forward and with gradients."""
    mixer = build("tcnca", WIDTH, Depth(), options)
    x = torch.randn(1, 8192, WIDTH)

    def forward() -> None:
        with torch.no_grad():
            mixer(x)

    def with_gradients() -> None:
        y, _ = mixer(x)
        y.square().sum().backward()

    found = {}
    for name, run in (("forward", forward), ("with gradients", with_gradients)):
        run()  # warms up
        times = []
        for _ in range(3):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        found[name] = min(times) / x.shape[1] * 1e6
    return found


def long(seeds: int, steps: int) -> list[dict[str, Any]]:
    """Recall [seeds, sizes] and microseconds a token of the unit behind each."""
    task = LongRecall()
    rows = []
    for name, options in IN_CHUNKS.items():
        layer = options | {"window_size": 64}
        times = _time(layer)
        scores = []
        for seed in range(seeds):
            model = trained(task, [("tcnca", layer)], steps, seed, tokens=2048, learning_rate=1e-2)
            scores.append(scores_by_size(task, model, seed))
            frame.say(f"{name} {scores[-1]}")
        frame.say(f"{name} {times}")
        rows.append({"before the unit": name, "score": scores, "microseconds": times})
    return rows


def partitions(seeds: int, steps: int) -> list[dict[str, Any]]:
    sizes = {"num_heads": 1, "head_dim": 8, "head_v_dim": 16}
    table: dict[str, Layers] = {
        f"sse, {count} of 1 + {count_all}": [("sse", {**sizes, "num_sparse_partition": count_all, "topk": count})]
        for count_all in (1, 2, 4, 8, 16)
        for count in (min(2, count_all),)
    }
    return recalled(MORE_PAIRS, table, seeds, steps)


def memories(seeds: int, steps: int) -> list[dict[str, Any]]:
    return recalled(MORE_PAIRS, MEMORIES, seeds, steps)


def pixels(seeds: int, steps: int, side: int = 14) -> list[dict[str, Any]]:
    """Right answers of `lssl` by its first A, trained and fixed, and of `ssm`."""
    rows = []
    images = Pixels(dataset="mnist", trained=(side, side), sizes=(side,))
    tokens = IMAGES_OF_UPDATE * images.length(side)
    for name, layers, fixed in (
        *(
            (f"lssl, {measure}, {training}", [("lssl", {"structured": True, "measure": measure})] * 2, parts)
            for measure in ("legs", "random")
            for training, parts in MATRICES.items()
        ),
        ("ssm", [("ssm", {})] * 2, ()),
    ):
        scores = []
        for seed in range(seeds):
            model = trained(images, layers, steps, seed, tokens=tokens, fixed=fixed)
            scores.append(scores_by_size(images, model, seed))
            frame.say(f"{name} {scores}")
        rows.append({"layers": name, "score": scores})
    return rows


def _based(key: int, window: int) -> Layers:
    linear = {"num_heads": 1, "key_dim": key, "feature_map": "based", "conv_size": 3, "use_output_norm": False}
    return [("linear", linear), ("window", {"num_heads": 1, "window_size": window})]


# Layers of several sizes for each name.
FAMILIES: dict[str, list[Layers]] = {
    "based": [_based(key, window) for key in (8, 12, 16) for window in (8, 16, 32, 64)],
    "mamba2": [[("mamba2", {"state_size": size, "head_dim": 16})] * 2 for size in (16, 64)],
    "gla": [[("gla", {"num_heads": 1, "key_dim": size})] * 2 for size in (16, 64)],
    "deltanet": [[("deltanet", {"num_heads": 1, "conv_size": 4})] * 2],
    "window": [[("window", {"num_heads": 1, "window_size": size})] * 2 for size in (16, 64)],
}


def frontier(seeds: int, steps: int) -> list[dict[str, Any]]:
    """Recall [seeds, sizes] and bytes of state of each size of each family."""
    rows = []
    for name, family in FAMILIES.items():
        for layers in family:
            models = [trained(MORE_PAIRS, layers, steps, seed) for seed in range(seeds)]
            scores = [scores_by_size(MORE_PAIRS, model, seed) for seed, model in enumerate(models)]
            longest = MORE_PAIRS.draw(32, 1, torch.Generator().manual_seed(0)).inputs
            with torch.no_grad():
                size = state_bytes(models[0](longest)[1])
            frame.say(f"{name} {size} {scores}")
            rows.append({"layers": f"{name}, {size:,} bytes", "score": scores, "bytes": size, "family": name})
    return rows


def draw(rows: list[dict[str, Any]], path: str) -> None:
    """Picture of recall of the most pairs against bytes of state."""
    drawn = []
    for i, name in enumerate(FAMILIES):
        points = sorted((row["bytes"], np.mean(row["score"], 0)[-1]) for row in rows if row["family"] == name)
        sizes, scores = np.array(points, np.float64).T
        drawn.append(Curve(name, sizes, scores, PALETTE[i % len(PALETTE)], "dots"))
    pairs = MORE_PAIRS.sizes[-1]
    words = f"recall of {pairs} pairs against bytes of state"
    write_picture(path, curves(drawn, "bytes of state", "recalled", words, y=(0, 1.02), log_x=True))


PARTS = {
    "rounds": rounds,
    "active": active,
    "units": units,
    "long": long,
    "partitions": partitions,
    "memories": memories,
    "pixels": pixels,
    "frontier": frontier,
}
COLUMNS = {
    "rounds": ["256 tokens", "1,024"],
    "active": ["tokens", "blanks", "markers", "right"],
    "units": list(map(str, PAIRS.sizes)),
    "long": ["512 tokens", "2,048", "8,192"],
    "partitions": list(map(str, MORE_PAIRS.sizes)),
    "memories": list(map(str, MORE_PAIRS.sizes)),
    "pixels": ["right"],
    "frontier": list(map(str, MORE_PAIRS.sizes)),
}


def show(found: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    for part, rows in found.items():
        cells = []
        for row in rows:
            name, figures = list(row.values())[:2]
            by_seed = np.atleast_2d(np.array(figures, float).T).T
            if by_seed.shape[1] == 1:
                # A score alone stands in the last column.
                by_seed = np.pad(by_seed, ((0, 0), (len(COLUMNS[part]) - 1, 0)), constant_values=np.nan)
            spread = [
                "" if np.isnan(x).any() else f"{x.mean():.3g} ({x.min():.3g} to {x.max():.3g})" for x in by_seed.T
            ]
            cells.append([name, *spread])
        yield from frame.table([part, *COLUMNS[part]], cells)


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=300)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--side", type=int, default=14, help="pixels a side of the images of `pixels`")
    parser.add_argument("--plot", help="SVG or PNG of recall against bytes of state, of `frontier`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = PARTS | {"pixels": partial(pixels, side=options.side)}
    found = {part: parts[part](options.seeds, options.steps) for part in options.parts}
    if options.plot and "frontier" in found:
        draw(found["frontier"], options.plot)
    frame.report(options, show(found), found)


if __name__ == "__main__":
    main()
