"""Reader and writer of NIR's files (HDF5); the reader refuses links out of the file, objects, and sizes beyond it.

`nir.read` would follow links and allocate the sizes that a file states; hostile files must stay refused.
"""

from __future__ import annotations

import io
import os
from dataclasses import MISSING, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.distribution import install
from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, lookup
from ...base.raw import printable
from ...data.files.hdf5 import LAYOUT, HDF5File, open_hdf5

# A node or graph of the `nir` package, which is imported on first use and has no types.
Node: TypeAlias = Any
Value: TypeAlias = "float | str | NDArray[Any]"
Metadata: TypeAlias = dict[str, object]

# NIR compresses with deflate, which can pack a constant 1,032 to 1; the size of all arrays together is bounded too.
RATIO = 1100
MAX_BYTES = 4 << 30
MAX_NODES = 100_000
MAX_DEPTH = 16
MAX_NAME = 1024  # bytes

NODES = (
    *("Affine", "AvgPool2d", "Conv1d", "Conv2d", "CubaLI", "CubaLIF", "Delay", "Flatten", "I", "IF", "Input"),
    *("LI", "LIF", "Linear", "NIRGraph", "Output", "Scale", "SumPool2d", "Threshold"),
)
# Fields that NIR needs and files may lack: it infers them.
INFERRED = ("input_shape", "input_type")


def library() -> Any:
    """Return the `nir` package.

    Raises:
        NeurosimMissingError: it is not installed.
    """
    try:
        import nir
    except ImportError:
        raise NeurosimMissingError(f"nir: is not installed; run: {install('nir')}") from None
    return nir


def read(path: str | os.PathLike[str]) -> Node:
    """Return the `nir.NIRGraph` of a file.

    Raises:
        NeurosimMissingError: no such file, or no `nir` package.
        NeurosimFormatError: not HDF5 or damaged; a link, an object, an array beyond what the file could hold; a node
            of an unknown type or that lacks a field of its type; edges between nodes that are not there.
    """
    library()
    with open_hdf5(path, RATIO) as file:
        reader = _Reader(file)
        return reader.node("node", 0)


class _Reader:
    """Reads nodes and counts their bytes."""

    def __init__(self, file: HDF5File) -> None:
        self.file = file
        self.nodes = 0
        self.bytes = 0

    def node(self, group: str, depth: int) -> Node:
        file = self.file
        self.nodes += 1
        # A damaged file may link a graph into itself.
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise file.error(f"/{group}", f"at most {MAX_NODES} nodes in {MAX_DEPTH} levels of graphs", "more", LAYOUT)
        names = self.names(group)
        if "type" in names:
            kind = self.text(f"{group}/type")
        else:
            kind = "none"
        required, optional = _fields(file, group, kind)
        for name in required:
            if name not in names:
                raise file.error(f"/{group}", f"a {kind} with {', '.join(required)}", f"one without {name}", LAYOUT)
        if "metadata" in names:
            metadata = self.table(f"{group}/metadata", depth)
        else:
            metadata = {}
        if kind == "NIRGraph":
            return self.graph(group, depth, metadata)
        values = {name: self.value(f"{group}/{name}") for name in (*required, *optional) if name in names}
        try:
            return _build(kind, values, metadata)
        except (AssertionError, TypeError, ValueError, AttributeError, IndexError, KeyError, OverflowError) as error:
            raise file.error(f"/{group}", f"fields that make a {kind}", error or "others", LAYOUT) from None

    def graph(self, group: str, depth: int, metadata: Metadata) -> Node:
        names = self.names(f"{group}/nodes")
        nodes = {name: self.node(f"{group}/nodes/{name}", depth + 1) for name in names}
        flat = () if self.empty(f"{group}/edges") else self.texts(f"{group}/edges")
        edges = list(zip(flat[::2], flat[1::2], strict=False))
        if len(flat) % 2:
            raise self.file.error(f"/{group}/edges", "pairs of names", f"{len(flat)} names", LAYOUT)
        for name in flat:
            # In nested graphs some programs name the inner node too: "graph.node".
            if name not in nodes:
                raise self.file.error(f"/{group}/edges", "names of its nodes", printable(name), LAYOUT)
        return library().NIRGraph(nodes, edges, metadata, type_check=False)

    def table(self, group: str, depth: int) -> Metadata:
        """Return metadata: numbers, arrays, strings, or tables of them, by name."""
        if depth > MAX_DEPTH:
            raise self.file.error(f"/{group}", f"at most {MAX_DEPTH} levels", "more", LAYOUT)
        metadata: Metadata = {}
        for name in self.names(group):
            inner = f"{group}/{name}"
            if self.file.groups(inner):
                metadata[name] = self.table(inner, depth + 1)
            else:
                metadata[name] = self.value(inner)
        return metadata

    def names(self, group: str) -> list[str]:
        names = self.file.names(group)
        self.nodes += len(names) // 32  # large groups count too
        for name in names:
            if len(name.encode(errors="replace")) > MAX_NAME:
                raise self.file.error(f"/{group}", f"names of at most {MAX_NAME} bytes", f"one of {len(name)}", LAYOUT)
        return names

    def value(self, name: str) -> Value:
        """Return a number, an array or a string."""
        self.add(name)
        if self.file.is_text(name):
            return self.text(name)
        array = self.file.array(name, "biuf")
        if array.ndim == 0:
            return array[()]
        return array

    def text(self, name: str) -> str:
        texts = self.texts(name)
        if len(texts) != 1:
            raise self.file.error(f"/{name}", "one text", f"{len(texts)}", LAYOUT)
        return texts[0]

    def texts(self, name: str) -> tuple[str, ...]:
        self.add(name)
        return self.file.texts(name)

    def empty(self, name: str) -> bool:
        return self.file.size(name)[0] == 0

    def add(self, name: str) -> None:
        """Count the bytes of a dataset. Several names may share one, and each of them is read."""
        self.bytes += self.file.size(name)[1]
        if self.bytes > MAX_BYTES:
            raise self.file.error(f"/{name}", f"at most {MAX_BYTES} bytes of arrays", "more", LAYOUT)


