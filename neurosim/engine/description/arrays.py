"""Arrays of a description: lists in the TOML, or, if they are long, in a safetensors file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError, NeurosimInputError, require
from ...data.files.arrays import read_arrays

# Largest number of values of an array that is written into the TOML.
MAX_INLINE = 4096
KEYS = {"file", "array"}


def read(value: object, folder: Path, label: str) -> NDArray[Any]:
    """Return the array of a list or of a table {file, array}.

    Raises:
        NeurosimInputError: neither, or lists that are no array of numbers.
        NeurosimMissingError, NeurosimFormatError: the file is missing, or has no such array.
    """
    if isinstance(value, Mapping):
        require(set(value) == KEYS, label, "must be a list of numbers or {file = ..., array = ...}", sorted(value))
        return _stored(folder / str(value["file"]), str(value["array"]), label)
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        raise NeurosimInputError(f"{label}: must be a list of numbers, all rows equally long") from None
    numbers = isinstance(value, list) and array.dtype.kind in "iuf"
    require(numbers, label, "must be a list of numbers", f"{value!r:.60}")
    return array


def _stored(path: Path, name: str, label: str) -> NDArray[Any]:
    try:
        return read_arrays(path, name)[name]
    except NeurosimError as error:
        raise type(error)(f"{label}: {error}") from None
