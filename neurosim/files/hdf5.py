"""Opening HDF5 files of unknown origin: nothing outside the file is touched, nothing larger than it is believed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from ..errors import NeurosimError
from .raw import bad, read_bytes

# A compressed dataset may unfold to this many times the size of its file, and anything to ALLOWANCE bytes.
RATIO = 64
ALLOWANCE = 1 << 24


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The h5py root group of `path`, read-only; whatever the HDF5 library throws becomes one clear error.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not HDF5, or damaged.
    """
    import h5py

    if read_bytes(path).size == 0:
        raise bad(path, "byte 0", "an HDF5 file", "an empty file", "fetch it again")
    try:
        with h5py.File(path, "r") as root:
            yield root
    except NeurosimError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise bad(
            path, "inside", "a sound HDF5 file", reason, "it is damaged or no HDF5 file: fetch it again"
        ) from None


def dataset(path: object, root: Any, name: str) -> Any:
    """The dataset `name`, reached through hard links only, stored inside the file, no larger than the file could hold.

    Raises:
        NeurosimFormatError: absent, linked elsewhere, stored elsewhere, or too large.
    """
    import h5py

    node = root
    for part in name.split("/"):
        kind = node.get(part, getclass=True, getlink=True) if isinstance(node, h5py.Group) else None
        if kind is None:
            raise bad(path, f"/{name}", "a dataset", "nothing of that name", "is this a file of another layout?")
        if kind is not h5py.HardLink:
            raise bad(path, f"/{name}", "data inside the file", f"a {kind.__name__}", "copy the data into the file")
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise bad(path, f"/{name}", "a dataset", "a group", "is this a file of another layout?")
    if node.external or node.is_virtual:
        raise bad(path, f"/{name}", "data inside the file", "external storage", "copy the data into the file")
    size = os.stat(os.fspath(root.file.filename)).st_size
    most = size * (RATIO if node.chunks and node.compression else 1) + ALLOWANCE
    if node.size * node.dtype.itemsize > most:
        raise bad(
            path, f"/{name}", f"at most {most} bytes", f"shape {node.shape}", "the file is damaged: fetch it again"
        )
    return node


def numbers(path: object, root: Any, name: str, kinds: str, length: int | None = None) -> NDArray:
    """The one-dimensional dataset `name` of numbers whose numpy kind is in `kinds` ("iu", "f"), read whole.

    Raises:
        NeurosimFormatError: as `dataset`, or another type, rank or length.
    """
    node = dataset(path, root, name)
    if node.ndim != 1 or node.dtype.kind not in kinds:
        got = f"{node.dtype} of shape {node.shape}"
        raise bad(path, f"/{name}", "a list of numbers", got, "is this a file of another layout?")
    if length is not None and len(node) != length:
        raise bad(path, f"/{name}", f"{length} entries", len(node), "the file is damaged: fetch it again")
    return node[()]
