"""Descriptions of networks as plain data: whether a saved state belongs to a network, and if not, the difference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError
from ..network.network import Network
from ..network.neurons.base import Neuron, written_fields
from ..network.plasticity.base import LearningRule
from ..network.windowed import Windowed

# The lists of a network, and the class of their entries.
KINDS = {"populations": "Population", "projections": "Projection", "stimuli": "PoissonInput", "links": "Link"}


def describe(network: Network) -> dict[str, object]:
    """Return every parameter of a network as JSON holds it, by list and name; long arrays by their digest.

    Equal networks have equal descriptions, in whatever order they were put together and whether a number was given as
    1 or 1.0.
    """
    entries = {key: getattr(network, key) for key in KINDS}
    if not network.links:  # the digest of a network without links does not depend on the list
        del entries["links"]
    return {key: {str(e.name): _plain(e, e.name) for e in listed} for key, listed in entries.items()}


def digest(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def difference(saved: Mapping[str, Any], present: Mapping[str, Any]) -> str | None:
    """Return the first difference of two descriptions, None if there is none:

    `Population['exc'].model.tau_mem: 0.02 there, 0.03 here`.
    """
    for key, kind in KINDS.items():
        there = saved.get(key, {})
        here = present.get(key, {})
        for name in sorted({*there, *here}):
            text = _difference(there.get(name), here.get(name), f"{kind}[{name!r}]")
            if text:
                return text
    return None


def _difference(there: Any, here: Any, label: str) -> str | None:
    if there == here:
        return None
    if there is None or here is None:
        return f"{label}: {_short(there)} there, {_short(here)} here"
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        # Parameters of another class have other names: the class is the difference.
        if there.get("class") != here.get("class"):
            return f"{label}: {_short(there)} there, {_short(here)} here"
        for key in sorted({*there, *here}):
            text = _difference(there.get(key), here.get(key), f"{label}.{key}")
            if text:
                return text
    return f"{label}: {_short(there)} there, {_short(here)} here"


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, Mapping):
        return str(value.get("class", value.get("array", "other values")))
    return f"{value!r:.40}"


def _plain(value: Any, label: object) -> Any:
    """Return a parameter as JSON: numbers, strings, lists, and classes with their fields."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float, np.number, np.bool_)):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key], label) for key in sorted(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value, label)
    if isinstance(value, (np.ndarray, list, tuple)):
        return _array(value, label)
    raise NeurosimInputError(
        f"{label}: a {type(value).__name__} cannot be written down, so its network cannot be saved; "
        "give numbers, text, arrays or a dataclass of them"
    )


def _object(value: Any, label: object) -> dict[str, object]:
    kind = type(value)
    skipped = ("learned",) if kind is Windowed else ()
    named = {f.name: getattr(value, f.name) for f in written_fields(value) if f.name not in skipped}
    plain = {"class": kind.__name__, **{name: _plain(entry, label) for name, entry in named.items()}}
    if isinstance(value, Windowed):
        # The state that it starts from.
        plain["learned"] = _content(value.start().arrays())
    if isinstance(value, Neuron):
        plain.update(state=list(value.state), receptors=list(value.receptors))
        if value.drives:
            plain["drives"] = [list(drive) for drive in value.drives]
    if isinstance(value, (Neuron, LearningRule)) and hasattr(kind, "source"):
        # Written from equations: their class may have any name.
        plain["source"] = hashlib.sha256(kind.source.encode()).hexdigest()[:32]
    return plain


def _content(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a digest of arrays, their names, forms and bytes."""
    state = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        state.update(f"{name} {array.dtype.str} {list(array.shape)} ".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()[:32]


def _number(value: Any) -> int | float | str:
    # NaN and infinity are not JSON; 1 and 1.0 are the same.
    number = float(value)
    if not np.isfinite(number):
        return repr(number)
    return int(value) if number == int(value) else number


def _array(value: Any, label: object) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _plain(value.item(), label)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.size <= 8:
        value = value.tolist()
    if isinstance(value, (list, tuple)) and (len(value) <= 8 or not _numeric(value)):
        return [_plain(item, label) for item in value]
    array: NDArray[Any] = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return [_plain(item, label) for item in array.tolist()]
    # Integers and reals that are equal have equal bytes; adding 0.0 makes -0.0 into 0.0.
    data = np.ascontiguousarray(array, np.float64) + 0.0
    return {"array": f"{list(array.shape)} {hashlib.sha256(data.tobytes()).hexdigest()[:32]}"}


def _numeric(value: Any) -> bool:
    return all(isinstance(item, (int, float, np.number)) for item in value)
