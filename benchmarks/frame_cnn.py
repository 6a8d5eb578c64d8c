"""A small convolutional network on frames of counts of N-MNIST: what a spiking network has to beat on its own ground.

    NEUROSIM_DATA=FOLDER python benchmarks/frame_cnn.py [--seeds 3] [--epochs 40] [--json]

Frames are counts of events in three equal windows, both polarities: six planes. Two convolutions of 5 x 5 in steps of
two (16 and 32 filters), 96 units, the classes; batches are moved by up to two pixels. A tenth of the training
recordings of each class chooses the epoch, and chose this network and its training with seeds 10 and 11. Energy is that
of arithmetic alone, every multiply-accumulate at the costs of the profile horowitz45, an estimate.
"""

from __future__ import annotations

import time
from typing import Any

import frame
import numpy as np
import torch
from torch import Tensor, nn

from neurosim import Recordings
from neurosim.base.measure.profiles import find as find_profile
from neurosim.data import catalog
from neurosim.learning import split

WINDOWS = 3
FRACTION = 0.1
BATCH = 32
RATE = 2e-3
WEIGHT_DECAY = 1e-3
SHIFT = 2


def frames(recordings: Recordings) -> tuple[Tensor, Tensor]:
    """Return the root of counts [n, windows * planes, rows, columns], and labels [n]."""
    counts = recordings.window_counts(WINDOWS).reshape(len(recordings), -1, *recordings.shape[-2:])
    labels = np.asarray(recordings.labels, np.int64)
    return torch.from_numpy(np.sqrt(counts).astype(np.float32)), torch.from_numpy(labels)


def network(planes: int, side: int, classes: int) -> nn.Sequential:
    """Return the network before training."""
    first = (side - 5) // 2 + 1
    second = (first - 5) // 2 + 1
    return nn.Sequential(
        nn.Conv2d(planes, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(32 * second * second, 96),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(96, classes),
    )


def multiply_accumulates(net: nn.Sequential, x: Tensor) -> int:
    """Return the multiply-accumulates of one item [1, planes, rows, columns]."""
    total = 0
    for layer in net:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += x.numel() * layer.weight[0].numel()
    return total


@torch.no_grad()
def accuracy_and_loss(net: nn.Sequential, x: Tensor, y: Tensor) -> tuple[float, float]:
    net.eval()
    scores = net(x)
    return float((scores.argmax(dim=1) == y).double().mean()), float(nn.functional.cross_entropy(scores, y))


def train(seed: int, x: Tensor, y: Tensor, epochs: int) -> nn.Sequential:
    """Return the network of the epoch that is best on validation recordings."""
    torch.manual_seed(seed)
    learned, held = (torch.from_numpy(rows) for rows in split(y.numpy(), FRACTION, seed))
    held_x = x[held]
    net = network(x.shape[1], x.shape[-1], int(y.max()) + 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(learned) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    best = (-1.0, 0.0)
    weights: dict[str, Tensor] = {}
    for _ in range(epochs):
        net.train()
        for rows in learned[torch.randperm(len(learned))].split(BATCH):
            moved = torch.roll(x[rows], torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist(), dims=(2, 3))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(moved), y[rows]).backward()
            optimizer.step()
            schedule.step()
        accuracy, loss = accuracy_and_loss(net, held_x, y[held])
        if (accuracy, -loss) > best:
            best = (accuracy, -loss)
            weights = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(weights)
    return net


def measure(seeds: int, epochs: int) -> dict[str, Any]:
    (x, y), (test_x, test_y) = (frames(catalog.load("nmnist", part)) for part in ("train", "test"))
    scale = x.std()
    x /= scale
    test_x /= scale
    accuracies = []
    seconds = []
    for seed in range(seeds):
        start = time.process_time()
        net = train(seed, x, y, epochs)
        seconds.append(time.process_time() - start)
        accuracies.append(accuracy_and_loss(net, test_x, test_y)[0])
        frame.say(f"  seed {seed}: {accuracies[-1]:.3f}, {seconds[-1]:.1f} CPU s")
    operations = multiply_accumulates(net.eval(), x[:1])
    profile = find_profile("horowitz45")
    energies = {}
    for kind, bits in (("int", 8), ("float", 32)):
        cost = profile.operation(kind, bits)
        assert cost is not None and cost.multiply is not None
        energies[f"{kind}{bits}"] = operations * (cost.add + cost.multiply) * 1e-6  # pJ to uJ
    return {
        "train": len(y),
        "test": len(test_y),
        "accuracies": accuracies,
        "cpu_seconds": seconds,
        "parameters": sum(p.numel() for p in net.parameters()),
        "multiply_accumulates": operations,
        "microjoules": energies,
    }


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options.seeds, options.epochs)
    each = ", ".join(f"{a:.3f}" for a in found["accuracies"])
    lines = [
        f"frames of N-MNIST, {found['train']} learned, {found['test']} answered, {options.seeds} seeds: {each}",
        f"{found['parameters']:,} parameters, {found['multiply_accumulates'] / 1e6:.2f} M multiply-accumulates",
        f"arithmetic: {', '.join(f'{name} {uj:.2f} uJ' for name, uj in found['microjoules'].items())} (estimates)",
        f"CPU s a training: {', '.join(f'{s:.1f}' for s in found['cpu_seconds'])}",
    ]
    frame.report(options, lines, found)


if __name__ == "__main__":
    main()
