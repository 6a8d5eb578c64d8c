"""Reader of the tables of a network's TOML file: values of the declared types, errors that name the table."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np

from ...base.errors import NeurosimError, NeurosimInputError, check_keys, lookup
from ...base.plain import Reader, missing_keys
from ...base.rules import bare, is_union, options_of
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
# Classes of a kind by their name, and the key of a table that holds the name.
TAGGED: Mapping[type, tuple[str, Mapping[str, type]]] = {
    Distribution: ("distribution", DISTRIBUTIONS),
    Pattern: ("name", PATTERNS),
    LearningRule: ("rule", RULES),
    Homeostasis: ("rule", HOMEOSTASIS),
}


def check_known(known: bool, name: str, label: str) -> None:
    """Raise unless TOML can name the class of something.

    Args:
        known: whether it can.
        name: of the class.
        label: where it is in the network.

    Raises:
        NeurosimInputError: it cannot.
    """
    if not known:
        raise NeurosimInputError(
            f"{label}: {name} is no class of the package, so that TOML cannot name it; keep this network in Python"
        )


class TableReader(Reader):
    """Reads tables as dataclasses; beyond plain values, objects of `TAGGED`, and arrays that may be in files.

    Attributes:
        folder: folder that relative paths start from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def at(self, name: str, key: str) -> str:
        return f"{name}: {key}"

    def item(self, name: str, number: int) -> str:
        return f"{name}: number {number + 1}"

    def get(self, table: Table, key: str, kind: type[T], name: str) -> T:
        """Return the value of a key that the table `name` must have.

        Raises:
            NeurosimInputError: no such key, or a value of another type.
        """
        if key not in table:
            raise NeurosimInputError(f"{name}: {key} is missing; give it")
        return cast(T, self.value(kind, table[key], self.at(name, key)))

    def value(self, kind: Any, tree: Any, name: str) -> Any:
        # The owner checks its rules, and rules of several fields: its errors begin with its name.
        kind = bare(kind)
        if isinstance(tree, np.ndarray | Distribution):
            return tree  # read already: a parameter of a neuron, whatever its type
        if kind in TAGGED:
            return self.tagged(kind, tree, name)
        if typing.get_origin(kind) is Literal:
            # The owner checks these values: its errors have the nearest name.
            kind = type(typing.get_args(kind)[0])
        options = options_of(kind)
        if is_union(kind) and type(None) in options and tree == NONE:
            return None
        if holds_numbers(options) and not (str in options and isinstance(tree, str)):
            return self.numbers(tree, name)
        return super().value(kind, tree, name)

    def numbers(self, tree: Any, name: str) -> Any:
        """Return a number, an array, or a distribution, {distribution = "Normal", mean = ..., sd = ...}."""
        if isinstance(tree, Mapping) and "distribution" in tree:
            return self.tagged(Distribution, tree, name)
        if isinstance(tree, list | Mapping):
            return arrays.read(tree, self.folder, name)
        return self.value(float, tree, name)

    def tagged(self, kind: type, tree: Any, name: str) -> Any:
        """Return an object of a kind in `TAGGED`; `tree` is a table with the name of its class, or the name alone."""
        key, classes = TAGGED[kind]
        table = {key: tree} if isinstance(tree, str) else self.value(dict, tree, name)
        owner = lookup(classes, self.get(table, key, str, name), self.at(name, key))
        return self.record(owner, {each: value for each, value in table.items() if each != key}, name)

    def field(self, field: Field[Any], hint: Any, tree: Any, name: str) -> Any:
        # A table is a new object, whose absent keys have the defaults of its class, not of the field.
        return self.value(hint, tree, name)

    def check_names(self, tree: Table, known: Mapping[str, Field[Any]], name: str, default: object) -> None:
        check_keys(tree, known, name)
        for key in missing_keys(tree, known):
            raise NeurosimInputError(f"{name}: {key} is missing; give it")

    def make(self, kind: type, values: Table, name: str, default: object) -> Any:
        with named(name):
            return super().make(kind, values, name, default)


def holds_numbers(options: tuple[Any, ...]) -> bool:
    """Return whether a field of these types takes arrays or distributions."""
    return Distribution in options or any(typing.get_origin(option) is np.ndarray for option in options)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put the name of a table before the errors raised inside."""
    try:
        yield
    except NeurosimError as error:
        if str(error).startswith(f"{name}:"):
            raise
        raise type(error)(f"{name}: {error}") from None
