"""Permuted MNIST, ten tasks, by Hebbian orthogonal projection: accuracy matrix, ACC, BWT and time, beside plain SGD.

    NEUROSIM_DATA=FOLDER python benchmarks/hlop.py [--training bptt online rate] [--spiking] [--seeds 1] [--json]
        [--plain] [--held-out] [--tasks 10] [--train 60000] [--threads 2]

784-800-800-10 without biases, one head, batches of 64, one epoch a task, as in Xiao et al., ICLR 2024, who report
recipes and figures. `--held-out` learns from the first 50,000 images and asks about the last 10,000 of the training
set: every choice was made there. The test set is asked once, in the run that is reported.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import torch
from machine import describe
from tqdm import tqdm

from neurosim import catalog
from neurosim.datasets import mnist
from neurosim.hlop import TRAININGS, HLOPNetwork

SIZES = (784, 800, 800, 10)
BATCH, ASKED = 64, 1000
MEAN, SD = 0.1307, 0.3081  # of MNIST's grey levels
FIRST_ROWS = (80, 200, 100)
LEARNING_RATE = 0.1


def rows_of(task: int) -> tuple[int, int, int]:
    """Lateral neurons that a task adds to each layer, as published."""
    return FIRST_ROWS if task == 0 else (70 - 20 * (task // 3),) * 3


def data(held_out: bool) -> tuple[tuple, tuple]:
    root = catalog.find_root(mnist.INFO)
    train = mnist.images("train", root)
    if held_out:
        return tensors(train.pixels[:50_000], train.labels[:50_000]), tensors(
            train.pixels[50_000:], train.labels[50_000:]
        )
    test = mnist.images("test", root)
    return tensors(train.pixels, train.labels), tensors(test.pixels, test.labels)


def tensors(pixels: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.tensor(pixels.reshape(len(pixels), -1), dtype=torch.float32).div_(255).sub_(MEAN).div_(SD)
    return x, torch.tensor(labels, dtype=torch.int64)


def permutation(seed: int, task: int) -> torch.Tensor:
    return torch.randperm(SIZES[0], generator=torch.Generator().manual_seed(1000 * seed + task))


def learn(network: HLOPNetwork, train: tuple, task: int, options: argparse.Namespace, seed: int) -> None:
    x, y = train
    pixels = permutation(seed, task)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(7919 * seed + task))[: options.train]
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=options.lr)
    batches = order.split(BATCH)
    for i, some in enumerate(tqdm(batches, desc=f"task {task}", file=sys.stderr, mininterval=5)):
        if options.fall:
            optimizer.param_groups[0]["lr"] = options.lr * (1 - i / len(batches))
        optimizer.zero_grad()
        network.gradients(x[some][:, pixels], y[some])
        optimizer.step()


@torch.no_grad()
def accuracy(network: HLOPNetwork, test: tuple, task: int, seed: int) -> float:
    x, y = test
    pixels = permutation(seed, task)
    right = [
        (network(a[:, pixels]).argmax(1) == b).sum().item() for a, b in zip(x.split(ASKED), y.split(ASKED), strict=True)
    ]
    return sum(right) / len(y)


def run(training: str, projects: bool, options: argparse.Namespace, seed: int) -> dict:
    """One seed: R[i][j], the accuracy on task j after task i, and the seconds that learning took."""
    train, test = data(options.held_out)
    network = HLOPNetwork(SIZES, TRAININGS[training](), spiking=options.spiking, projects=projects, seed=seed)
    matrix = np.full((options.tasks, options.tasks), np.nan)
    seconds = []
    for task in range(options.tasks):
        start = time.perf_counter()
        network.begin_task(rows_of(task))
        learn(network, train, task, options, seed)
        network.end_task()
        seconds.append(time.perf_counter() - start)
        for j in range(task + 1):
            matrix[task, j] = accuracy(network, test, j, seed)
        line = " ".join(f"{100 * a:6.2f}" for a in matrix[task, : task + 1])
        print(f"{seconds[-1]:7.1f} s  {line}   mean {100 * matrix[task, : task + 1].mean():.2f}", flush=True)
    last, own = matrix[-1], matrix.diagonal()
    return {
        "matrix": matrix.tolist(),
        "acc": float(last.mean()),
        "bwt": float((last - own)[:-1].mean()),
        "seconds": sum(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--training", nargs="+", choices=sorted(TRAININGS), default=["bptt"])
    parser.add_argument("--spiking", action="store_true", help="spiking lateral neurons")
    parser.add_argument("--plain", action="store_true", help="plain SGD too")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--train", type=int, default=60_000, help="images a task")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=LEARNING_RATE)
    parser.add_argument("--fall", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = []
    for training in options.training:
        for projects in (True, False) if options.plain else (True,):
            runs = [run(training, projects, options, seed) for seed in range(options.seeds)]
            results.append({"training": training, "hlop": projects, "runs": runs})
            print(training, "hlop" if projects else "plain", [(r["acc"], r["bwt"], r["seconds"]) for r in runs])
    if options.json:
        print(json.dumps({"machine": describe(options.threads), "results": results}))


if __name__ == "__main__":
    main()
