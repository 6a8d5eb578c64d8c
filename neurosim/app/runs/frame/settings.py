"""Merge settings from several sources into one checked config; an error names key, rule, value and source."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, TypeVar, cast

from ....base.errors import NeurosimFormatError, NeurosimInputError, nearest
from ....base.json_toml import parse_toml
from ....base.plain import Reader, missing_keys, to_plain
from ....base.rules import bare, hints_of, is_setting, options_of, path_in

Tree = Mapping[str, object]
T = TypeVar("T")
# How alike a key must be to be suggested, of 1.
ALIKE = 0.75
# The point of .5, and of 5. and 5.e-3.
BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")
ENDING_POINT = re.compile(r"(?<=\d)\.(?![\d.])")


def keys_of(owner: type) -> dict[str, Field[Any]]:
    """Return the fields of a dataclass that are keys of a table, by name."""
    hints = hints_of(owner)
    return {each.name: each for each in fields(owner) if each.init and is_setting(hints[each.name])}


def settings_tree(settings: object) -> dict[str, Any]:
    """Return the settings of a dataclass as a plain tree, as config.toml holds them."""
    tree = {}
    for name in keys_of(type(settings)):
        value = getattr(settings, name)
        tree[name] = settings_tree(value) if is_dataclass(value) else to_plain(value, name)
    return tree


@dataclass(frozen=True)
class ConfigSource:
    """Settings from one place.

    Attributes:
        name: of the place, in errors.
        tree: the settings.
    """

    name: str
    tree: Tree


@dataclass(frozen=True)
class _Problem:
    """An error of a setting, with the dotted name of its key."""

    name: str
    error: NeurosimInputError | None = None
    missing: bool = False

    @property
    def unknown(self) -> bool:
        return self.error is None and not self.missing


class _SettingsReader(Reader):
    """Reads a config to its end, although keys are wrong, and notes what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[_Problem] = []

    def keys(self, kind: type) -> Mapping[str, Field[Any]]:
        return keys_of(kind)

    def at(self, name: str, key: str) -> str:
        return f"{name}.{key}" if name else key

    def value(self, kind: Any, tree: Any, name: str) -> Any:
        if isinstance(tree, float) and not math.isfinite(tree):
            raise NeurosimInputError(f"{name}: must be a finite number (got {tree!r})")
        # Arrays, files and other readers of TOML have no more.
        if type(tree) is int and not -(2**63) <= tree < 2**63:
            raise NeurosimInputError(f"{name}: must be an integer of 64 bits (got {tree})")
        value = super().value(kind, tree, name)
        path = path_in(kind)
        # So that a run is resumed and repeated from any folder.
        return value if path is None else path.absolute(value)

    def check_names(self, tree: Tree, known: Mapping[str, Field[Any]], name: str, default: object) -> None:
        self.problems += [_Problem(self.at(name, key)) for key in tree if key not in known]
        if default is None:
            self.problems += [_Problem(self.at(name, key), missing=True) for key in missing_keys(tree, known)]

    def field(self, field: Field[Any], hint: Any, tree: Any, name: str) -> Any:
        try:
            return super().field(field, hint, tree, name)
        except NeurosimInputError as error:
            self.problems.append(_Problem(name, error))
            return None

    def make(self, kind: type, values: Tree, name: str, default: object) -> Any:
        # A class needs all its values to be made; what is wrong with one of them is known by now.
        if self.problems:
            return None
        try:
            return super().make(kind, values, name, default)
        except NeurosimInputError as error:
            # The class says `TrainingSpec.epochs: ...`; the user said training.
            text = self.at(name, str(error).partition(".")[2])
            self.problems.append(_Problem(text.partition(":")[0], NeurosimInputError(text)))
            return None


def resolve(owner: type[T], sources: Sequence[ConfigSource]) -> T:
    """Return the config of `sources`, where later ones win.

    Raises:
        NeurosimInputError: the first key that breaks its rule, and the number of further ones.
    """
    # First the shapes of all sources: merging would hide a value in the place of a table.
    check_tables(sources, owner)
    reader = _SettingsReader()
    config = reader.record(owner, merge(sources), "")
    if reader.problems:
        raise NeurosimInputError(_explain(owner, reader.problems, sources))
    return cast(T, config)


def check_tables(sources: Sequence[ConfigSource], owner: type, prefix: str = "") -> None:
    """Raise for a value in the place of a table of `owner`: another source's table would replace it without a word.

    Raises:
        NeurosimInputError: the first such key.
    """
    for name, inner in _tables(owner).items():
        # A table may have no settings.
        leaf = next(dotted_keys(inner, f"{prefix}{name}."), f"{prefix}{name}.KEY")
        inside = [ConfigSource(s.name, table_of(s, name, prefix + name, leaf)) for s in sources if name in s.tree]
        check_tables(inside, inner, f"{prefix}{name}.")


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


