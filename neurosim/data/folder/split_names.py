"""Splits by the names of folders and files."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
# Words behind the name of a split: train_set, TestData, train_images, train_labels.
_SET = re.compile(r"[-_. ]?(set|data|split|images|labels)$")
# Words of a name: ibm, Gesture and Train of ibmGestureTrain.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def split_named(name: str) -> str | None:
    """Return the split of a folder or a file without its suffix, None where the name is of no split."""
    lower = name.lower()
    return SPLITS.get(lower) or SPLITS.get(_SET.sub("", lower))


def splits_of(names: Sequence[str]) -> dict[str, str]:
    """Return the split of each of the names that are of one; of names side by side.

    Names of several splits may have further words, if all have the same: `n-cars_train` and `n-cars_test`.
    """
    own = {name: split for name in names if (split := split_named(name)) is not None}
    if own:
        return own
    alike: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        words = [word.lower() for word in _WORD.findall(name)]
        found = [word for word in words if word in SPLITS]
        if len(found) == 1:
            rest = tuple(word for word in words if word not in SPLITS)
            alike.setdefault(rest, {})[name] = SPLITS[found[0]]
    return next((splits for splits in alike.values() if "train" in splits.values() and len(splits) > 1), {})
