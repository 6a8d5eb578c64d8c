"""Windowed populations in TOML: the parameters of the model beside its window, and what it has learned in a file."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from ...base.errors import NeurosimError, NeurosimInputError, check_keys, lookup
from ...data.files.arrays import read_arrays
from ...network.windowed import Windowed, WindowModel
from .tables import Place, Table, build, typed

# The room of each model; loaded only if a network names it.
ROOMS = {
    "SpatialPooler": "memory",
    "DendriteLayer": "memory",
    "DendriticSegments": "memory",
    "ELMUnits": "memory",
    "TemporalMemory": "memory",
    "Macrocolumn": "memory",
    "Hierarchy": "memory",
    "LinearReadout": "learning",
    "OnlineReadout": "learning",
}
# Functions of `memory` that make the receptive fields of a level.
FIELDS = {"patches": "patches", "scattered": "scattered"}
WINDOW = tuple(field.name for field in dataclasses.fields(Windowed) if field.name != "model")


def window_model(name: str) -> type[WindowModel]:
    """Return the class of this name in `ROOMS`."""
    found: type[WindowModel] = getattr(import_module(f"....{ROOMS[name]}", __name__), name)
    return found


def parse(owner: type[WindowModel], entry: Table, place: Place) -> Windowed:
    """Return the model of a population's table, whose keys are those of `Windowed` and the parameters of the model.

    Raises:
        NeurosimInputError: no window, an unknown key, or a value that breaks its rule.
    """
    if "window" not in entry:
        raise NeurosimInputError(f"{place.what}: window is missing; give seconds: {owner.__name__} acts once a window")
    model = build(owner, _with_fields({key: value for key, value in entry.items() if key not in WINDOW}, place), place)
    window = typed(entry["window"], float, place.at("window"))
    learn = entry.get("learn", True)
    if "learned" in entry:
        learned = _read(entry["learned"], place.at("learned"))
    else:
        learned = None
    with place.named():
        windowed = Windowed(model, window, typed(learn, bool, place.at("learn")), learned)
        if learned is not None:
            windowed.start()
        return windowed


def _with_fields(entry: Table, place: Place) -> Table:
    """Return a table whose levels have arrays as fields, in place of {name = "patches", shape, side, stride}."""
    if not isinstance(levels := entry.get("levels"), list):
        return entry
    found = []
    for number, level in enumerate(levels):
        if isinstance(level, Mapping):
            fields = level.get("fields")
        else:
            fields = None
        if isinstance(fields, Mapping) and "name" in fields:
            fields = _fields(fields, place.at(f"levels: number {number + 1}: fields"))
            found.append({**level, "fields": fields})
        else:
            found.append(level)
    return {**entry, "levels": found}


def _fields(entry: Table, place: Place) -> NDArray[Any]:
    """Return the receptive fields that a function of `FIELDS` makes."""
    make = getattr(import_module("....memory", __name__), lookup(FIELDS, entry["name"], f"{place.what}: name"))
    arguments = {key: value for key, value in entry.items() if key != "name"}
    check_keys(arguments, inspect.signature(make).parameters, place.what)
    with place.named():
        try:
            found: NDArray[Any] = make(**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})
        except TypeError as error:
            raise NeurosimInputError(str(error)) from None
        return found


def tree(windowed: Windowed, fields: Callable[[Any, str], Table], thing: str) -> dict[str, object]:
    """Return the keys of a population's table, without `learned`.

    fields: returns the table of a dataclass.
    """
    model = windowed.model
    table = {"model": type(model).__name__, "window": windowed.window, **fields(model, thing)}
    return table if windowed.learn else {**table, "learn": False}


def _read(value: object, place: Place) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of a file: of all of {file = ...}, or of those whose names start with `prefix`, without it."""
    entry: Table = {"file": value} if isinstance(value, str) else typed(value, dict, place)
    path = typed(entry.get("file"), str, place.at("file"))
    prefix = str(entry.get("prefix", ""))
    try:
        arrays = read_arrays(place.folder / path)
    except NeurosimError as error:
        raise type(error)(f"{place.what}: {error}") from None
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
