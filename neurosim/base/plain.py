"""Dataclasses to plain trees and back: a plain tree holds values that JSON, TOML and the headers of files can hold.

    @dataclass(frozen=True)
    class Settings(Record):
        rate: float
        layers: tuple[Layer, ...] = ()        # dataclasses may hold dataclasses

    tree = Settings(5.0, (Layer(10),)).to_dict()      # {"rate": 5.0, "layers": [{"size": 10}]}
    settings = Settings.from_dict(tree)               # equal to the first, or an error that names the wrong field

A dataclass that is no `Record` goes through `to_plain` and `from_plain`. Fields that a file of an earlier version lacks
take their defaults; `Record.from_dict` and `from_plain` refuse fields that the class lacks.
"""

from __future__ import annotations

import contextlib
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, TypeVar, cast

import numpy as np

from .errors import NeurosimInputError, check_keys, require, unit_hint
from .rules import bare, hints_of, rules_in
from .shown import Shown

T = TypeVar("T")
PlainTree = dict[str, Any]
R = TypeVar("R", bound="Record")
WORDS: Mapping[type, str] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "an integer",
    list: "a list",
    tuple: "a list",
    str: "a string",
    type(None): "none",
}


class Record(Shown):
    """Base of the frozen dataclasses that rooms exchange and files hold. They print in one line, and can be pickled."""

    def to_dict(self) -> PlainTree:
        """Return the fields as plain values, by name."""
        return cast(PlainTree, to_plain(self, type(self).__name__))

    @classmethod
    def from_dict(cls: type[R], tree: Mapping[str, Any]) -> R:
        """Return the record that `to_dict` wrote.

        Args:
            tree: values by field name.

        Raises:
            NeurosimInputError: a missing or unknown field, or a value that is not of the declared type.
        """
        return from_plain(cls, tree, cls.__name__)


def to_plain(value: object, name: str = "value", other: Callable[[Any, str], Any] | None = None) -> Any:
    """Return `value` as a plain tree: None, booleans, numbers, strings, lists, and dicts with strings as keys.

    Dataclasses become dicts of their fields, tuples lists, numpy's numbers and arrays Python's, paths strings.

    Args:
        value: the value to convert.
        name: of the value in errors and for `other`; a field appends `.field`, an item `[0]`.
        other: called as `other(value, name)` for arrays and for values without a plain form; returns a plain tree.
            It may put arrays aside and return where they are.

    Raises:
        NeurosimInputError: a value without a plain form.
    """
    # First numpy's scalars: a float64 is a float too, and would stay numpy's.
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name), f"{name}.{f.name}", other) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, f"{name}.{key}", other) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{name}[{i}]", other) for i, item in enumerate(value)]
    return (other or _plain_array)(value, name)


def _plain_array(value: object, name: str) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise NeurosimInputError(
        f"{name}: a {type(value).__name__} has no plain form; give numbers, strings, lists or dataclasses of them"
    )


def from_plain(kind: type[T], tree: object, name: str = "") -> T:
    """Return the plain `tree` as a value of the type `kind`, as declared in annotations.

    Args:
        kind: a dataclass, or any type that its fields may have: bool, int, float, str, None, `Literal`, a union,
            list, tuple, dict, Mapping or Sequence of such types, a numpy array, or `Any`, which is not checked. Any of
            them may have rules: `Annotated[int, Rule(">= 1")]`.
        tree: result of `to_plain`, or values of JSON or TOML; arrays and dataclasses in it stay as they are.
        name: of the value in errors (default: the type's); a field appends `.field`, an item `[0]`.

    Raises:
        NeurosimInputError: a value of another type or that breaks its rule, or a field that is missing or that the
            dataclass lacks; the error names it. An integer is a float too, but a boolean is no number.
    """
    return cast(T, Reader().value(kind, tree, name or getattr(kind, "__name__", str(kind))))


def matching_fields(kind: type, tree: Mapping[str, Any]) -> PlainTree:
    """Return the fields of a dataclass that `tree` has with values of the declared type; the others are left out."""
    values = {}
    for name, hint in hints_of(kind).items():
        if name in tree:
            with contextlib.suppress(NeurosimInputError):
                values[name] = from_plain(hint, tree[name], name)
    return values


