"""Splits by the names of folders and files."""

from __future__ import annotations

import re

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
# Words behind the name of a split: train_set, TestData, train_images, train_labels.
_SET = re.compile(r"[-_. ]?(set|data|split|images|labels)$")


def split_named(name: str) -> str | None:
    """Return the split of a folder or a file without its suffix, None where the name is of no split."""
    lower = name.lower()
    return SPLITS.get(lower) or SPLITS.get(_SET.sub("", lower))
