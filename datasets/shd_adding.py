"""SHD-Adding: two spoken digits one after the other, labelled with their sum (Spieler et al., ICLR 2024).

Computed from SHD, or any file of its layout: a digit is a label modulo 10, so German and English mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.base.errors import require
from neurosim.base.plain import from_plain
from neurosim.data.catalog import Dataset
from neurosim.data.recordings import Recordings
from neurosim.datasets import shd

SUMS = tuple(str(total) for total in range(19))
# Keys of the pairs of each split.
SEEDS = {"train": 0, "test": 1}

INFO = Dataset(
    name="shd-adding",
    title="SHD-Adding: two spoken digits one after the other, named by their sum",
    folder=shd.INFO.folder,
    layout=shd.INFO.layout,
    shape=shd.INFO.shape,
    classes=SUMS,
    splits=shd.INFO.splits,
    recordings=shd.INFO.recordings,
    licence=shd.INFO.licence,
    about=(
        "As many random pairs of SHD's utterances as a split has utterances (options.pairs: a multiple of it), the "
        "second starting where the first ends; the label is the sum of the two digits, 0 to 18, whatever their "
        "language. Cite Spieler, Rahaman, Martius, Schoelkopf and Levina 2024, ICLR, and those who made SHD."
    ),
    sources=shd.INFO.sources,
)


@dataclass(frozen=True)
class PairOptions:
    """Settings of the pairs.

    Attributes:
        pairs: number of pairs for each utterance of a split.
    """

    pairs: int = 1

    def __post_init__(self) -> None:
        require(self.pairs > 0, "data.options.pairs", "must be > 0", self.pairs)


# The catalogue finds the settings of a dataset by this name.
Options = PairOptions


def load(split: str, root: Path, options: Mapping[str, Any] | None = None) -> Recordings:
    """Return pairs of the utterances of a split, always the same: as many as it has utterances, or a multiple of that.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `shd.load`.
    """
    utterances = shd.load(split, root)
    pairs = from_plain(PairOptions, dict(options or {}), "data.options").pairs
    return add_digits(utterances, pairs * len(utterances), SEEDS[split])


fetch = shd.fetch
verify = shd.verify


def add_digits(utterances: Recordings, n: int, seed: int) -> Recordings:
    """Return `n` random pairs of utterances, one after the other, labelled with the sum of their digits.

    Args:
        utterances: with labels; a digit is a label modulo 10.
        n: number of pairs.
        seed: key of the pairs; pair i depends only on it, on i and on the number of utterances.

    Returns:
        Recordings with labels 0..18 and `groups["first"]` and `groups["second"]`, the index of each utterance.

    Raises:
        NeurosimInputError: no labels, no utterances, `n` or `seed` < 0.
    """
    from neurosim.kernels.tools.random import uniforms

    labels = utterances.labels
    require(
        labels is not None and len(labels) > 0,
        "add_digits.utterances",
        "must have labels, at least one",
        len(utterances),
    )
    assert labels is not None  # checked above
    require(n >= 0, "add_digits.n", "must be >= 0", n)
    require(0 <= seed < 2**63, "add_digits.seed", "must be in 0..2^63 - 1", seed)
    draws = np.empty(2 * n)
    uniforms(np.uint64(seed), 0, 0, draws)
    pairs = (draws * len(utterances)).astype(np.int64).reshape(n, 2)
    each = utterances.select(pairs.ravel())
    # The second utterance of a pair, at the odd index, is shifted by the duration of the first.
    lengths = np.diff(each.offsets)
    shift = np.where(np.arange(2 * n) % 2, np.roll(each.durations, 1), 0.0)
    times = each.ticks.astype(np.float64) * each.tick + np.repeat(shift, lengths)
    # Single precision resolves 2 s to .2 us; files of this layout hold half precision.
    return replace(
        each,
        ticks=times.astype(np.float32),
        tick=1.0,
        offsets=each.offsets[::2],
        durations=each.durations.reshape(n, 2).sum(axis=1),
        labels=(labels % 10)[pairs].sum(axis=1),
        classes=SUMS,
        groups={"first": pairs[:, 0], "second": pairs[:, 1]},
    )