def _fields(file: HDF5File, group: str, kind: str) -> tuple[list[str], list[str]]:
    """Return the required fields of a node and those with a default; fields of a later NIR are left out."""
    try:
        lookup(dict.fromkeys(NODES), printable(kind), f"node {printable(group)}: type")
    except NeurosimInputError as error:
        raise NeurosimFormatError(f"{file.path}: {error}") from None
    if kind in ("Input", "Output"):
        return ["shape"], []
    known = [field for field in fields(getattr(library(), kind)) if field.init and field.name != "metadata"]
    required = [f.name for f in known if f.default is MISSING and f.name not in INFERRED]
    optional = [f.name for f in known if f.name not in required]
    return required, optional


def _build(kind: str, values: dict[str, Value], metadata: Metadata) -> Node:
    """Return a node of the package `nir`, with its fields in the types that its classes expect."""
    # A scalar becomes a numpy array of no dimensions: the classes of nir read the shapes of these fields.
    arguments: dict[str, object] = {k: np.asarray(v) if k in _ARRAYS else v for k, v in values.items()}
    if kind in ("Input", "Output"):
        arguments["shape"] = np.atleast_1d(values["shape"])
    elif kind == "Flatten":
        arguments |= {name: int(values[name]) for name in ("start_dim", "end_dim") if name in values}
    elif kind in ("Conv1d", "Conv2d"):
        arguments["input_shape"] = None
        if "input_shape" in values:
            sizes = tuple(int(n) for n in np.atleast_1d(values["input_shape"]))
            arguments["input_shape"] = sizes if kind == "Conv2d" else sizes[0]
    return getattr(library(), kind).from_dict({"type": kind, "metadata": metadata, **arguments})


_ARRAYS = {
    *("weight", "bias", "tau", "tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    *("scale", "threshold", "delay", "kernel_size"),
}


def write_nir(path: str | os.PathLike[str], graph: Any) -> None:
    """Replace `path` by a graph, in one step.

    Raises:
        NeurosimMissingError: no `nir` package.
        NeurosimWriteError: as `base.atomic.replacing`.
    """
    buffer = io.BytesIO()
    library().write(buffer, graph)
    write_bytes(path, buffer.getvalue())
