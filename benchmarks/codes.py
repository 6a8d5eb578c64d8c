"""Codes of a trained network's activity: the class of the nearest stored code beside the network's own answer.

    python benchmarks/codes.py [--seeds 3] [--epochs 12] [--json]

The network of examples/13_train.py (128 hidden units) on the embedded digits of an event camera: 499 recordings for
training, 100 for testing. A code has a bit for each hidden unit that fired in the recording (one window), or in each of
four. Beside them codes of the same network before training, and of the input's pixels.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import frame
import numpy as np
import torch
from tqdm import tqdm

from neurosim import Recordings
from neurosim.data import catalog
from neurosim.learning import Augment, Binning, EventNet, NetworkSpec, SpikingNet, Trainer, TrainingSpec, split
from neurosim.memory.sdr.activity import NearestCodes, activity_codes, redundancy

WINDOWS = (1, 4)
NEIGHBOURS = (1, 5)


def rows_of(name: str, learn: Recordings, test: Recordings) -> dict[str, Any]:
    """Accuracy of nearest codes by windows and neighbours, share of repeated codes, active share."""
    row: dict[str, Any] = {"codes": name}
    for windows in WINDOWS:
        stored, asked = (activity_codes(r, windows) for r in (learn, test))
        memory = NearestCodes.store(stored, learn.labels)
        for k in NEIGHBOURS:
            row[f"{windows} windows, {k} nearest"] = float((memory.predict(asked, k) == test.labels).mean())
        row[f"{windows} windows, repeated"] = redundancy(stored)
        row[f"{windows} windows, active"] = float(np.mean([code.sparsity for code in stored]))
    return row


def measure(seed: int, epochs: int) -> list[dict[str, Any]]:
    digits = catalog.load("digits", "train").select(range(0, 1497, 3))
    test = catalog.load("digits", "test").select(range(0, 300, 3))
    assert digits.labels is not None
    binning = Binning(digits.shape, dt=0.015, duration=0.32, pool=2)
    net = SpikingNet(binning.shape, 10, NetworkSpec(hidden=(128,), dropout=0.1), binning.dt, seed=seed)
    batch = binning.batch(digits, np.arange(0, len(digits), 5))
    net.calibrate(torch.from_numpy(batch.x))
    played = [binning.recordings(r) for r in (digits, test)]
    rows = [rows_of("pixels", *played), rows_of("untrained", *_hidden(net, played))]
    learn, stop = split(digits.labels, 0.1, seed=seed)
    how = TrainingSpec(epochs=epochs, learning_rate=5e-3, sparsity=0.1), Augment(shift=1.0, drop=0.2)
    Trainer(net, binning, digits.select(learn), digits.select(stop), *how, seed=seed).run()
    row = rows_of("trained", *_hidden(net, played))
    event = EventNet.of(net)
    row["network"] = float((event.scores(event.run(played[1])).argmax(axis=1) == test.labels).mean())
    return [*rows, row]


def _hidden(net: SpikingNet, played: list[Recordings]) -> list[Recordings]:
    """The spikes of the hidden layer, with the labels of the recordings."""
    net.round_for_exact_sums()
    event = EventNet.of(net)
    return [replace(event.spikes(event.run(r), 0), labels=r.labels) for r in played]


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [measure(seed, options.epochs) for seed in tqdm(range(options.seeds), file=sys.stderr)]
    lines = []
    for each in zip(*found, strict=True):
        lines.append(each[0]["codes"])
        for key in each[0]:
            if key != "codes":
                values = [row[key] for row in each]
                lines.append(f"  {key:24}{np.mean(values):8.3f} ({min(values):.3f} to {max(values):.3f})")
    frame.report(options, lines, {"seeds": found})


if __name__ == "__main__":
    main()
