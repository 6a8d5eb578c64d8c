"""Two liquids of different senses, each with a trained projection into a common space; needs torch.

An image and a spoken word of the same digit should lie near each other, so that digits without training examples can be
recognised, as Lin et al. do with resistive memory. The liquids are not trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.blas import one_thread
from ...base.distribution import install
from ...base.errors import NeurosimError, NeurosimMissingError, require
from ...base.rules import Count, LearningRate, NotASetting, Positive, Rule, check_rules

try:
    import torch
    from torch import Tensor, nn

    from ...base.optimizers import AdamW
except ImportError as error:
    raise NeurosimMissingError(f"Contrast: needs torch ({error}); run: {install('train')}") from None


@final
@dataclass(frozen=True)
class Contrast:
    """Training of the two projections.

    The loss is contrastive, in both directions: from an example of one sense, the mean over the examples of the other
    sense with the same label of -log softmax(cosine / temperature), the softmax running over all of them (Radford et
    al. 2021; several right answers as in Khosla et al. 2020). All examples make one batch; Adam.

    Attributes:
        dimensions: dimensions of the common space.
        temperature: divides the cosine.
        steps: steps of Adam.
        learning_rate: first learning rate, which falls to 0 as a cosine.
        decay: weight decay, decoupled from the loss (Loshchilov & Hutter 2019).
        components: number of standardised principal components of each sense that the projection gets.
        seed: key of the first weights.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    dimensions: Count = 64
    temperature: Positive = 1.0
    steps: Count = 100
    learning_rate: LearningRate = 0.01
    decay: Annotated[float, Rule(">= 0")] = 0.1
    components: Count = 100
    seed: Annotated[int, NotASetting()] = 0

    def __post_init__(self) -> None:
        check_rules(self)

    def fit(
        self,
        seen: NDArray[np.floating],
        seen_labels: NDArray[Any],
        heard: NDArray[np.floating],
        heard_labels: NDArray[Any],
    ) -> CrossModal:
        """Return projections trained on features of two senses, [n, f] with labels [n] and [m, g] with labels [m].

        Raises:
            NeurosimInputError: labels that do not fit, or that differ between the senses.
        """
        a = np.asarray(seen_labels)
        b = np.asarray(heard_labels)
        require(a.shape == (len(seen),), "Contrast.fit", f"needs {len(seen)} labels of what is seen", a.shape)
        require(b.shape == (len(heard),), "Contrast.fit", f"needs {len(heard)} labels of what is heard", b.shape)
        fits = set(a.tolist()) == set(b.tolist()) and len(np.unique(a)) > 1
        require(fits, "Contrast.fit", "needs the same two or more labels of both", np.unique(b))
        # The training turns a difference in the last bit into one that can be seen.
        with one_thread():
            whitenings = [_Whitening.of(features, self.components, self.seed) for features in (seen, heard)]
            x = torch.from_numpy(whitenings[0](seen).astype(np.float32))
            y = torch.from_numpy(whitenings[1](heard).astype(np.float32))
        generator = torch.Generator().manual_seed(self.seed)
        maps = []
        for points in (x, y):
            width = points.shape[1]
            # Coordinates of variance 1 at the start, whatever the width.
            maps.append(nn.Parameter(torch.randn(width, self.dimensions, generator=generator) / math.sqrt(width)))
        right = torch.from_numpy(a[:, None] == b).float()
        self._train(maps, x, y, right)
        weights = [parameter.detach().numpy().astype(np.float64) for parameter in maps]
        # Whitening and projection are both linear: one matrix for each sense.
        with one_thread():
            see = whitenings[0].into(weights[0])
            hear = whitenings[1].into(weights[1])
        return CrossModal(see, hear)

    def _train(self, maps: list[nn.Parameter], x: Tensor, y: Tensor, right: Tensor) -> None:
        optimizer = AdamW(maps, lr=self.learning_rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.steps)
        for step in range(self.steps):
            optimizer.zero_grad()
            loss = contrast(x @ maps[0], y @ maps[1], right, self.temperature)
            if not math.isfinite(loss.item()):
                raise NeurosimError(
                    f"contrast: the loss is not finite at step {step + 1} of {self.steps}; lower "
                    "contrast.learning_rate or raise contrast.temperature"
                )
            loss.backward()
            optimizer.step()
            schedule.step()


