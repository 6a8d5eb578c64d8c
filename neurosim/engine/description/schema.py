"""JSON Schema of a network's TOML file, from the classes whose fields its tables hold."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...base.schema import DIALECT, Schema, attribute_docs, first_paragraph
from ...base.values import Distribution
from ...network.network import SOURCES, Link, Population, Projection
from ...network.neurons import MODELS
from ...network.neurons.base import Neuron
from ...network.stimuli import STIMULI, PoissonInput
from ...network.synapses.values import DISTRIBUTIONS
from ...network.windowed import Windowed, WindowModel
from ..probe import Probe
from . import windowed
from .description import Settings
from .parse import CONTINUOUS, SPIKES
from .tables import NONE, TAGGED

_VALUE: Schema = {"$ref": "#/$defs/value"}
_ARRAY: Schema = {"$ref": "#/$defs/array"}
_PLAIN: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"const": NONE},
}


def schema() -> Schema:
    """Return the JSON Schema of a file that `parse` reads; neurons of plugins are among its models."""
    models = [_population(name, owner) for name, owner in {**MODELS.every(), **SOURCES}.items()]
    models += [_population(name, windowed.window_model(name)) for name in windowed.ROOMS]
    stimuli = [_table(owner, _tag(owner)) for owner in STIMULI.values()]
    lists: dict[str, tuple[type, Schema]] = {
        "population": (Population, {"oneOf": models}),
        "projection": (Projection, _table(Projection)),
        "stimulus": (PoissonInput, {"oneOf": stimuli}),
        "link": (Link, _table(Link)),
        "probe": (Probe, _table(Probe)),
    }
    settings = _table(Settings)
    settings["properties"]["clock"] = {
        "anyOf": [{"type": "number"}, {"const": CONTINUOUS}],
        "description": f'The step, s; "{CONTINUOUS}" for continuous time.',
    }
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "simulation": settings,
            **{
                name: {"type": "array", "items": entry, "description": first_paragraph(owner)}
                for name, (owner, entry) in lists.items()
            },
        },
        "additionalProperties": False,
        "$defs": {"value": _value(), "array": _array()},
    }


def _tag(owner: type) -> Schema:
    """Return the key that names a stimulus; for Poisson input it may be left out."""
    tag = {"model": {"const": owner.__name__}}
    return {"properties": tag, "required": [] if owner is PoissonInput else ["model"]}


def _population(name: str, owner: type) -> Schema:
    """Return the table of a population with this model, whose parameters are keys beside its own."""
    common: dict[str, Schema] = {
        "name": {"type": "string"},
        "model": {"const": name},
        "shape": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
        "positions": _ARRAY,
        "initial": {"type": "object", "additionalProperties": _VALUE},
    }
    required = ["name", "model"]
    if name == "SpikeSource":
        common["spikes"] = _spikes()
    if issubclass(owner, WindowModel):
        entries = dataclasses.fields(Windowed)
        common |= {each.name: {} for each in entries if each.name != "model"}
        common |= {"window": {"type": "number", "description": "s"}, "learn": {"type": "boolean"}}
        required.append("window")
        common["learned"] = {"type": ["string", "object"]}
    else:
        required.append("shape")
    table = _table(owner, {"properties": common, "required": required})
    if "levels" in table["properties"]:
        # Receptive fields may be a table with the name of a function that makes them.
        fields = table["properties"]["levels"]["items"]["properties"]
        fields["fields"] = {"anyOf": [fields["fields"], _named(windowed.FIELDS)]}
    if issubclass(owner, Neuron):
        # Any parameter may be an array or a distribution.
        for key in table["properties"].keys() - common.keys():
            table["properties"][key] = {"anyOf": [table["properties"][key], _VALUE], **_described(owner, key)}
    return table


def _table(owner: type, common: Schema | None = None) -> Schema:
    """Return the table of a dataclass, with the keys that are `common` to several."""
    hints = typing.get_type_hints(owner)
    entries = [entry for entry in dataclasses.fields(owner) if entry.init]
    missing = dataclasses.MISSING
    required = [e.name for e in entries if e.default is missing and e.default_factory is missing]
    properties = {e.name: {**_of(hints[e.name]), **_described(owner, e.name)} for e in entries}
    if common:
        properties = {**common["properties"], **properties}
        required = [*common["required"], *required]
    return {
        "type": "object",
        "description": first_paragraph(owner),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _described(owner: type, name: str) -> Schema:
    words = attribute_docs(owner).get(name)
    return {} if words is None else {"description": words}


def _of(hint: Any) -> Schema:
    """Return the schema of values in a file for a field of this type; the mirror of `tables.convert`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
    else:
        options = (hint,)
    if Distribution in options or any(typing.get_origin(option) is np.ndarray for option in options):
        if type(None) in options:
            return {"anyOf": [_VALUE, _PLAIN[type(None)]]}
        return dict(_VALUE)
    schemas = [_option(option) for option in options]
    if len(schemas) == 1:
        return dict(schemas[0])
    return {"anyOf": schemas}


def _option(hint: Any) -> Schema:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if hint in TAGGED:
        return _tagged(*TAGGED[hint])
    if dataclasses.is_dataclass(hint):
        return _table(typing.cast(type, hint))
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0])}
    return {}  # checked by the class alone


def _tagged(key: str, classes: Mapping[str, type]) -> Schema:
    """Return an object of one of the classes: a table with its name under `key`, or the name alone."""
    tables = [
        _table(owner, {"properties": {key: {"const": name}}, "required": [key]}) for name, owner in classes.items()
    ]
    return {"anyOf": [{"enum": list(classes)}, *tables]}


def _array() -> Schema:
    numbers = {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "array"}]}}
    stored = {"file": {"type": "string"}, "array": {"type": "string"}}
    return {
        "description": "Numbers, or an array in a file.",
        "anyOf": [
            numbers,
            {"type": "object", "properties": stored, "required": list(stored), "additionalProperties": False},
        ],
    }


def _value() -> Schema:
    tables = _tagged("distribution", DISTRIBUTIONS)["anyOf"][1:]
    return {
        "description": "A number, an array with one for each, or a distribution.",
        "anyOf": [{"type": "number"}, _ARRAY, *tables],
    }


def _named(functions: Mapping[str, object]) -> Schema:
    return {"type": "object", "properties": {"name": {"enum": list(functions)}}, "required": ["name"]}


def _spikes() -> Schema:
    options: dict[str, Schema] = {name: {"type": "string"} for name, kind in SPIKES.items() if kind is str}
    options |= {"tick": {"type": "number"}, "start": {"anyOf": [{"type": "number"}, {"enum": ["first", "file"]}]}}
    file = {"file": {"type": "string"}, **options}
    listed = {"times": _ARRAY, "units": _ARRAY, "duration": {"type": "number"}}
    closed = {"type": "object", "additionalProperties": False}
    return {
        "description": "The recording that it plays: a file, or times and units.",
        "anyOf": [
            {"type": "string"},
            {**closed, "properties": file, "required": ["file"]},
            {**closed, "properties": listed, "required": list(listed)},
        ],
    }