class Reader:
    """Reads plain trees as declared types. Files whose trees have further forms or other errors derive their own."""

    def keys(self, kind: type) -> Mapping[str, Field[Any]]:
        """Return the fields that a table of a dataclass may have, by name."""
        return {field.name: field for field in fields(kind) if field.init}

    def at(self, name: str, key: str) -> str:
        """Return the name of a field of `name` in errors."""
        return f"{name}.{key}"

    def item(self, name: str, number: int) -> str:
        """Return the name of an item of a list in errors; numbers are from 0."""
        return f"{name}[{number}]"

    def value(self, kind: Any, tree: Any, name: str) -> Any:
        """Return a tree as a value of the type `kind`.

        Raises:
            NeurosimInputError: it is none; the error begins with `name`.
        """
        if is_dataclass(kind):
            return self.record(cast(type, kind), tree, name)
        # `tuple[int, ...]` has the origin `tuple`, `int | None` the origin `UnionType`; a plain type has none.
        origin = typing.get_origin(kind) or kind
        for kinds, read in _CONTAINERS.items():
            if origin in kinds:
                return read(self, kind, tree, name)
        if kind is Any or kind is object or isinstance(kind, TypeVar):
            return tree
        kind = type(None) if kind is None else kind
        # An integer is a float too, unless it is too large for one.
        convertible = kind is float and type(tree) is int and abs(tree) < 2**1000
        if type(tree) is not kind and not convertible:
            hint = unit_hint(tree) if kind is float else ""
            raise NeurosimInputError(f"{name}: must be {_word(kind)} (got {tree!r:.60}){hint}")
        return float(tree) if kind is float else tree

    def record(self, kind: type, tree: Any, name: str, default: object = None) -> Any:
        """Return a table as a dataclass; fields that it lacks have the values of `default`, or else of the class."""
        if isinstance(tree, kind):
            return tree
        require(isinstance(tree, Mapping), name, f"must be {WORDS[dict]}", f"{tree!r:.60}")
        known = self.keys(kind)
        self.check_names(tree, known, name, default)
        hints = hints_of(kind)
        values = {}
        for key in tree:
            if key in known:
                values[key] = self.field(known[key], hints[key], tree[key], self.at(name, key))
        return self.make(kind, values, name, default)

    def check_names(self, tree: Mapping[str, Any], known: Mapping[str, Field[Any]], name: str, default: object) -> None:
        """Raise for a key that a table may not have, and for one that it must have."""
        check_keys(tree, known, name)
        missing = [field for field in missing_keys(tree, known) if default is None]
        require(not missing, name, f"needs the fields {', '.join(missing)}", ", ".join(map(str, tree)) or "none")

    def field(self, field: Field[Any], hint: Any, tree: Any, name: str) -> Any:
        """Return the value of a field; a table in the place of a dataclass changes the field's default."""
        default = default_of(field)
        if isinstance(tree, Mapping) and is_dataclass(default):
            return self.record(type(default), tree, name, default)
        return self.value(hint, tree, name)

    def make(self, kind: type, values: Mapping[str, Any], name: str, default: object) -> Any:
        """Return the dataclass with these fields."""
        if default is None:
            return kind(**values)
        return replace(cast(Any, default), **values)


