"""Mutants of saved state, whose digest is right.

A mutant differs in values, shapes or settings, never in its form: what a careful attacker, or a bug of ours, writes.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from neurosim.data import write_state
from neurosim.data.files.state import HEADER

NUMBERS: list[Any] = [0, 1, -1, 2, 63, 64, 255, 2**15, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30]
ODD: list[Any] = [*NUMBERS, 0.5, -0.5, 1e-300, 1e300, float("inf"), float("nan"), None, True, "", "x", [], {}, [[]]]


def mutate(path: Path, sound: Path, rng: np.random.Generator) -> str:
    """Write a mutant of `sound`; return what was changed."""
    if sound.is_dir():
        return _mutate_model(path, sound, rng)
    with safe_open(str(sound), "np") as stored:
        header = json.loads(stored.metadata()[HEADER])
        arrays = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    words = _mutate(header["settings"], arrays, rng)
    write_state(path, header["kind"], header["version"], header["settings"], arrays)
    return words


def _mutate_model(path: Path, sound: Path, rng: np.random.Generator) -> str:
    """Write a folder of a model with other settings or other tensors."""
    path.mkdir(exist_ok=True)
    config = json.loads((sound / "config.json").read_text())
    with safe_open(str(sound / "model.safetensors"), "np") as stored:
        arrays = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    words = _mutate(config, arrays, rng)
    (path / "config.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path / "model.safetensors")
    return words


def _mutate(settings: dict[str, Any], arrays: dict[str, NDArray[Any]], rng: np.random.Generator) -> str:
    words = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if arrays and rng.random() < 0.8:
            name = sorted(arrays)[int(rng.integers(len(arrays)))]
            arrays[name], how = _mutate_array(arrays[name], rng)
            words.append(f"{name}: {how}")
        else:
            words.append(_mutate_tree(settings, rng))
    return "; ".join(words)


def _mutate_array(array: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], str]:
    array = array.copy()
    kind = rng.random()
    if kind < 0.05:
        shapes = [array[:-1] if array.ndim else array, array.ravel(), array[None], np.repeat(array[None], 2, 0)]
        return shapes[int(rng.integers(len(shapes)))], "shape"
    if kind < 0.1:
        types = ["f4", "f8", "i4", "i8", "u1", "u4", "b1"]
        with np.errstate(all="ignore"):
            return array.astype(types[int(rng.integers(len(types)))]), "type"
    if not array.size:
        return np.append(array, array.dtype.type(1)), "longer"
    flat = array.reshape(-1)
    if kind < 0.2:
        rng.shuffle(flat)
        return array, "shuffled"
    how = "all" if kind < 0.3 else "some"
    if how == "all":
        places = slice(None)
    else:
        places = rng.integers(0, flat.size, int(rng.choice([1, 1, 3, 10])))
    value = _extreme(flat, rng)
    with np.errstate(all="ignore"):
        flat[places] = value
    return array, f"{how} {value}"


def _extreme(flat: NDArray[Any], rng: np.random.Generator) -> Any:
    """Return a value that the type holds: an end of its range, a neighbour of what is there, not a number."""
    if flat.dtype.kind == "f":
        return rng.choice([np.nan, np.inf, -np.inf, 0, -1, 1, 1e30, -1e30, float(np.nanmax(flat)) + 1, rng.normal()])
    if flat.dtype.kind not in "iu":
        return not flat[0]
    ends = np.iinfo(flat.dtype)
    top = int(flat.max())
    low = int(flat.min())
    candidates = [0, 1, -1, ends.max, ends.min, top + 1, low - 1, 2 * top + 1, flat.size, 1 << 16, 1 << 31, 1 << 40]
    inside = [value for value in candidates if ends.min <= value <= ends.max]
    return inside[int(rng.integers(len(inside)))]


def _mutate_tree(tree: Any, rng: np.random.Generator) -> str:
    """Change one leaf, or take out or add an entry, somewhere below."""
    at = ""
    node = tree
    key = None
    parent: Any = None
    while isinstance(node, dict | list) and node and rng.random() < 0.9:
        parent = node
        if isinstance(node, dict):
            keys = list(node)
        else:
            keys = range(len(node))
        key = keys[int(rng.integers(len(keys)))]
        node = node[key]
        at = f"{at}.{key}"
    if parent is None:
        return "nothing"
    kind = rng.random()
    if kind < 0.08:
        del parent[key]
        return f"{at} removed"
    value = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
    parent[key] = value
    return f"{at} = {str(value)[:40]}"
