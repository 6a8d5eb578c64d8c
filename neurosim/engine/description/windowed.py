"""Windowed populations in TOML: parameters of the model beside its window, and its learned state in a file."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, check_keys, lookup
from ...data.files.arrays import read_arrays
from ...network.windowed import ReadingUnit, Windowed, WindowModel
from .tables import Table, TableReader, check_known, named

# The room or module of each model; loaded only if a network names it.
ROOMS = {
    "SpatialPooler": "memory",
    "DendriteLayer": "memory",
    "DendriticSegments": "memory",
    "ELMUnits": "memory",
    "TemporalMemory": "memory",
    "PatchCode": "memory",
    "HopfieldUnits": "memory.associative.windowed",
    "ModernHopfieldUnits": "memory.associative.windowed",
    "SparseDistributedUnits": "memory.associative.windowed",
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
    model: type[WindowModel] = getattr(import_module(f"....{ROOMS[name]}", __name__), name)
    return model


def read(reader: TableReader, owner: type[WindowModel], entry: Table, name: str) -> Windowed:
    """Return the model of a population's table, whose keys are fields of `Windowed` and parameters of the model.

    Raises:
        NeurosimInputError: no window, an unknown key, or a value that breaks its rule.
    """
    if "window" not in entry:
        raise NeurosimInputError(f"{name}: window is missing; give seconds: {owner.__name__} acts once a window")
    parameters = {key: value for key, value in entry.items() if key not in WINDOW}
    model = reader.record(owner, _with_fields(reader, parameters, name), name)
    window = reader.get(entry, "window", float, name)
    learn = reader.value(bool, entry.get("learn", True), reader.at(name, "learn"))
    if "learned" in entry:
        learned = _learned(reader, entry["learned"], reader.at(name, "learned"))
    else:
        learned = None
    if "reading_unit" in entry:
        unit = reader.record(ReadingUnit, entry["reading_unit"], reader.at(name, "reading_unit"))
    else:
        unit = None
    with named(name):
        windowed = Windowed(model=model, window=window, learn=learn, learned=learned, reading_unit=unit)
        if learned is not None:
            windowed.start()
        return windowed


def _with_fields(reader: TableReader, entry: Table, name: str) -> Table:
    """Return a table whose levels have arrays as fields, in place of {name = "patches", shape, side, stride}."""
    levels = entry.get("levels")
    if not isinstance(levels, list):
        return entry
    converted = []
    for number, level in enumerate(levels):
        fields = level.get("fields") if isinstance(level, Mapping) else None
        if isinstance(fields, Mapping) and "name" in fields:
            label = reader.at(reader.item(reader.at(name, "levels"), number), "fields")
            converted.append({**level, "fields": _fields(fields, label)})
        else:
            converted.append(level)
    return {**entry, "levels": converted}


def _fields(entry: Table, name: str) -> NDArray[Any]:
    """Return the receptive fields that a function of `FIELDS` makes."""
    make = getattr(import_module("....memory", __name__), lookup(FIELDS, entry["name"], f"{name}: name"))
    arguments = {key: value for key, value in entry.items() if key != "name"}
    check_keys(arguments, inspect.signature(make).parameters, name)
    # Lists of TOML as tuples.
    converted = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    with named(name):
        try:
            fields: NDArray[Any] = make(**converted)
        except TypeError as error:
            raise NeurosimInputError(str(error)) from None
        return fields


def _learned(reader: TableReader, tree: object, name: str) -> Mapping[str, NDArray[Any]]:
    """Return the arrays in {file = ...}, or those whose names start with `prefix`, without the prefix."""
    entry = {"file": tree} if isinstance(tree, str) else reader.value(dict, tree, name)
    path = reader.value(str, entry.get("file"), reader.at(name, "file"))
    prefix = str(entry.get("prefix", ""))
    with named(name):
        arrays = read_arrays(reader.folder / path)
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def tree(windowed: Windowed, fields: Callable[[Any, str], Table], label: str) -> dict[str, object]:
    """Return the keys of a population's table, without `learned`.

    Args:
        fields: returns the table of a dataclass.

    Raises:
        NeurosimInputError: a model of the user's own.
    """
    model = windowed.model
    name = type(model).__name__
    check_known(name in ROOMS and window_model(name) is type(model), name, label)
    table: dict[str, object] = {"model": name, "window": windowed.window, **fields(model, label)}
    if not windowed.learn:
        table["learn"] = False
    if windowed.reading_unit is not None:
        table["reading_unit"] = fields(windowed.reading_unit, label)
    return table
