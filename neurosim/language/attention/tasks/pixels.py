"""Images as sequences of pixels, of which a model tells the class at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ....base.errors import NeurosimMissingError, lookup, require
from ....data import catalog
from .base import SequenceTask, TaskBatch, batch_of

# Pixels a side of the images of each dataset.
SIDES = {"digits": 8, "mnist": 28, "fashion": 28}
# The first images of scikit-learn's digits are trained on, as the dataset `digits` does.
DIGITS_TRAINED = 1_497


@dataclass(frozen=True, kw_only=True)
class Pixels(SequenceTask):
    """Classification of an image that is shown pixel by pixel, row after row (Le et al. 2015, arXiv 1504.00941).

    A token is the grey level g of a pixel, as g and 1 - g: norms leave nothing of a single number but its sign. The
    class is the answer at the last token. The size is the number of pixels a side, to which images are reduced by
    averages. Models are trained on one part of the images and tested on the other.

    Args:
        dataset: a name of `SIDES`: 'digits' comes with scikit-learn; 'mnist' and 'fashion' lie in the data folder.
    """

    size_name: ClassVar[str] = "pixels a side"
    min_tested: ClassVar[int] = 1_000  # each has one answer alone

    trained: tuple[int, int] = (8, 8)
    sizes: tuple[int, ...] = (8,)
    dataset: str = "digits"

    @property
    def bounds(self) -> tuple[int, int]:
        return 2, lookup(SIDES, self.dataset, "Pixels.dataset")

    @property
    def fields(self) -> tuple[int, ...]:
        return ()

    @property
    def channels(self) -> int:
        return 2

    @property
    def outputs(self) -> int:
        return 10

    def length(self, size: int) -> int:
        return size**2

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        """Draw images of the part to be tested on, none twice: at most as many as there are."""
        return self._drawn("test", size, batch, generator)

    def training_batch(self, generator: torch.Generator, tokens: int = 1024) -> TaskBatch:
        low, high = self.trained
        size = int(torch.randint(low, high + 1, (), generator=generator))
        return self._drawn("train", size, batch_of(self.length(size), tokens), generator)

    def _drawn(self, split: str, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        pixels, labels = _images(self.dataset, split)
        chosen = torch.randperm(len(pixels), generator=generator)[:batch]
        grey = F.adaptive_avg_pool2d(pixels[chosen].float() / 255, size).flatten(1)
        is_last = (torch.arange(size**2) == size**2 - 1).expand(len(chosen), -1)
        return TaskBatch(torch.stack([grey, 1 - grey], -1), labels[chosen, None].expand(-1, size**2), is_last)


@cache
def _images(dataset: str, split: str) -> tuple[Tensor, Tensor]:
    """Return grey levels [n, height, width], 0 to 255, and classes [n] of a split.

    Raises:
        NeurosimMissingError: the dataset is not in the data folder.
    """
    if dataset == "digits":
        from sklearn.datasets import load_digits

        grey, classes = load_digits(return_X_y=True)
        part = slice(DIGITS_TRAINED) if split == "train" else slice(DIGITS_TRAINED, None)
        levels = torch.from_numpy(grey[part]) * (255 / 16)
        return levels.unflatten(1, (8, 8)), torch.from_numpy(classes[part]).long()
    module = catalog.module(dataset)
    info = module.INFO
    try:
        root = catalog.find_root(info)
    except NeurosimMissingError:
        raise NeurosimMissingError(
            f"Pixels.dataset: the files of {dataset} are not there; put {info.layout} into "
            f"$NEUROSIM_DATA/{info.folder} or {catalog.cache_folder(info)}, or run `neurosim datasets fetch {dataset}`"
        ) from None
    images = module.images(split, root)
    shape = images.pixels.shape[1:]
    side = SIDES[dataset]
    require(shape == (side, side), dataset, f"must have images of {side} x {side}", shape)
    return torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
