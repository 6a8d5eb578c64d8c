"""Named arrays in safetensors files: a header and plain bytes, no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, lookup


def read_arrays(path: str | os.PathLike[str], *names: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of these names in a safetensors file, or all of them.

    Raises:
        NeurosimInputError: no array of one of the names.
        NeurosimMissingError: no such file.
        NeurosimFormatError: cut short, damaged or of another format, or a type that numpy does not have.
    """
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise NeurosimMissingError(f"{path}: no such file; check the path")
    try:
        with safe_open(str(path), "np") as stored:
            known = dict.fromkeys(sorted(stored.keys()))
            for name in names:
                lookup(known, name, f"{path}: array")
            return {name: stored.get_tensor(name) for name in names or known}
    except NeurosimInputError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise NeurosimFormatError(f"{path}: expected a safetensors file ({reason}); write or fetch it again") from None


def first_nan(array: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the index of the first NaN of an array; None if there is none. The array is read once."""
    if array.dtype.kind != "f" or not array.size:
        return None
    with np.errstate(invalid="ignore"):
        lowest = array.min()  # NaN where there is one
    if not np.isnan(lowest):
        return None
    return tuple(int(place) for place in np.unravel_index(int(np.isnan(array).argmax()), array.shape))


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Replace `path` by these arrays in one step.

    Raises:
        NeurosimWriteError: as `replacing`.
    """
    from safetensors.numpy import save

    write_bytes(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
