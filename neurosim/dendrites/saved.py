"""Saved states: arrays and settings in one safetensors file, with format version, class and digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError
from ..files import write_bytes

Arrays = dict[str, NDArray]


def write(
    path: str | PathLike[str], kind: str, version: int, settings: Mapping[str, object], arrays: Mapping[str, NDArray]
) -> None:
    """Replace `path` by `arrays`, with all that `read` checks.

    Raises:
        NeurosimWriteError: the disk refuses; what was there before is unchanged.
    """
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = {"class": kind, "format": version, "settings": dict(settings), "digest": _digest(settings, tensors)}
    write_bytes(path, save(tensors, {"neurosim": json.dumps(about)}))


def read(path: str | PathLike[str], kind: str, version: int, names: tuple[str, ...]) -> tuple[dict[str, Any], Arrays]:
    """Settings and the arrays `names` that `write` stored under `kind`.

    Raises:
        NeurosimFormatError: no such file, one that is damaged or cut short, one of another class or a newer format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "np") as stored:
            about: dict[str, Any] = json.loads((stored.metadata() or {})["neurosim"])
            found, format_, settings, digest = (about[k] for k in ("class", "format", "settings", "digest"))
            if found == kind and format_ == version:
                arrays = {name: stored.get_tensor(name) for name in names}
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        first = " ".join(str(error).split())
        raise NeurosimFormatError(
            f"{path}: is no whole {kind} that neurosim saved ({first}); save it again, or restore a copy"
        ) from None
    if found != kind:
        raise NeurosimFormatError(f"{path}: must hold a {kind} (got {found}); load it with {found}.load")
    if format_ != version:
        raise NeurosimFormatError(
            f"{path}: {kind} format {version} is known (got {format_}); load it with the neurosim that saved it"
        )
    if _digest(settings, arrays) != digest:
        raise NeurosimFormatError(f"{path}: must have digest {digest}, its content has another; restore a copy")
    return settings, arrays


def _digest(settings: Mapping[str, object], arrays: Mapping[str, NDArray]) -> str:
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
