"""One table of a TOML file as one dataclass: closed names, values of the declared kind, errors that say which table."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import NeurosimError, NeurosimInputError, lookup, require
from ..synapses import DISTRIBUTIONS, Distribution
from . import arrays

T = TypeVar("T")
Table = Mapping[str, Any]
# TOML has no null. The word says "none of it" where None is not what leaving the key out means.
NONE = "none"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in a file a table stands: `what` names it in errors, `folder` is where paths start."""

    what: str
    folder: Path

    def at(self, key: str) -> Place:
        return dataclasses.replace(self, what=f"{self.what}: {key}")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Puts the place before the errors of what is made from the table."""
        try:
            yield
        except NeurosimError as error:
            if str(error).startswith(f"{self.what}:"):
                raise
            raise type(error)(f"{self.what}: {error}") from None


def known(table: Table, names: Iterable[str], place: Place) -> None:
    """Raise for the first key that is not among `names`."""
    closed = dict.fromkeys(names)
    for key in table:
        lookup(closed, key, f"{place.what}: unknown key")


def get(table: Table, key: str, kind: type[T], place: Place) -> T:
    """A key that must be there, of that kind."""
    if key not in table:
        raise NeurosimInputError(f"{place.what}: {key} is missing; give it")
    return typed(table[key], kind, place.at(key))


def typed(value: object, kind: type[T], place: Place) -> T:
    """`value` if it is of that kind (a whole number is a float too, true is no number)."""
    kinds = (int, float) if kind is float else (kind,)
    right = isinstance(value, kinds) and (kind is bool or not isinstance(value, bool))
    # A whole number beyond what a float holds passes for one in no other way.
    right = right and not (kind is float and isinstance(value, int) and abs(value) > 2**1000)
    require(right, place.what, f"must be {_WORDS.get(kind, kind.__name__)}", f"{value!r:.60}")
    return float(value) if kind is float else value  # type: ignore[arg-type, return-value]


_WORDS: Mapping[type, str] = {
    float: "a number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    dict: "a table",
    list: "a list",
}


def build(owner: type[T], table: Table, place: Place) -> T:
    """The dataclass whose fields the table gives by name.

    Raises:
        NeurosimInputError: an unknown key, a missing one, or a value that breaks its rule, with the place before it.
    """
    entries = {field.name: field for field in dataclasses.fields(owner) if field.init}  # type: ignore[arg-type]
    known(table, entries, place)
    for name, field in entries.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise NeurosimInputError(f"{place.what}: {name} is missing; give it")
    hints = typing.get_type_hints(owner)
    values = {name: convert(hints[name], value, place.at(name)) for name, value in table.items()}
    with place.named():
        return owner(**values)


def convert(hint: Any, value: object, place: Place) -> Any:
    """`value` as the type a field is declared with: a number, text, list, or whatever `value_of` takes."""
    if isinstance(value, (np.ndarray, Distribution)):
        return value  # read already
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if type(None) in options and value == NONE:
        return None
    if Distribution in options or any(typing.get_origin(option) is np.ndarray for option in options):
        return value_of(value, place)
    plain = next((kind for kind in (bool, int, float, str) if kind in options), None)
    return tuple(typed(value, list, place)) if plain is None else typed(value, plain, place)


def value_of(value: object, place: Place) -> Any:
    """A number, an array, or a distribution: weights, delays, initial values."""
    if isinstance(value, Mapping) and "distribution" in value:
        return distribution(value, place)
    if isinstance(value, (list, Mapping)):
        return arrays.read(value, place.folder, place.what)
    return typed(value, float, place)


def distribution(value: Table, place: Place) -> Distribution:
    """{distribution = "Normal", mean = ..., sd = ...}."""
    return chosen(DISTRIBUTIONS, value, "distribution", place)


def chosen(table: Mapping[str, type[T]], value: object, key: str, place: Place) -> T:
    """The class that `value` names, made from the rest: a table whose `key` is its name, or the name alone."""
    entry: Table = {key: value} if isinstance(value, str) else typed(value, dict, place)
    owner = lookup(table, get(entry, key, str, place), f"{place.what}: {key}")
    return build(owner, {name: each for name, each in entry.items() if name != key}, place)
