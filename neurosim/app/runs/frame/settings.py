"""Merge settings from several sources into one checked config; an error names key, rule, value and source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from ....base.errors import NeurosimFormatError, NeurosimInputError, nearest, unit_hint
from ....base.json_toml import parse_toml
from ....base.schema import DIALECT, Schema, attribute_docs, first_paragraph

Tree = Mapping[str, object]
M = TypeVar("M", bound=BaseModel)


def _with_docs(schema: dict[str, Any], model: type[Section]) -> None:
    """Add the meaning of each key to the JSON Schema of a section, from docstrings."""
    docs = {**(attribute_docs(model.documented) if model.documented else {}), **attribute_docs(model)}
    schema.pop("required", None)
    schema["description"] = first_paragraph(model.documented or model)
    for name, entry in schema.get("properties", {}).items():
        entry.pop("title", None)
        if name in docs:
            entry["description"] = docs[name]


class Section(BaseModel):
    """A table of a config: an unknown key is an error, "5" is not a number, and 5.0 is not an integer."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, json_schema_extra=_with_docs
    )
    # The dataclass that a section has the parameters of.
    documented: ClassVar[type | None] = None

    @classmethod
    def json_schema(cls) -> Schema:
        """Return the JSON Schema of a file with these tables.

        Nothing is required: what a file lacks may come from the command line.
        """
        return {"$schema": DIALECT, **cls.model_json_schema()}


@dataclass(frozen=True)
class ConfigSource:
    """Settings from one place.

    Attributes:
        name: of the place, in errors.
        tree: the settings.
    """

    name: str
    tree: Tree


def resolve(model: type[M], sources: Sequence[ConfigSource]) -> M:
    """Return the config of `sources`, where later ones win.

    Raises:
        NeurosimInputError: the first key that breaks its rule, and the number of further ones.
    """
    check_tables(sources, model)
    try:
        return model.model_validate(merge(sources))
    except ValidationError as error:
        raise NeurosimInputError(_explain(model, error, sources)) from None


def check_tables(sources: Sequence[ConfigSource], model: type[BaseModel], prefix: str = "") -> None:
    """Raise for a value in the place of a table of `model`: another source's table would replace it without a word.

    Raises:
        NeurosimInputError: the first such key.
    """
    for name, inner in _tables(model).items():
        leaf = next(dotted_keys(inner, f"{prefix}{name}."))
        given = [ConfigSource(s.name, table_of(s, name, prefix + name, leaf)) for s in sources if name in s.tree]
        check_tables(given, inner, f"{prefix}{name}.")


def table_of(source: ConfigSource, key: str, name: str, leaf: str) -> Tree:
    """Return the table `key` of a source, empty where it is None.

    Args:
        name: of the table in errors.
        leaf: a key of it, as an example.

    Raises:
        NeurosimInputError: it is no table.
    """
    value = source.tree.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise NeurosimInputError(
            f"{name}: must be a table of settings (got {value!r}, from {source.name}); give its keys, e.g. {leaf}"
        )
    return value


