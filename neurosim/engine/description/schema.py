"""JSON Schema of a network's TOML file, from the classes whose fields its tables hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ...base.plain import missing_keys
from ...base.rules import options_of
from ...base.schema import DIALECT, Schema, SchemaMaker, first_paragraph
from ...network.neurons import MODELS
from ...network.neurons.base import Neuron
from ...network.population import SOURCES, Population
from ...network.projection import Link, Projection
from ...network.stimuli import STIMULI, PoissonInput
from ...network.synapses.base import Pattern
from ...network.synapses.values import DISTRIBUTIONS
from ...network.windowed import ReadingUnit, Windowed, WindowModel
from ..probe import Probe
from . import windowed
from .description import Settings
from .parse import CONTINUOUS, SPIKES
from .tables import NONE, TAGGED, holds_numbers

_VALUE: Schema = {"$ref": "#/$defs/value"}
_PATTERN: Schema = {"$ref": "#/$defs/pattern"}
_ARRAY: Schema = {"$ref": "#/$defs/array"}
_NONE: Schema = {"const": NONE}


def schema() -> Schema:
    """Return the JSON Schema of a file that `parse` reads; neurons of plugins are among its models."""
    maker = _NetworkSchemaMaker()
    models = [maker.population(name, owner) for name, owner in {**MODELS.every(), **SOURCES}.items()]
    models += [maker.population(name, windowed.window_model(name)) for name in windowed.ROOMS]
    lists: dict[str, tuple[type, Schema]] = {
        "population": (Population, {"oneOf": models}),
        "projection": (Projection, maker.table(Projection)),
        "stimulus": (PoissonInput, {"oneOf": [maker.stimulus(owner) for owner in STIMULI.values()]}),
        "link": (Link, maker.table(Link)),
        "probe": (Probe, maker.table(Probe)),
    }
    settings = maker.table(Settings)
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
        "$defs": {"value": maker.value(), "array": _array(), "pattern": maker.tagged(*TAGGED[Pattern])},
    }


class _NetworkSchemaMaker(SchemaMaker):
    """Makes the schemas of tables that `TableReader` reads."""

    def table(self, owner: type, default: object = None) -> Schema:
        entries = {entry.name: entry for entry in dataclasses.fields(owner) if entry.init}
        return {**super().table(owner, default), "required": missing_keys({}, entries)}

    def key(self, hint: Any, default: Any, meaning: str) -> Schema:
        entry = dict(self.of(hint))
        # Other defaults, None among them, have no form that a file could hold in this place.
        if isinstance(default, bool | int | str) or (isinstance(default, float) and math.isfinite(default)):
            entry["default"] = default
        if meaning:
            entry["description"] = meaning
        return entry

    def of(self, hint: Any) -> Schema:
        options = options_of(hint)
        if not holds_numbers(options):
            return super().of(hint)
        forms = [_VALUE]
        if str in options:
            forms.append({"type": "string"})
        if type(None) in options:
            forms.append(_NONE)
        return forms[0] if len(forms) == 1 else {"anyOf": forms}

    def option(self, hint: Any) -> Schema:
        if hint is type(None):
            return _NONE
        if hint is Pattern:
            # Patterns hold patterns.
            return _PATTERN
        if hint in TAGGED:
            return self.tagged(*TAGGED[hint])
        return super().option(hint)

    def stimulus(self, owner: type) -> Schema:
        """Return the table of a stimulus; its key `model` may be left out for Poisson input."""
        required = [] if owner is PoissonInput else ["model"]
        return _with(self.table(owner), {"model": {"const": owner.__name__}}, required)

    def population(self, name: str, owner: type) -> Schema:
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
            common["reading_unit"] = self.table(ReadingUnit)
        else:
            required.append("shape")
        table = self.table(owner)
        if "levels" in table["properties"]:
            # Receptive fields may be a table with the name of a function that makes them.
            fields = table["properties"]["levels"]["items"]["properties"]
            fields["fields"] = {"anyOf": [fields["fields"], _named(windowed.FIELDS)]}
        if issubclass(owner, Neuron):
            table["properties"].update({key: _varied(entry) for key, entry in table["properties"].items()})
        return _with(table, common, required)

    def tagged(self, key: str, classes: Mapping[str, type]) -> Schema:
        """Return an object of one of the classes: a table with its name under `key`, or the name alone."""
        tables = [_with(self.table(owner), {key: {"const": name}}, [key]) for name, owner in classes.items()]
        return {"anyOf": [{"enum": list(classes)}, *tables]}

    def value(self) -> Schema:
        """Return a number, an array with one for each unit or synapse, or a distribution."""
        tables = self.tagged("distribution", DISTRIBUTIONS)["anyOf"][1:]
        return {
            "description": "A number, an array with one for each, or a distribution.",
            "anyOf": [{"type": "number"}, _ARRAY, *tables],
        }


def _with(table: Schema, keys: Mapping[str, Schema], required: list[str]) -> Schema:
    """Return a table with more keys before its own."""
    properties = {**keys, **table["properties"]}
    return {**table, "properties": properties, "required": [*required, *table["required"]]}


def _varied(entry: Schema) -> Schema:
    """Return a parameter of a neuron that may also be an array or a distribution."""
    notes = {word: entry[word] for word in ("default", "description") if word in entry}
    one = {word: value for word, value in entry.items() if word not in notes}
    return {"anyOf": [one, _VALUE], **notes}


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
