"""Saving columns, hierarchies and recognisers with all they remember, and loading them without loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from .. import files
from ..errors import NeurosimFormatError, NeurosimInputError, lookup, require
from .column import Macrocolumn
from .hierarchy import Hierarchy, HierarchyMemory, Level
from .recognition import Recogniser, RecogniserMemory
from .records import Memory
from .selection import Permanence, Selection

VERSION = 1
KIND = "macrocolumn"
Arrays = dict[str, NDArray]
Owner = Macrocolumn | Hierarchy | Recogniser
Held = Memory | HierarchyMemory | RecogniserMemory


def save(path: str | os.PathLike[str], owner: Owner, memory: Held) -> None:
    """Write a column, hierarchy or recogniser and its memory; `path` is replaced in one step.

    Raises:
        NeurosimInputError: the memory belongs to another.
        NeurosimWriteError: the disk refused.
    """
    arrays: Arrays = {}
    settings = {"class": type(owner).__name__, "parameters": _plain(arrays, owner, memory)}
    files.write_state(path, KIND, VERSION, settings, arrays)


def load(path: str | os.PathLike[str]) -> tuple[Any, Any]:
    """What `save` wrote: (column, memory), (hierarchy, memory) or (recogniser, memory).

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not such a file, cut short, damaged, or written by a newer version.
    """
    settings, arrays = files.read_state(path, KIND, VERSION)
    try:
        builder = lookup(_BUILDERS, settings["class"], "class")
        found: tuple[Any, Any] = builder(settings["parameters"], arrays)
    except (NeurosimInputError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = str(error) or type(error).__name__
        raise NeurosimFormatError(f"{path}: is no {KIND} this version knows ({reason}); use a copy") from None
    return found


# --- To plain values and arrays, and back


def _plain(arrays: Arrays, owner: Owner, memory: Held) -> dict[str, Any]:
    """The parameters; arrays go into `arrays`."""
    if isinstance(owner, Macrocolumn) and isinstance(memory, Memory):
        owner._belongs(memory)
        return {"column": asdict(owner), "memory": [_memory(arrays, "0.", memory)]}
    if isinstance(owner, Hierarchy) and isinstance(memory, HierarchyMemory):
        owner._belongs(memory)
        held = [_memory(arrays, f"{i}.", level) for i, level in enumerate(memory.levels)]
        return {**_hierarchy(arrays, owner), "memory": held}
    if isinstance(owner, Recogniser) and isinstance(memory, RecogniserMemory):
        owner._belongs(memory)
        arrays.update({f"{i}.counts": counts for i, counts in enumerate(memory.counts)}, classes=memory.classes)
        rest = {name: getattr(owner, name) for name in ("frames", "classes", "smoothing")}
        return {**rest, "hierarchy": _plain(arrays, owner.hierarchy, memory.hierarchy)}
    what = f"{type(owner).__name__} and {type(memory).__name__}"
    raise NeurosimInputError(f"save: needs a column, hierarchy or recogniser and its memory (got {what})")


def _memory(arrays: Arrays, prefix: str, memory: Memory) -> dict[str, Any]:
    for name in ("u", "h", "d", "clock"):
        arrays[prefix + name] = getattr(memory, name)
    for name in ("stages", "last"):
        for t, array in enumerate(getattr(memory, name)):
            arrays[f"{prefix}{name}{t}"] = array
    return {"afferents": list(memory.afferents), "stored": memory.stored, "warned": memory.warned}


def _hierarchy(arrays: Arrays, owner: Hierarchy) -> dict[str, Any]:
    levels = []
    for i, level in enumerate(owner.levels):
        arrays[f"{i}.fields"] = level.fields
        levels.append({name: value for name, value in _level(level).items() if name != "fields"})
    return {"inputs": owner.inputs, "top_down": owner.top_down, "seed": owner.seed, "levels": levels}


def _level(level: Level) -> dict[str, Any]:
    values = {name: getattr(level, name) for name in Level.__dataclass_fields__}
    values["selection"] = asdict(level.selection)
    values["permanence"] = asdict(level.permanence) if level.permanence else None
    return values


def _rules(values: dict[str, Any]) -> dict[str, Any]:
    """The parameters that are classes or tuples, as such."""
    selection, permanence, bounds = values["selection"], values["permanence"], values["bounds"]
    for name in ("exponents", "thresholds"):
        selection[name] = tuple(selection[name])
    return {
        **values,
        "selection": Selection(**selection),
        "permanence": Permanence(tuple(permanence["lifetimes"])) if permanence else None,
        "bounds": tuple(bounds) if bounds else None,
    }


def _load_memory(arrays: Arrays, prefix: str, values: dict[str, Any], empty: Memory) -> Memory:
    """The memory, if every array has the shape and type that `empty` has."""
    require(
        tuple(values["afferents"]) == empty.afferents, "afferents", f"must be {empty.afferents}", values["afferents"]
    )
    found = {name: _like(arrays, prefix + name, getattr(empty, name)) for name in ("u", "h", "d", "clock")}
    for name in ("stages", "last"):
        same = tuple(_like(arrays, f"{prefix}{name}{t}", array) for t, array in enumerate(getattr(empty, name)))
        found[name] = same  # type: ignore[assignment]
    return Memory(**found, afferents=empty.afferents, stored=int(values["stored"]), warned=bool(values["warned"]))  # type: ignore[arg-type]


def _like(arrays: Arrays, name: str, wanted: NDArray) -> NDArray:
    array = arrays[name]
    good = array.shape == wanted.shape and array.dtype == wanted.dtype
    require(good, name, f"must be {wanted.dtype} {wanted.shape}", f"{array.dtype} {array.shape}")
    # Loaded arrays may lie in read-only bytes.
    return array.copy()


def _build_column(values: dict[str, Any], arrays: Arrays) -> tuple[Macrocolumn, Memory]:
    column = Macrocolumn(**_rules(values["column"]))
    return column, _load_memory(arrays, "0.", values["memory"][0], column.memory())


def _build_hierarchy(values: dict[str, Any], arrays: Arrays) -> tuple[Hierarchy, HierarchyMemory]:
    levels = tuple(Level(arrays[f"{i}.fields"], **_rules(level)) for i, level in enumerate(values["levels"]))
    owner = Hierarchy(values["inputs"], levels, values["top_down"], values["seed"])
    empty = owner.memory().levels
    parts = zip(values["memory"], empty, strict=True)
    return owner, HierarchyMemory(
        tuple(_load_memory(arrays, f"{i}.", each, like) for i, (each, like) in enumerate(parts))
    )


def _build_recogniser(values: dict[str, Any], arrays: Arrays) -> tuple[Recogniser, RecogniserMemory]:
    hierarchy, held = _build_hierarchy(values["hierarchy"], arrays)
    owner = Recogniser(hierarchy, values["frames"], values["classes"], values["smoothing"])
    empty = owner.memory()
    counts = tuple(_like(arrays, f"{i}.counts", like) for i, like in enumerate(empty.counts))
    return owner, RecogniserMemory(held, counts, _like(arrays, "classes", empty.classes))


_BUILDERS: Mapping[str, Callable[..., Any]] = {
    "Hierarchy": _build_hierarchy,
    "Macrocolumn": _build_column,
    "Recogniser": _build_recogniser,
}