def _tables(owner: type) -> dict[str, type]:
    """Return the dataclasses of the tables of a dataclass, by key."""
    inner = {}
    hints = hints_of(owner)
    for name in keys_of(owner):
        # A tuple of tables is no table.
        tables = [option for option in map(bare, options_of(hints[name])) if is_dataclass(option)]
        if tables:
            inner[name] = cast(type, tables[0])
    return inner


def merge(sources: Iterable[ConfigSource]) -> dict[str, object]:
    """Return one tree of settings, where later sources win."""
    merged: dict[str, object] = {}
    for source in sources:
        merged = overlay(merged, source.tree)
    return merged


def overlay(below: Tree, above: Tree) -> dict[str, object]:
    """Return a tree with the leaves of both; where both have one, `above` wins."""
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
    # TOML wants digits on both sides of a point; most other languages read .5 and 5. as well.
    for each in (text, BARE_POINT.sub("0.", ENDING_POINT.sub(".0", text))):
        try:
            read = parse_toml(f"value = {each}", "--set")
        except NeurosimFormatError:
            continue
        # A text with line breaks may hold further assignments; then it is not one value.
        return read["value"] if len(read) == 1 else text
    return text


def _explain(owner: type, problems: Sequence[_Problem], sources: Sequence[ConfigSource]) -> str:
    """Return the text of the error for the first problem: the key, the rule, where the value came from, a near key."""
    # An unknown key is often a misspelt one, and the cause of a missing one.
    first = min(problems, key=lambda problem: not problem.unknown)
    dotted = first.name
    if len(problems) > 1:
        more = f" (and {len(problems) - 1} more)"
    else:
        more = ""
    if first.missing:
        # A table is not one value: `data.name` where `data` is missing.
        leaf = next((key for key in required_keys(owner) if key == dotted or key.startswith(f"{dotted}.")), dotted)
        return f"{dotted}: is missing; give it in the config or with --set {leaf}=...{more}"
    # `stack[0].kind` of a list of tables is `stack.kind` in the sources.
    keys = re.sub(r"\[\d+\]", "", dotted).split(".")
    source = _source(keys, sources)
    if first.error is None:
        return f"{dotted}: unknown key, {source}; {_nearest(owner, keys)}{more}"
    text = str(first.error)
    # The source goes behind the value: "must be > 0 (got -1, from --set)".
    if "(got" in text:
        rule, closing, hint = text.rpartition(")")
        text = f"{rule}, {source}{closing}{hint}"
    return f"{text}{more}"


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


def _initials(name: str) -> str:
    """Return the first letters of the words of a name: `lr` of `learning_rate`."""
    return "".join(word[:1] for word in name.split("_"))


def _nearest(owner: type, keys: Sequence[str]) -> str:
    """Suggest a key with a similar name, in this table or anywhere."""
    every = list(dotted_keys(owner))
    dotted = ".".join(keys)
    table = ".".join(keys[:-1])
    short = [key for key in every if _initials(key.rpartition(".")[2]) == keys[-1]]
    if len(keys[-1]) > 1:
        inside = [key for key in short if key.startswith(f"{table}.")]
    else:
        inside = []
    siblings = sorted({key[len(table) :].lstrip(".").split(".")[0] for key in every if key.startswith(table)})
    # An abbreviation in the same table, a similar dotted key, a similar table here, or a similar last part anywhere.
    # They must be more alike than names are, for the tables before their dots often agree, and anywhere is large.
    near = next(iter(inside), None) or nearest(dotted, every, ALIKE)
    if near is None and not table:
        near = nearest(keys[-1], siblings, ALIKE)
    if near is None:
        last = {key.rpartition(".")[2]: key for key in reversed(every)}
        near = last.get(nearest(keys[-1], last, ALIKE) or "")
    if near is not None:
        return f"did you mean '{near}'?"
    if not siblings:
        return f"{table} has no settings; leave it out"
    return f"choose from {', '.join(siblings)}"


def required_keys(owner: type, prefix: str = "") -> Iterator[str]:
    """Yield every key that a config must have."""
    tables = _tables(owner)
    for name in missing_keys({}, keys_of(owner)):
        if name in tables:
            yield from required_keys(tables[name], f"{prefix}{name}.")
        else:
            yield prefix + name


def dotted_keys(owner: type, prefix: str = "") -> Iterator[str]:
    """Yield every key that a config may have: `seed`, `data.name`, ..."""
    tables = _tables(owner)
    for name in keys_of(owner):
        if name in tables:
            yield from dotted_keys(tables[name], f"{prefix}{name}.")
        else:
            yield prefix + name
