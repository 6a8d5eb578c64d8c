"""A dataset of few digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest


@cache
def _few(train: int, test: int) -> tuple[tuple[str, bytes], ...]:
    """Paths below the dataset's folder and their contents."""
    from sklearn.datasets import load_digits

    from neurosim.data.files.nmnist import encode_nmnist
    from neurosim.datasets import digits

    images, labels = load_digits(return_X_y=True)
    found = []
    for index in [*range(train), *range(digits.TRAIN, digits.TRAIN + test)]:
        split = "Train" if index < digits.TRAIN else "Test"
        spikes = digits.record(images[index].reshape(8, 8), digits.Recipe(), index)
        found.append((f"{split}/{labels[index]}/{index:05d}.bin", encode_nmnist(spikes)))
    return tuple(found)


def write_few(root: Path, monkeypatch: pytest.MonkeyPatch, train: int = 120, test: int = 60) -> None:
    """Write the first digits as recordings, where the loader of digits looks."""
    from neurosim.data import catalog
    from neurosim.datasets import digits

    for name, data in _few(train, test):
        path = root / "digits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    monkeypatch.setenv("NEUROSIM_DATA", str(root))
    monkeypatch.setattr(digits, "_trouble", lambda root, recipe: "")
    assert catalog.place(digits.INFO) == root / "digits"
