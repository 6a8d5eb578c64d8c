"""Rules of settings, written once, in the annotation of a field: `tau_mem: Annotated[float, Rule("> 0 s")] = 0.02`.

`plain` holds a tree that is read to them, and `schema` writes them as JSON Schema.
"""

from __future__ import annotations

import math
import operator
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from .errors import is_number, require

COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
# Words of JSON Schema for the same.
KEYWORDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}


@dataclass(frozen=True)
class Rule:
    """Bounds of a number, and its unit. Every number that has a rule must be finite.

    Attributes:
        text: as it stands in the error, after "must be": "> 0 s", ">= 0 and < 1", "finite and > 0".
    """

    text: str

    @cached_property
    def bounds(self) -> tuple[tuple[str, float], ...]:
        """Return signs and limits, such as (">=", 1)."""
        # A sign and the number behind it: ">= 0 and < 1" has two, and "s" or "finite" none.
        return tuple((sign, _limit(text)) for sign, text in re.findall(r"([<>]=?) (\S+)", self.text))

    def holds(self, value: object) -> bool:
        """Return whether a value keeps the rule."""
        if not is_number(value) or not math.isfinite(typing.cast(float, value)):
            return False
        return all(COMPARISONS[sign](typing.cast(float, value), limit) for sign, limit in self.bounds)

    def check(self, value: object, name: str) -> None:
        """Raise `NeurosimInputError` naming the value, unless it keeps the rule."""
        require(self.holds(value), name, f"must be {self.text}", value)

    def schema(self) -> dict[str, Any]:
        """Return the rule in the words of JSON Schema."""
        return {KEYWORDS[sign]: limit for sign, limit in self.bounds}


@dataclass(frozen=True)
class NotEmpty:
    """A list must hold at least one value."""

    def check(self, value: object, name: str) -> None:
        """Raise `NeurosimInputError` naming the list, unless it holds a value."""
        require(len(typing.cast(tuple[object, ...], value)) > 0, name, "must hold at least one value", value)

    def schema(self) -> dict[str, Any]:
        """Return the rule in the words of JSON Schema."""
        return {"minItems": 1}


@dataclass(frozen=True)
class IsPath:
    """A text is the path of a file or folder, which config.toml holds from the root of the disk.

    Attributes:
        or_name: whether it may be a name as well, as of an energy profile: then a path has an ending or a separator.
    """

    or_name: bool = False

    def absolute(self, text: str) -> str:
        """Return the path from the root; names, and paths at which nothing lies, stay as they are."""
        path = Path(text)
        if self.or_name and not path.suffix and os.sep not in text:
            return text
        return os.path.abspath(path) if path.exists() else text


@dataclass(frozen=True)
class NotASetting:
    """A field that is no key of a table: the run knows it, such as the sensor's shape, or another table has it."""


Count = Annotated[int, Rule(">= 1")]
Natural = Annotated[int, Rule(">= 0")]
Positive = Annotated[float, Rule("> 0")]
# Optimisers multiply by it in float32, whose largest number is 3.4e38.
LearningRate = Annotated[float, Rule("> 0 and < 1e38")]
Fraction = Annotated[float, Rule(">= 0 and <= 1")]
FilePath = Annotated[str, IsPath()]
NameOrFile = Annotated[str, IsPath(or_name=True)]
# Seeds are keys of 63 bits, the range of TOML's integers.
Seed = Annotated[int, Rule(f">= 0 and < {2**63}")]


def _limit(text: str) -> float:
    """Return a limit as a number; an integer exactly, for limits may have 63 bits."""
    try:
        return int(text)
    except ValueError:
        return float(text)


@cache
def hints_of(owner: type) -> Mapping[str, Any]:
    """Return the declared types of a class's fields, with their rules.

    A field that a derived class declares anew, for another default, keeps the rules of its base.
    """
    hints = typing.get_type_hints(owner, include_extras=True)
    for base in owner.__mro__[1:]:
        without_rules = typing.get_type_hints(base)
        for name, hint in hints_of(base).items():
            if hints[name] == without_rules[name]:
                hints[name] = hint
    return hints


def check_rules(owner: object) -> None:
    """Check the attributes of an object by the rules in the annotations of its class; a dataclass does once it is made.

    A value of None is not checked where its type has None.

    Raises:
        NeurosimInputError: the first attribute that breaks its rule: `LIF.tau_mem: must be > 0 s (got -0.02)`.
    """
    kind: type = type(owner)
    for attribute in _checked(kind):
        value = getattr(owner, attribute.name)
        if value is not None or not attribute.optional:
            attribute.rule.check(value, attribute.label)


class _Checked(NamedTuple):
    """An attribute with a rule; `label` is its name in errors, and an `optional` one may be None."""

    name: str
    label: str
    rule: Rule | NotEmpty
    optional: bool


# Type hints are evaluated once a class: that takes longer than all checks of an object.
@cache
def _checked(owner: type) -> tuple[_Checked, ...]:
    checked = []
    for name, hint in hints_of(owner).items():
        options = options_of(hint)
        optional = type(None) in options
        rules = list(rules_in(hint))
        # `Annotated[float, Rule("> 0")] | None`; which rule a value of other unions must keep depends on its type.
        if optional and len(options) == 2:
            rules += [rule for option in options for rule in rules_in(option)]
        checked += [_Checked(name, f"{owner.__name__}.{name}", rule, optional) for rule in rules]
    return tuple(checked)


def options_of(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the one type that it is; the rules beside a union are left out."""
    hint = bare(hint) if is_union(bare(hint)) else hint
    return typing.get_args(hint) if is_union(hint) else (hint,)


def is_union(hint: Any) -> bool:
    """Return whether a type is a union: `A | B`."""
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def bare(hint: Any) -> Any:
    """Return a type without its rules."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def rules_in(hint: Any) -> Iterator[Rule | NotEmpty]:
    """Yield the rules of a type."""
    if typing.get_origin(hint) is Annotated:
        yield from (each for each in typing.get_args(hint)[1:] if isinstance(each, Rule | NotEmpty))


def path_in(hint: Any) -> IsPath | None:
    """Return the mark of a type that is a path, None where it has none."""
    marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, IsPath)), None)


def is_setting(hint: Any) -> bool:
    """Return whether a field of this type is a key of a config."""
    marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    return not any(isinstance(mark, NotASetting) for mark in marks)
