"""A small convolutional network on frames of counts: the dense network that a user would take instead of a run's."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.measure.profiles import Profile
from ...base.measure.profiles import find as find_profile
from ...data.recordings import Recordings
from .data import even
from .score import FrameCNN
from .summary import labels_of

if TYPE_CHECKING:
    from torch import Tensor, nn

WINDOWS = 3  # frames of a camera
STEPS = 24  # rows of the picture of a cochlea, which has time along one axis and channels along the other
SIDE = 40  # of a camera's frame after neighbouring pixels were summed
CHANNELS = 70  # of a cochlea after neighbouring channels were summed
MAX_TRAIN = 3000  # recordings that are learned from, evenly over classes
# Settings of the network and its training; none is chosen by the data.
FILTERS = (16, 32)
HIDDEN = 96
KERNEL = 5
STRIDE = 2
DROPOUT = 0.3
BATCH = 32
RATE = 2e-3
WEIGHT_DECAY = 1e-3
SHIFT = 2  # pixels that a batch is moved by in training
SHOWN = 32_000  # recordings shown in training, each `MAX_EPOCHS` times at most
MAX_EPOCHS = 40
# Multiply-accumulates of a training, forward and back: more than about 15 s of one core.
MAX_WORK = 3e11
PASSES = 3  # multiply-accumulates of a training step for each of the forward pass
# Bounds of the width, as a factor of FILTERS and HIDDEN: about 10,000 and 200,000 parameters for N-MNIST.
MIN_WIDTH = 0.25
MAX_WIDTH = 1.25


class _Sizes(NamedTuple):
    """A network's filters, hidden units, parameters, and multiply-accumulates of one picture."""

    filters: tuple[int, int]
    hidden: int
    parameters: int
    multiply_accumulates: int


def train_frame_cnn(train: Recordings, test: Recordings, parameters: int, profile: str) -> FrameCNN:
    """Train two convolutions and two dense layers on frames of counts, and answer the test recordings.

    A camera's frames are the square roots of the counts of its pixels in three equal windows; a cochlea's is a picture
    of channels over time. The last epoch is kept; training recordings are moved by up to two pixels.

    Args:
        parameters: number that the network should have, within bounds.
        profile: energy profile, as `measure.profiles.find` takes it.
    """
    chosen = train.select(even(labels_of(train), MAX_TRAIN))
    return _train_beside(_pictures_of(chosen), lambda: _pictures_of(test), parameters, profile)


def train_image_cnn(
    train: NDArray[np.uint8],
    labels: NDArray[np.int64],
    test: NDArray[np.uint8],
    test_labels: NDArray[np.int64],
    parameters: int,
    profile: str,
) -> FrameCNN:
    """Train the network of `train_frame_cnn` on all of some images [n, height, width], and answer others.

    Args:
        parameters, profile: as for `train_frame_cnn`.
    """

    def pictures(images: NDArray[np.uint8], classes: NDArray[np.int64]) -> _Pictures:
        return _Pictures(images[:, None].astype(np.float32) / np.float32(255), classes)

    return _train_beside(pictures(train, labels), lambda: pictures(test, test_labels), parameters, profile)


class _Pictures(NamedTuple):
    """Pictures [n, planes, rows, columns] and their classes [n]."""

    pictures: NDArray[np.float32]
    labels: NDArray[np.int64]


def _pictures_of(recordings: Recordings) -> _Pictures:
    return _Pictures(frames(recordings), labels_of(recordings))


def _train_beside(train: _Pictures, read_test: Callable[[], _Pictures], parameters: int, profile: str) -> FrameCNN:
    """Return the figures of a network that learned pictures; the test pictures are read where it was trained."""
    if importlib.util.find_spec("torch") is None:
        return FrameCNN(reason="needs torch, of the extra 'train'")
    count = len(train.labels)
    sizes = _fitted(train.pictures.shape[1:], len(np.unique(train.labels)), parameters)
    work = PASSES * _epochs(count) * count * sizes.multiply_accumulates
    costs = find_profile(profile)
    network = FrameCNN(
        parameters=sizes.parameters,
        multiply_accumulates=sizes.multiply_accumulates,
        energy_int8=_energy(costs, "int", 8, sizes.multiply_accumulates),
        energy_fp32=_energy(costs, "float", 32, sizes.multiply_accumulates),
    )
    if work > MAX_WORK:
        reason = f"not trained: {work:.1e} multiply-accumulates of training, more than some seconds"
        return replace(network, reason=reason)
    test = read_test()
    answers = FrameClassifier.fitted(*train, parameters).answer(test.pictures)
    return replace(network, accuracy=float(np.mean(answers == test.labels)))


