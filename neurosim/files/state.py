"""State that is saved and loaded: named arrays and settings in one safetensors file, with its kind, format version and
digest in the header."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError, NeurosimMissingError
from .atomic import write_bytes

ABOUT = "neurosim"


def write_state(
    path: str | os.PathLike[str], kind: str, version: int, settings: Mapping[str, Any], arrays: Mapping[str, NDArray]
) -> None:
    """Replace `path` in one step by these arrays and settings.

    Args:
        kind: what is saved, as a class name; `read_state` refuses another.
        version: of the format of this kind.
        settings: what JSON can hold.

    Raises:
        NeurosimWriteError: as `replacing`.
    """
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = {"kind": kind, "version": version, "settings": dict(settings)}
    about["digest"] = _digest(about, tensors)
    write_bytes(path, save(tensors, {ABOUT: json.dumps(about)}))


def read_state(path: str | os.PathLike[str], kind: str, version: int) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The settings and arrays that `write_state` wrote.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: cut short or damaged, of another kind, or of a later version than `version`.
    """
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise NeurosimMissingError(f"{path}: no such file; give one that {kind}.save wrote")
    try:
        with safe_open(str(path), "np") as stored:
            about: dict[str, Any] = json.loads((stored.metadata() or {})[ABOUT])
            arrays = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
        found, saved, settings, digest = (about[name] for name in ("kind", "version", "settings", "digest"))
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        raise NeurosimFormatError(
            f"{path}: is no whole {kind} that neurosim saved ({error}); save it again or restore the file"
        ) from None
    if found != kind:
        raise NeurosimFormatError(f"{path}: must hold a {kind} (got {found}); load it as what it is")
    if not isinstance(saved, int) or saved > version:
        raise NeurosimFormatError(f"{path}: {kind} format up to {version} is known (got {saved}); upgrade neurosim")
    if digest != _digest({key: value for key, value in about.items() if key != "digest"}, arrays):
        raise NeurosimFormatError(f"{path}: its contents do not match its digest; save it again or restore the file")
    return settings, arrays


def _digest(about: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> str:
    """SHA-256 of the settings and of every array with its name, type and shape."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
