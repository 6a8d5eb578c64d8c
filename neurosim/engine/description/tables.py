"""Tables of a TOML file to dataclasses: known names only, values of the declared type, errors that name the table."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...base.errors import NeurosimError, NeurosimInputError, check_keys, lookup
from ...base.plain import from_plain
from ...base.values import Distribution
from ...network.plasticity import HOMEOSTASIS, RULES
from ...network.plasticity.base import LearningRule
from ...network.plasticity.homeostasis import Homeostasis
from ...network.synapses import PATTERNS
from ...network.synapses.base import Pattern
from ...network.synapses.values import DISTRIBUTIONS
from . import arrays

T = TypeVar("T")
Table = Mapping[str, Any]
# TOML has no null: this word means None where None is not the default.
NONE = "none"


@dataclasses.dataclass(frozen=True)
class Place:
    """Place of a table in a file: `what` names it in errors, relative paths start from `folder`."""

    what: str
    folder: Path

    def at(self, key: str) -> Place:
        return dataclasses.replace(self, what=f"{self.what}: {key}")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Put the place before the errors raised inside."""
        try:
            yield
        except NeurosimError as error:
            if str(error).startswith(f"{self.what}:"):
                raise
            raise type(error)(f"{self.what}: {error}") from None


def get(table: Table, key: str, kind: type[T], place: Place) -> T:
    """Return the value of a required key, of that type."""
    if key not in table:
        raise NeurosimInputError(f"{place.what}: {key} is missing; give it")
    return typed(table[key], kind, place.at(key))


def typed(value: object, kind: type[T], place: Place) -> T:
    """Return `value` if it is of that type (an integer is a float too, a boolean is no number)."""
    return from_plain(kind, value, place.what)


def build(owner: type[T], table: Table, place: Place) -> T:
    """Return the dataclass whose fields the table holds by name.

    Raises:
        NeurosimInputError: an unknown key, a missing one, or a value that breaks its rule, with the place before it.
    """
    entries = {field.name: field for field in dataclasses.fields(owner) if field.init}  # type: ignore[arg-type]
    check_keys(table, entries, place.what)
    for name, field in entries.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise NeurosimInputError(f"{place.what}: {name} is missing; give it")
    hints = typing.get_type_hints(owner)
    values = {name: convert(hints[name], value, place.at(name)) for name, value in table.items()}
    with place.named():
        return owner(**values)


# Classes of a kind by their name, and the key of a table that holds the name.
TAGGED: Mapping[type, tuple[str, Mapping[str, type]]] = {
    Distribution: ("distribution", DISTRIBUTIONS),
    Pattern: ("name", PATTERNS),
    LearningRule: ("rule", RULES),
    Homeostasis: ("rule", HOMEOSTASIS),
}


def convert(hint: Any, value: object, place: Place) -> Any:
    """Return `value` as the declared type of a field: a number, string, list, object, or a value for `value_of`."""
    if isinstance(value, (np.ndarray, Distribution)):
        return value  # read already
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
    else:
        options = (hint,)
    if type(None) in options and value == NONE:
        return None
    if Distribution in options or any(typing.get_origin(option) is np.ndarray for option in options):
        return value_of(value, place)
    owner: Any = next((option for option in options if option in TAGGED or dataclasses.is_dataclass(option)), None)
    if owner is not None:
        if owner in TAGGED:
            return build_tagged(owner, value, place)
        return build(owner, typed(value, dict, place), place)
    sequence = next((option for option in options if typing.get_origin(option) is tuple), None)
    # The values of a Literal are checked by their owner.
    kinds = [type(typing.get_args(o)[0]) if typing.get_origin(o) is typing.Literal else o for o in options]
    plain = next((kind for kind in (bool, int, float, str) if kind in kinds), None)
    if plain is None or (isinstance(value, list) and sequence is not None):
        return _tuple(typing.get_args(sequence)[:1], typed(value, list, place), place)
    return typed(value, plain, place)


def _tuple(hint: tuple[Any, ...], values: list[Any], place: Place) -> tuple[Any, ...]:
    """Return a list as a tuple; entries that are declared as a dataclass are tables."""
    if not any(dataclasses.is_dataclass(each) for each in hint):
        return tuple(values)
    return tuple(convert(hint[0], entry, place.at(f"number {i + 1}")) for i, entry in enumerate(values))


def value_of(value: object, place: Place) -> Any:
    """Return a number, an array, or a distribution, {distribution = "Normal", mean = ..., sd = ...}."""
    if isinstance(value, Mapping) and "distribution" in value:
        return build_tagged(Distribution, value, place)
    if isinstance(value, (list, Mapping)):
        return arrays.read(value, place.folder, place.what)
    return typed(value, float, place)


def build_tagged(kind: type, value: object, place: Place) -> Any:
    """Return an object of a kind in TAGGED; `value` is a table with the name of its class, or the name alone."""
    key, classes = TAGGED[kind]
    entry: Table = {key: value} if isinstance(value, str) else typed(value, dict, place)
    owner = lookup(classes, get(entry, key, str, place), f"{place.what}: {key}")
    return build(owner, {name: each for name, each in entry.items() if name != key}, place)
