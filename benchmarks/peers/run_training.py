"""Trains 578-128-10 on N-MNIST with one library and prints CPU seconds and accuracy as JSON.

    NEUROSIM_DATA=FOLDER python run_training.py neurosim [--frames frames.npz]
    python run_training.py spikingjelly --frames frames.npz

Bins of 10 ms, two by two pixels a unit, entries of 0 and 1; batches of 32, AdamW at 3e-3, 15 epochs, without
validation; LIF of tau 20 ms, threshold 1, reset to zero, arctan surrogate. `neurosim` reads the recordings, bins them
and trains by its `Trainer`, with its schedule of learning rates, its clipped gradients and a leaky integrator for each
class; with --frames it also writes its tensors, which is not counted. `spikingjelly` (torch backend, multi-step mode)
loads these tensors and takes the mean of the last layer's currents. With `--repeat 10` both learn from ten copies of
each recording an epoch. "cpu_s" is the whole process up to the end of the
training, imports included; "training_s" begins when data and library are loaded.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

STEP = 0.01
TAU = 0.02
HIDDEN = 128
CLASSES = 10
BATCH = 32
LEARNING_RATE = 3e-3
# Weights of a new linear layer are scaled so that its neurons spike.
GAIN = 3.0


def neurosim(options: argparse.Namespace) -> dict[str, float]:
    from neurosim.data import catalog
    from neurosim.learning import Binning, SpikingNet, Trainer
    from neurosim.learning.training.scoring import scores
    from neurosim.learning.training.specs import NetworkSpec, TrainingSpec

    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "NMNIST"
    once, test = (catalog.load("nmnist", part, root if root.is_dir() else None) for part in ("train", "test"))
    train = once.select(np.tile(np.arange(len(once)), options.repeat))
    began = time.process_time()
    binning = Binning(train.shape, dt=STEP, duration=float(train.durations.max()), pool=2, max_count=1)
    spec = NetworkSpec(hidden=(HIDDEN,), tau_mem=TAU, reset="zero", surrogate="arctan", slope=2.0)
    net = SpikingNet(binning.shape, CLASSES, spec, binning.dt, seed=0)
    training = TrainingSpec(
        epochs=options.epochs,
        batch=BATCH,
        learning_rate=LEARNING_RATE,
        weight_decay=0.0,
        smoothing=0.0,
        patience=0,
    )
    Trainer(net, binning, train, spec=training).run()
    ended = time.process_time()
    accuracy = float(np.mean(scores(net, binning, test).argmax(axis=1) == test.labels))
    if options.frames:
        arrays = {}
        for name, recordings in (("train", once), ("test", test)):
            x = binning.batch(recordings, np.arange(len(recordings))).x
            arrays[name] = x.transpose(1, 0, 2).astype(np.uint8)
            arrays[f"{name}_labels"] = np.asarray(recordings.labels)
        np.savez(options.frames, **arrays)
    return {"cpu_s": ended, "training_s": ended - began, "accuracy": accuracy}


def spikingjelly(options: argparse.Namespace) -> dict[str, float]:
    from spikingjelly.activation_based import functional, neuron, surrogate

    frames = np.load(options.frames)
    x, test = (torch.from_numpy(frames[name]).float() for name in ("train", "test"))
    labels, test_labels = (torch.from_numpy(frames[f"{name}_labels"]) for name in ("train", "test"))
    x = x.repeat(options.repeat, 1, 1)
    labels = labels.repeat(options.repeat)
    began = time.process_time()
    torch.manual_seed(0)
    into = nn.Linear(x.shape[2], HIDDEN, bias=False)
    tau = 1 / (1 - math.exp(-STEP / TAU))
    lif = neuron.LIFNode(tau, False, 1.0, 0.0, surrogate.ATan(), detach_reset=True, step_mode="m")
    out = nn.Linear(HIDDEN, CLASSES, bias=False)
    with torch.no_grad():
        into.weight.mul_(GAIN)

    def net(events: Tensor) -> Tensor:
        functional.reset_net(lif)
        scores: Tensor = out(lif(into(events.transpose(0, 1)))).mean(dim=0)
        return scores

    optimiser = torch.optim.AdamW([into.weight, out.weight], lr=LEARNING_RATE, weight_decay=0.0)
    for _ in range(options.epochs):
        for chosen in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.cross_entropy(net(x[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    ended = time.process_time()
    with torch.no_grad():
        accuracy = float((net(test).argmax(dim=1) == test_labels).float().mean())
    return {"cpu_s": ended, "training_s": ended - began, "accuracy": accuracy}


LIBRARIES = {"neurosim": neurosim, "spikingjelly": spikingjelly}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--frames", help="file of the tensors")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(LIBRARIES[options.library](options)))


if __name__ == "__main__":
    main()