def contrast(x: Tensor, y: Tensor, right: Tensor, temperature: float) -> Tensor:
    """Return the loss of `Contrast` for points x [n, d] and y [m, d]; right [n, m] is 1 where labels agree, else 0."""
    cosines = nn.functional.normalize(x, dim=1) @ nn.functional.normalize(y, dim=1).T / temperature
    losses = []
    # From each x to the right y, then from each y to the right x.
    for dim in (1, 0):
        log_likelihood = (cosines.log_softmax(dim=dim) * right).sum(dim=dim)
        # The mean over all right partners of each point.
        pairs = right.sum(dim=dim).clamp(min=1)
        losses.append(-log_likelihood.div(pairs).mean())
    return (losses[0] + losses[1]) / 2


@final
@dataclass(frozen=True, eq=False)
class SharedProjection:
    """The projection x -> (x - mean) weights, scaled to length 1.

    Attributes:
        mean: [features].
        weights: [features, dimensions].
    """

    mean: NDArray[np.floating]
    weights: NDArray[np.floating]

    def __call__(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return [n, dimensions] points of length 1 for features [n, features]."""
        fits = x.ndim == 2 and x.shape[1] == len(self.mean)
        require(fits, "SharedProjection", f"needs {len(self.mean)} features", x.shape)
        with one_thread():
            points = (x - self.mean) @ self.weights
        return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


@final
@dataclass(frozen=True, eq=False)
class CrossModal:
    """Trained projections of images and of sounds."""

    see: SharedProjection
    hear: SharedProjection

    def accuracy(
        self,
        seen: NDArray[np.floating],
        seen_labels: NDArray[Any],
        heard: NDArray[np.floating],
        heard_labels: NDArray[Any],
    ) -> tuple[float, float]:
        """Return the accuracies of matching examples of one sense with labels of the other, means of both directions.

        Each example is compared with examples of each label in the other sense.

        Returns:
            The accuracy with one example of each label, over all choices (two labels: chance is .5); and the accuracy
            with the mean of all examples of each label.
        """
        x = self.see(seen)
        y = self.hear(heard)
        labels = np.unique(seen_labels)
        require(bool(np.isin(heard_labels, labels).all()), "CrossModal.accuracy", "needs labels of both senses", labels)
        directions = ((x, seen_labels, y, heard_labels), (y, heard_labels, x, seen_labels))
        single = float(np.mean([_single(*direction) for direction in directions]))
        mean = float(np.mean([_mean(*direction) for direction in directions]))
        return single, mean


def _mean(
    x: NDArray[np.floating], labels: NDArray[Any], others: NDArray[np.floating], other_labels: NDArray[Any]
) -> float:
    """Return the accuracy of the nearest mean of the other sense's examples of each label."""
    known = np.unique(other_labels)
    centres = np.stack([others[other_labels == label].mean(axis=0) for label in known])
    return float(np.mean(known[(x @ centres.T).argmax(axis=1)] == labels))


def _single(
    x: NDArray[np.floating], labels: NDArray[Any], others: NDArray[np.floating], other_labels: NDArray[Any]
) -> float:
    """Return the probability that the cosine with a right example exceeds those with one example of each other label.

    It is exact: for a right example at cosine c the product over the other labels of the fraction of their examples
    below c, examples at c counting half.
    """
    cosines = x @ others.T
    total = 0.0
    for row, label in zip(cosines, labels, strict=True):
        right = row[other_labels == label]
        wins = np.ones(len(right))
        for other in np.unique(other_labels[other_labels != label]):
            rivals = np.sort(row[other_labels == other])
            below = np.searchsorted(rivals, right, side="left")
            up_to = np.searchsorted(rivals, right, side="right")
            # The mean of both counts: equal cosines win half of the time.
            wins *= (below + up_to) / (2 * len(rivals))
        total += wins.mean()
    return total / len(x)


@dataclass(frozen=True, eq=False)
class _Whitening:
    """The first principal components of features, each of variance 1."""

    mean: NDArray[np.floating]
    axes: NDArray[np.floating]

    @classmethod
    def of(cls, x: NDArray[np.floating], components: int, seed: int) -> _Whitening:
        from sklearn.utils.extmath import randomized_svd

        mean = x.mean(axis=0, dtype=np.float64).astype(x.dtype)
        count = min(components, *x.shape)
        _, spread, axes = randomized_svd(x - mean, count, random_state=seed % 2**32)
        # Components with no more than rounding errors would be blown up to variance 1.
        count = int(np.count_nonzero(spread > 1e-5 * spread[0]))
        return cls(mean, axes[:count].T * (math.sqrt(len(x)) / spread[:count]))

    def __call__(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        return (x - self.mean) @ self.axes

    def into(self, weights: NDArray[np.floating]) -> SharedProjection:
        return SharedProjection(self.mean, self.axes @ weights)