def _tables(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the models of the tables of a model, by key."""
    found = {}
    for name, field in model.model_fields.items():
        # A tuple of tables is no table.
        union = get_origin(field.annotation) in (Union, UnionType)
        if union:
            kinds = get_args(field.annotation)
        else:
            kinds = (field.annotation,)
        table = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        if table is not None:
            found[name] = table
    return found


def merge(sources: Iterable[ConfigSource]) -> dict[str, object]:
    """Return one tree of settings, where later sources win."""
    merged: dict[str, object] = {}
    for source in sources:
        merged = overlay(merged, source.tree)
    return merged


def overlay(below: Tree, above: Tree) -> dict[str, object]:
    """Return a tree with the leaves of both; those of `above` win."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = overlay(old, value)
        else:
            merged[key] = value
    return merged


def nest(dotted: str, value: object) -> dict[str, object]:
    """Return {"a": {"b": 1}} for `a.b` and 1."""
    head, _, rest = dotted.partition(".")
    return {head: nest(rest, value) if rest else value}


def assignments(texts: Iterable[str]) -> dict[str, object]:
    """Return `--set` arguments such as `liquid.neurons=500` as a tree. A value is TOML, or else plain text.

    Raises:
        NeurosimInputError: no `=`, no key before it, or a key that is given both a value and keys of a table.
    """
    tree: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise NeurosimInputError(f"--set: must read key=value, e.g. liquid.neurons=500 (got '{text}')")
        branch = nest(".".join(parts), _value(value.strip()))
        twice = _clash(tree, branch)
        if twice:
            raise NeurosimInputError(f"--set: {twice} is given both a value and keys of a table; leave one out")
        tree = overlay(tree, branch)
    return tree


def _clash(tree: Tree, branch: Tree) -> str:
    """Return the dotted key that is a table in one of two trees and a value in the other, or ""."""
    for key, value in branch.items():
        old = tree.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            inner = _clash(old, value)
            if inner:
                return f"{key}.{inner}"
        elif key in tree and isinstance(old, Mapping) != isinstance(value, Mapping):
            return key
    return ""


def _value(text: str) -> Any:
    try:
        read = parse_toml(f"value = {text}", "--set")
    except NeurosimFormatError:
        return text
    # A text with line breaks may hold further assignments; then it is not one value.
    return read["value"] if len(read) == 1 else text


def _explain(model: type[BaseModel], error: ValidationError, sources: Sequence[ConfigSource]) -> str:
    problems = error.errors()
    # An unknown key is often a misspelt one, and the cause of a missing one.
    first = min(problems, key=lambda p: p["type"] != "extra_forbidden")
    keys = [str(part) for part in first["loc"]]
    dotted = ".".join(keys)
    if len(problems) > 1:
        more = f" (and {len(problems) - 1} more)"
    else:
        more = ""
    if first["type"] == "missing":
        # A table is not one value: `data.name` where `data` is missing.
        leaf = next((key for key in _required(model) if key == dotted or key.startswith(f"{dotted}.")), dotted)
        return f"{dotted}: is missing; give it in the config or with --set {leaf}=...{more}"
    source = _source(keys, sources)
    if first["type"] == "extra_forbidden":
        return f"{dotted}: unknown key, {source}; {_nearest(model, keys)}{more}"
    if first["type"] == "float_type":
        hint = unit_hint(first["input"])
    else:
        hint = ""
    return f"{dotted}: {_rule(first)} (got {first['input']!r}, {source}){hint}{more}"


def _rule(problem: Any) -> str:
    if problem["type"] == "model_type":
        return "must be a table of settings"
    text = str(problem["msg"]).removeprefix("Value error, ")
    return (
        text.replace("Input should be", "must be")
        .replace("a valid ", "a ")
        .replace("must be a integer", "must be an integer")
    )


def _source(keys: Sequence[str], sources: Sequence[ConfigSource]) -> str:
    """Return the last source that has the key, or a table on the way to it."""
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
    """Suggest a key with a similar name, in this table or anywhere."""
    every = list(dotted_keys(model))
    dotted = ".".join(keys)
    table = ".".join(keys[:-1])
    # `lr` of `learning_rate`.
    short = [key for key in every if "".join(part[:1] for part in key.rpartition(".")[2].split("_")) == keys[-1]]
    if len(keys[-1]) > 1:
        inside = [key for key in short if key.startswith(f"{table}.")]
    else:
        inside = []
    near = next(iter(inside), None) or nearest(dotted, every, 0.75)
    if near is None:
        last = {key.rpartition(".")[2]: key for key in reversed(every)}
        near = last.get(nearest(keys[-1], last) or "")
    if near is not None:
        return f"did you mean '{near}'?"
    siblings = sorted({key[len(table) :].lstrip(".").split(".")[0] for key in every if key.startswith(table)})
    return f"choose from {', '.join(siblings)}"


def _required(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key that a config must have."""
    for name, field in model.model_fields.items():
        if field.is_required():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _required(kind, f"{prefix}{name}.")
            else:
                yield prefix + name


def dotted_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key that a config may have: `seed`, `data.name`, ..."""
    tables = _tables(model)
    for name in model.model_fields:
        if name in tables:
            yield from dotted_keys(tables[name], f"{prefix}{name}.")
        else:
            yield prefix + name
