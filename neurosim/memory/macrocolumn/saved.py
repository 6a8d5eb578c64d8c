"""Save columns, hierarchies and recognisers with their memories, and load them without loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, lookup, require
from ...base.plain import PlainTree, from_plain, to_plain
from ...data.files.state import read_state, saved_values, write_state
from .column import Macrocolumn
from .hierarchy import Hierarchy, HierarchyMemory
from .recognition import Recogniser, RecogniserMemory
from .state import ColumnMemory

VERSION = 1
KIND = "macrocolumn"
Arrays = dict[str, NDArray[Any]]
Owner = Macrocolumn | Hierarchy | Recogniser
OwnerMemory = ColumnMemory | HierarchyMemory | RecogniserMemory


def save(path: str | os.PathLike[str], owner: Owner, memory: OwnerMemory) -> None:
    """Write a column, hierarchy or recogniser and its memory; `path` is replaced in one step.

    Raises:
        NeurosimInputError: the memory belongs to another owner.
        NeurosimWriteError: the disk refuses.
    """
    arrays: Arrays = {}
    settings = split(arrays, owner, memory)
    write_state(path, KIND, VERSION, settings, arrays)


def load(path: str | os.PathLike[str]) -> tuple[Any, Any]:
    """Return what `save` wrote: (column, memory), (hierarchy, memory) or (recogniser, memory).

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another file, cut short, damaged, or written by a newer version.
    """
    settings, arrays = read_state(path, KIND, VERSION)
    with saved_values(path):
        return join(settings, arrays)


def split(arrays: Arrays, owner: Owner, memory: OwnerMemory) -> PlainTree:
    """Return the settings from which `join` makes both again; add the arrays to `arrays`.

    Raises:
        NeurosimInputError: the memory belongs to another owner.
    """
    return {"class": type(owner).__name__, "parameters": _split(arrays, owner, memory)}


def join(settings: PlainTree, arrays: Arrays) -> tuple[Any, Any]:
    """Return the owner and the memory of `split`.

    Raises:
        NeurosimInputError: settings or arrays of another form.
    """
    build = lookup(_BUILDERS, settings["class"], "class")
    pair: tuple[Any, Any] = build(settings["parameters"], arrays)
    return pair


def _split(arrays: Arrays, owner: Owner, memory: OwnerMemory) -> PlainTree:
    """Return the parameters; add the arrays to `arrays`."""
    if isinstance(owner, Macrocolumn) and isinstance(memory, ColumnMemory):
        owner._belongs(memory)
        return {"column": to_plain(owner), "memory": [_split_memory(arrays, "0.", memory)]}
    if isinstance(owner, Hierarchy) and isinstance(memory, HierarchyMemory):
        owner._belongs(memory)
        # Arrays are numbered by level: "0.fields", "0.u", ..; the rest is plain settings.
        arrays.update({f"{i}.fields": level.fields for i, level in enumerate(owner.levels)})
        levels = [_split_memory(arrays, f"{i}.", level) for i, level in enumerate(memory.levels)]
        return {**to_plain(owner, other=lambda array, name: None), "memory": levels}
    if isinstance(owner, Recogniser) and isinstance(memory, RecogniserMemory):
        owner._belongs(memory)
        arrays.update({f"{i}.counts": counts for i, counts in enumerate(memory.counts)}, classes=memory.classes)
        rest = {name: getattr(owner, name) for name in ("frames", "classes", "smoothing")}
        return {**rest, "hierarchy": _split(arrays, owner.hierarchy, memory.hierarchy)}
    got = f"{type(owner).__name__} and {type(memory).__name__}"
    raise NeurosimInputError(f"save: needs a column, hierarchy or recogniser and its memory (got {got})")


def _split_memory(arrays: Arrays, prefix: str, memory: ColumnMemory) -> PlainTree:
    for name in ("u", "h", "d", "clock"):
        arrays[prefix + name] = getattr(memory, name)
    for name in ("stages", "last"):
        arrays.update({f"{prefix}{name}{t}": array for t, array in enumerate(getattr(memory, name))})
    return {"afferents": list(memory.afferents), "stored": memory.stored, "warned": memory.warned}


def _join_memory(arrays: Arrays, prefix: str, values: PlainTree, empty: ColumnMemory) -> ColumnMemory:
    """Return the memory; raise if an array has another shape or type than in `empty`."""
    require(
        tuple(values["afferents"]) == empty.afferents, "afferents", f"must be {empty.afferents}", values["afferents"]
    )
    stored = values["stored"]
    good = isinstance(stored, int) and 0 <= stored < 2**53
    require(good, "stored", "must be the number of stored items, 0 to 2^53 - 1", stored)
    restored: PlainTree = {
        name: _like(arrays, prefix + name, getattr(empty, name)) for name in ("u", "h", "d", "clock")
    }
    for name in ("stages", "last"):
        restored[name] = tuple(_like(arrays, f"{prefix}{name}{t}", a) for t, a in enumerate(getattr(empty, name)))
    return ColumnMemory(**restored, afferents=empty.afferents, stored=stored, warned=bool(values["warned"]))


def _like(arrays: Arrays, name: str, like: NDArray[Any]) -> NDArray[Any]:
    array = arrays[name]
    good = array.shape == like.shape and array.dtype == like.dtype
    require(good, name, f"must be {like.dtype} {like.shape}", f"{array.dtype} {array.shape}")
    # Loaded arrays may lie in read-only bytes.
    return array.copy()


def _build_column(values: PlainTree, arrays: Arrays) -> tuple[Macrocolumn, ColumnMemory]:
    column = from_plain(Macrocolumn, values["column"])
    return column, _join_memory(arrays, "0.", values["memory"][0], column.memory())


def _build_hierarchy(values: PlainTree, arrays: Arrays) -> tuple[Hierarchy, HierarchyMemory]:
    levels = [{**level, "fields": arrays[f"{i}.fields"]} for i, level in enumerate(values["levels"])]
    rest = {name: value for name, value in values.items() if name != "memory"}
    owner = from_plain(Hierarchy, {**rest, "levels": levels})
    parts = enumerate(zip(values["memory"], owner.memory().levels, strict=True))
    return owner, HierarchyMemory(tuple(_join_memory(arrays, f"{i}.", part, empty) for i, (part, empty) in parts))


def _build_recogniser(values: PlainTree, arrays: Arrays) -> tuple[Recogniser, RecogniserMemory]:
    hierarchy, memory = _build_hierarchy(values["hierarchy"], arrays)
    owner = from_plain(Recogniser, {**values, "hierarchy": hierarchy})
    # Sizes are checked before memory of these sizes is allocated.
    sizes = (owner.frames, owner.classes)
    saved_sizes = (arrays["0.counts"].shape[0], len(arrays["classes"]))
    require(saved_sizes == sizes, "frames and classes", f"must be {sizes}", saved_sizes)
    empty = owner.memory()
    counts = tuple(_like(arrays, f"{i}.counts", like) for i, like in enumerate(empty.counts))
    return owner, RecogniserMemory(memory, counts, _like(arrays, "classes", empty.classes))


_BUILDERS: Mapping[str, Callable[..., Any]] = {
    "Hierarchy": _build_hierarchy,
    "Macrocolumn": _build_column,
    "Recogniser": _build_recogniser,
}