def missing_keys(tree: Mapping[str, Any], known: Mapping[str, Field[Any]]) -> list[str]:
    """Return the fields without a default that a table lacks."""
    required = [name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    return [name for name in required if name not in tree]


def default_of(field: Field[Any]) -> Any:
    """Return the default of a field; MISSING without."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def _word(kind: Any) -> str:
    kind = bare(kind)
    kind = typing.get_origin(kind) or kind
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _annotated(reader: Reader, kind: Any, tree: Any, name: str) -> Any:
    value = reader.value(bare(kind), tree, name)
    if value is not None:
        for rule in rules_in(kind):
            rule.check(value, name)
    return value


def _tuple(reader: Reader, kind: Any, tree: Any, name: str) -> tuple[Any, ...]:
    arguments = typing.get_args(kind)
    require(isinstance(tree, list | tuple), name, f"must be {WORDS[list]}", f"{tree!r:.60}")
    if not arguments:
        return tuple(tree)
    if arguments[-1] is ...:
        kinds = arguments[:1] * len(tree)
    else:
        kinds = arguments
    require(len(tree) == len(kinds), name, f"must hold {len(kinds)} values", f"{tree!r:.60}")
    pairs = enumerate(zip(kinds, tree, strict=True))
    return tuple(reader.value(kind, item, reader.item(name, i)) for i, (kind, item) in pairs)


def _list(reader: Reader, kind: Any, tree: Any, name: str) -> list[Any]:
    require(isinstance(tree, list | tuple), name, f"must be {WORDS[list]}", f"{tree!r:.60}")
    inner = next(iter(typing.get_args(kind)), Any)
    return [reader.value(inner, item, reader.item(name, i)) for i, item in enumerate(tree)]


def _sequence(reader: Reader, kind: Any, tree: Any, name: str) -> tuple[Any, ...]:
    return tuple(_list(reader, kind, tree, name))


def _table(reader: Reader, kind: Any, tree: Any, name: str) -> dict[Any, Any]:
    require(isinstance(tree, Mapping), name, f"must be {WORDS[dict]}", f"{tree!r:.60}")
    keys, values = typing.get_args(kind) or (str, Any)
    return {
        reader.value(keys, key, f"{name}: key"): reader.value(values, item, reader.at(name, key))
        for key, item in tree.items()
    }


def _union(reader: Reader, kind: Any, tree: Any, name: str) -> Any:
    """Return a value as the first of several types that takes it."""
    options = typing.get_args(kind)
    for option in options:
        # A value of exactly one of the types stays: `int | float` does not turn 1 into 1.0.
        if type(tree) is bare(option):
            return reader.value(option, tree, name)
    errors = []
    for option in options:
        try:
            return reader.value(option, tree, name)
        except NeurosimInputError as error:
            if option is not type(None):
                errors.append(error)
    # Of `A | None` only what is wrong with A helps.
    if len(errors) == 1:
        raise errors[0]
    words = " or ".join(_word(option) for option in options)
    raise NeurosimInputError(f"{name}: must be {words} (got {tree!r:.60})")


def _literal(reader: Reader, kind: Any, tree: Any, name: str) -> Any:
    options = typing.get_args(kind)
    # By type as well: True == 1.
    known = any(tree == option and type(tree) is type(option) for option in options)
    *first, last = map(repr, options)
    words = f"{', '.join(first)} or {last}" if first else last
    require(known, name, f"must be {words}", f"{tree!r:.60}")
    return tree


def _array(reader: Reader, kind: Any, tree: Any, name: str) -> Any:
    # NDArray[np.float64] is np.ndarray[shape, np.dtype[np.float64]].
    arguments = typing.get_args(kind)
    if len(arguments) == 2:
        dtype = next(iter(typing.get_args(arguments[1])), None)
    else:
        dtype = None
    if not (isinstance(dtype, type) and issubclass(dtype, np.generic)):
        dtype = None
    if isinstance(tree, np.ndarray):
        require(dtype in (None, tree.dtype.type), name, f"must be an array of {dtype and dtype.__name__}", tree.dtype)
        return tree
    try:
        return np.asarray(_list(reader, list, tree, name), dtype)
    except (ValueError, TypeError, OverflowError):
        raise NeurosimInputError(f"{name}: must be an array of numbers (got {tree!r:.60})") from None


_CONTAINERS: Mapping[tuple[Any, ...], Callable[[Reader, Any, Any, str], Any]] = {
    (Annotated,): _annotated,
    (tuple,): _tuple,
    (Sequence,): _sequence,
    (list,): _list,
    (dict, Mapping): _table,
    (typing.Union, types.UnionType): _union,
    (Literal,): _literal,
    (np.ndarray,): _array,
}
