"""Saved state: named arrays and plain settings in one safetensors file, with kind, version and digest in its header.

A dataclass of arrays and plain values needs no more than a base class:

    class Memory(Saved): ...

    memory.save(path)
    memory = Memory.load(path)

A dataclass of settings whose state lies in other arrays derives from `SavedState` and has `state` and `restore`. What
is no dataclass writes its settings and its arrays apart:

    write_state(path, "Stages", 1, settings, arrays)

    settings, arrays = read_state(path, "Stages", 1)
    with saved_values(path):                     # errors below become a NeurosimFormatError that names the file
        config = from_plain(Config, settings)    # neurosim.base.plain checks every value against its declared type
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, require
from ...base.plain import PlainTree, from_plain, to_plain
from ...base.shown import Shown
from .arrays import first_nan

S = TypeVar("S", bound="Saved")
R = TypeVar("R", bound="SavedState")
HEADER = "neurosim"
# Errors of constructors and array operations for values that they cannot hold; a false size ends in a MemoryError.
_MISFITS = (
    NeurosimInputError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, ArithmeticError,
)  # fmt: skip
Arrays = Mapping[str, NDArray[Any]]


def write_state(
    path: str | os.PathLike[str], kind: str, version: int, settings: Mapping[str, Any], arrays: Arrays
) -> None:
    """Replace `path` in one step by these arrays and settings.

    Args:
        path: of the file.
        kind: name of the class that is saved; `read_state` refuses another.
        version: of the format of this kind.
        settings: values that JSON can hold.
        arrays: by name.

    Raises:
        NeurosimWriteError: as `replacing`.
    """
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {"kind": kind, "version": version, "settings": dict(settings)}
    header["digest"] = _digest(header, tensors)
    write_bytes(path, save(tensors, {HEADER: json.dumps(header)}))


def read_state(
    path: str | os.PathLike[str], kind: str, version: int, with_nan: Collection[str] = ()
) -> tuple[PlainTree, dict[str, NDArray[Any]]]:
    """Return the settings and arrays that `write_state` wrote.

    Args:
        path: of the file.
        kind: as for `write_state`.
        version: latest known version of the format.
        with_nan: names of arrays in which NaN stands for a value that is not there.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: cut short or damaged, of another kind, or of a later version than `version`; NaN in any
            other array: names it and the index.
    """
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise NeurosimMissingError(f"{path}: no such file; give a {kind} that neurosim saved")
    try:
        with safe_open(str(path), "np") as stored:
            header = _header(json.loads((stored.metadata() or {})[HEADER]))
            arrays = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise NeurosimFormatError(
            f"{path}: is not a complete neurosim {kind} file ({reason}); save it again or restore a copy"
        ) from None
    if header.kind != kind:
        raise NeurosimFormatError(f"{path}: must hold a {kind} (got {header.kind}); load it with {header.kind}.load")
    if not isinstance(header.version, int) or header.version > version:
        raise NeurosimFormatError(
            f"{path}: {kind} format up to {version} is known (got {header.version}); upgrade neurosim"
        )
    # Kind and version first: they say what to do, a wrong digest only that something is wrong.
    if header.digest != _digest(header.digested, arrays):
        raise NeurosimFormatError(f"{path}: its contents do not match its digest; save it again or restore a copy")
    for name, array in arrays.items():
        index = None if name in with_nan else first_nan(array)
        if index is not None:
            raise NeurosimFormatError(
                f"{path}: array '{name}' holds NaN at {list(index)}, so that its results would be NaN; restore a copy "
                "from before, or run it again with other settings"
            )
    return header.settings, arrays


class Saved(Shown):
    """Base of dataclasses of arrays and plain values that are saved and loaded whole. They may be pickled, too.

    Attributes:
        VERSION: of the format.
    """

    VERSION: ClassVar[int] = 1

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a safetensors file, in one step.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        kind = type(self).__name__
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        settings = {name: to_plain(value, f"{kind}.{name}") for name, value in values.items() if name not in arrays}
        write_state(path, kind, self.VERSION, settings, arrays)

    @classmethod
    def load(cls: type[S], path: str | os.PathLike[str]) -> S:
        """Return the object that `save` wrote.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: another kind of file, damaged, of a later version, or with values that do not fit.
        """
        settings, arrays = read_state(path, cls.__name__, cls.VERSION)
        with saved_values(path):
            return from_plain(cls, {**settings, **arrays})


class SavedState:
    """Base of dataclasses of settings that keep what they learn in arrays, which `state` returns and `restore` takes.

    Attributes:
        VERSION: of the format.
    """

    VERSION: ClassVar[int] = 1

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that learning changes, by name."""
        raise NotImplementedError

    def restore(self, arrays: Arrays) -> None:
        """Continue from the arrays that `state` of an object with the same settings returned.

        Raises:
            NeurosimInputError: an array that does not fit; the object is unchanged then.
        """
        raise NotImplementedError

    def settings(self) -> PlainTree:
        """Return what `from_settings` needs, as values that JSON can hold; by default the fields of the dataclass."""
        return to_plain(self)

    @classmethod
    def from_settings(cls: type[R], settings: PlainTree) -> R:
        """Return an object of these settings that has learned nothing."""
        return from_plain(cls, settings)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a safetensors file, in one step; after `load`, steps continue bit for bit.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        write_state(path, type(self).__name__, version=self.VERSION, settings=self.settings(), arrays=self.state())

    @classmethod
    def load(cls: type[R], path: str | os.PathLike[str]) -> R:
        """Return the object that `save` wrote.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: another kind of file, a damaged one, or one of a newer format.
        """
        settings, arrays = read_state(path, cls.__name__, cls.VERSION)
        with saved_values(path):
            loaded = cls.from_settings(settings)
            loaded.restore(arrays)
        return loaded


@contextmanager
def saved_values(path: str | os.PathLike[str], next_step: str = "restore a copy") -> Iterator[None]:
    """Turn errors in the values of a saved file into `NeurosimFormatError`s that name the file.

    Use it around the code that makes an object from the result of `read_state`.
    """
    try:
        yield
    except NeurosimFormatError:
        raise
    except _MISFITS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NeurosimFormatError(f"{path}: holds values that do not fit ({reason}); {next_step}") from None


def check_finite(arrays: Arrays) -> None:
    """Raise unless all numbers of all arrays are finite; weights and learned state are checked before they are saved.

    Raises:
        NeurosimInputError: naming the first array.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            require(bool(np.isfinite(array).all()), name, "must be finite", array[~np.isfinite(array)][:1])


class _Header(NamedTuple):
    kind: str
    version: int
    settings: PlainTree
    digest: str
    digested: Mapping[str, Any]  # the part of the header that the digest covers, beside the arrays


def _header(stored: Mapping[str, Any]) -> _Header:
    digested = {key: value for key, value in stored.items() if key != "digest"}
    return _Header(
        kind=stored["kind"],
        version=stored["version"],
        settings=stored["settings"],
        digest=stored["digest"],
        digested=digested,
    )


def _digest(settings: Mapping[str, Any], arrays: Arrays) -> str:
    """Return the SHA-256 of the settings and of every array with its name, type and shape."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
