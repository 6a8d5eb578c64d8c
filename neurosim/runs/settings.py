"""Settings from several sources into one checked config; an error names key, rule, value and source."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import NeurosimInputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Tree = Mapping[str, Any]
M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A table of a config: closed (an unknown key is an error) and strict ("5" is no number, 5.0 is no integer)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Source:
    """Some settings, and what to call the place they came from."""

    name: str
    tree: Tree


def resolve(model: type[M], sources: Sequence[Source]) -> M:
    """The config of `sources`, later ones over earlier ones.

    Raises:
        NeurosimInputError: the first key that breaks its rule, and how many more do.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        merged = overlay(merged, source.tree)
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise NeurosimInputError(_explain(model, error, sources)) from None


def overlay(below: Tree, above: Tree) -> dict[str, Any]:
    """A tree with the leaves of both; those of `above` win."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def nest(dotted: str, value: object) -> dict[str, Any]:
    """`a.b` and 1 as {"a": {"b": 1}}."""
    head, _, rest = dotted.partition(".")
    return {head: nest(rest, value) if rest else value}


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """`--set` arguments as a tree: `liquid.neurons=500`. A value is TOML, or else the plain text.

    Raises:
        NeurosimInputError: no `=`, or no key before it.
    """
    tree: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise NeurosimInputError(f"--set: must read key=value, e.g. liquid.neurons=500 (got '{text}')")
        tree = overlay(tree, nest(".".join(parts), _value(value.strip())))
    return tree


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    # A text with line breaks may hold further assignments: then it is no value.
    return read["value"] if len(read) == 1 else text


def _explain(model: type[BaseModel], error: ValidationError, sources: Sequence[Source]) -> str:
    problems = error.errors()
    # An unknown key is most often the cause of a missing one.
    first = min(problems, key=lambda p: p["type"] != "extra_forbidden")
    keys = [str(part) for part in first["loc"]]
    dotted = ".".join(keys)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "missing":
        return f"{dotted}: is missing; give it in the config or with --set {dotted}=...{more}"
    source = _source(keys, sources)
    if first["type"] == "extra_forbidden":
        return f"{dotted}: unknown key, {source}; {_nearest(model, keys)}{more}"
    return f"{dotted}: {_rule(first)} (got {first['input']!r}, {source}){more}"


def _rule(problem: Any) -> str:
    if problem["type"] == "model_type":
        return "must be a table of settings"
    text = str(problem["msg"]).removeprefix("Value error, ")
    return (
        text.replace("Input should be", "must be")
        .replace("a valid ", "a ")
        .replace("must be a integer", "must be an integer")
    )


def _source(keys: Sequence[str], sources: Sequence[Source]) -> str:
    """The last source that has the key, or any part of the way to it."""
    for depth in range(len(keys), 0, -1):
        for source in reversed(sources):
            if _has(source.tree, keys[:depth]):
                return f"from {source.name}"
    return "a default"


def _has(tree: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(tree, Mapping) or key not in tree:
            return False
        tree = tree[key]
    return True


def _nearest(model: type[BaseModel], keys: Sequence[str]) -> str:
    """What may have been meant: a key of that name in this table, or anywhere."""
    every = list(dotted_keys(model))
    dotted, table = ".".join(keys), ".".join(keys[:-1])
    last = {key: key.rpartition(".")[2] for key in every}
    near = difflib.get_close_matches(dotted, every, n=1, cutoff=0.75) or [
        key for key in every if last[key] in difflib.get_close_matches(keys[-1], last.values(), n=1)
    ]
    if near:
        return f"did you mean '{near[0]}'?"
    siblings = sorted({key[len(table) :].lstrip(".").split(".")[0] for key in every if key.startswith(table)})
    return f"choose from {', '.join(siblings)}"


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key a config may have: `seed`, `data.name`, ..."""
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        table = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if table is None:
            yield prefix + name
        else:
            yield from dotted_keys(table, f"{prefix}{name}.")