@dataclass(frozen=True, eq=False)
class FrameClassifier:
    """A trained network on frames.

    Attributes:
        net: the network.
        scale: the spread of the training pictures, by which all are divided.
        classes: [classes] labels of its outputs.
    """

    net: nn.Sequential
    scale: np.float32
    classes: NDArray[np.int64]

    @classmethod
    def fitted(
        cls, pictures: NDArray[np.float32], labels: NDArray[np.int64], parameters: int, seed: int = 0
    ) -> FrameClassifier:
        """Return the network of the last epoch.

        Args:
            pictures, labels: [n, planes, rows, columns] and their classes [n].
            parameters: as for `train_frame_cnn`.
        """
        import torch

        classes, targets = np.unique(labels, return_inverse=True)
        sizes = _fitted(pictures.shape[1:], len(classes), parameters)
        epochs = _epochs(len(labels))
        scale = np.float32(max(float(pictures.std()), 1e-12))
        with _one_thread():
            x = torch.from_numpy(pictures / scale)
            net = _trained(sizes, x, y=torch.from_numpy(targets), classes=len(classes), epochs=epochs, seed=seed)
        return cls(net, scale, classes)

    def answer(self, pictures: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return [n] labels of pictures [n, planes, rows, columns]."""
        import torch

        with _one_thread():
            answers = _answers(self.net, torch.from_numpy(pictures / self.scale))
        return np.asarray(self.classes[answers])


def frames(recordings: Recordings) -> NDArray[np.float32]:
    """Return [n, planes, rows, columns] square roots of counts of events."""
    return np.concatenate([_frames(part) for part in recordings.parts()])


def _frames(recordings: Recordings) -> NDArray[np.float32]:
    """Return `frames` of recordings in memory."""
    shape = (1,) * (3 - len(recordings.shape)) + tuple(recordings.shape)
    planes, height, width = shape
    if height > 1:
        pool = math.ceil(max(height, width) / SIDE)
        windows = WINDOWS
    else:
        pool = math.ceil(width / CHANNELS)
        windows = STEPS
    tall = pool if height > 1 else 1
    rows = -(-height // tall)
    columns = -(-width // pool)
    plane, row, column = np.unravel_index(np.arange(recordings.size), shape)
    pools = np.ravel_multi_index((plane, row // tall, column // pool), (planes, rows, columns))
    counts = recordings.pool(pools, (planes, rows, columns)).window_counts(windows)
    # [n, windows, planes, rows, columns]: the windows of a camera are planes, those of a cochlea rows.
    grid = np.sqrt(counts).reshape(len(recordings), windows, planes, rows, columns)
    if height > 1:
        return grid.reshape(len(recordings), windows * planes, rows, columns)
    return np.ascontiguousarray(np.moveaxis(grid, 1, 2)).reshape(len(recordings), planes * rows, windows, columns)


def _epochs(count: int) -> int:
    """Return how often so many pictures are shown."""
    return max(1, min(MAX_EPOCHS, SHOWN // count))


def _fitted(shape: tuple[int, ...], classes: int, parameters: int) -> _Sizes:
    """Return the sizes of the network that has as many parameters as asked for, or nearly, within the bounds."""
    low = MIN_WIDTH
    high = MAX_WIDTH
    # Parameters rise with the width: halve the interval.
    for _ in range(20):
        middle = (low + high) / 2
        if _sizes(shape, classes, middle).parameters < parameters:
            low = middle
        else:
            high = middle
    return _sizes(shape, classes, low)


def _sizes(shape: tuple[int, ...], classes: int, width: float) -> _Sizes:
    """Return the sizes of the network at a width, with its parameters and multiply-accumulates of a picture."""
    planes, *sides = shape
    first, second = (max(4, round(width * count)) for count in FILTERS)
    hidden = max(8, round(width * HIDDEN))
    padding = _padding(shape)
    parameters = 0
    work = 0
    inputs = planes
    for filters in (first, second):
        sides = [(side + 2 * padding - KERNEL) // STRIDE + 1 for side in sides]
        weights = inputs * filters * KERNEL**2
        parameters += weights + filters
        work += weights * math.prod(sides)
        inputs = filters
    flat = second * math.prod(sides)
    dense = flat * hidden + hidden * classes
    return _Sizes((first, second), hidden, parameters + dense + hidden + classes, work + dense)


def _padding(shape: tuple[int, ...]) -> int:
    """Return the padding of both convolutions: none where both fit into the picture."""
    smallest = KERNEL + STRIDE * (KERNEL - 1)
    return 0 if min(shape[1:]) >= smallest else KERNEL // 2


def _network(sizes: _Sizes, shape: tuple[int, ...], classes: int) -> nn.Sequential:
    from torch import nn

    padding = _padding(shape)
    first, second = sizes.filters
    sides = list(shape[1:])
    for _ in sizes.filters:
        sides = [(side + 2 * padding - KERNEL) // STRIDE + 1 for side in sides]
    return nn.Sequential(
        nn.Conv2d(shape[0], first, KERNEL, STRIDE, padding),
        nn.ReLU(),
        nn.Conv2d(first, second, KERNEL, STRIDE, padding),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(second * math.prod(sides), sizes.hidden),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(sizes.hidden, classes),
    )


def _trained(sizes: _Sizes, x: Tensor, y: Tensor, classes: int, epochs: int, seed: int) -> nn.Sequential:
    """Train a network on pictures x [n, planes, height, width] and classes y [n], shifted at random in each batch."""
    import torch

    from ...base.optimizers import AdamW

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _network(sizes, tuple(x.shape[1:]), classes)
        optimizer = AdamW(net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
        steps = epochs * -(-len(x) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(steps, 2))
        net.train()
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x)), BATCH):
                moved = torch.roll(x[rows], torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist(), dims=(2, 3))
                optimizer.zero_grad()
                torch.autograd.backward(torch.nn.functional.cross_entropy(net(moved), y[rows]))
                optimizer.step()
                schedule.step()
    return net.eval()


def _answers(net: nn.Sequential, x: Tensor) -> NDArray[np.int64]:
    import torch

    with torch.no_grad():
        parts = [net(part).argmax(dim=1) for part in torch.split(x, 256)]
    return np.asarray(torch.cat(parts).numpy(), np.int64)


def _energy(profile: Profile, kind: str, bits: int, operations: int) -> float | None:
    """Return the estimate of so many multiply-accumulates, J."""
    cost = profile.operation(kind, bits)
    if cost is None or cost.multiply is None:
        return None
    return operations * (cost.add + cost.multiply) * 1e-12


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: its sums depend on their number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
