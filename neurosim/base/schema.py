"""JSON Schema of settings, from their dataclasses: types, rules, defaults, and meanings from docstrings."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, cast

from .plain import default_of, to_plain
from .rules import bare, hints_of, is_setting, is_union, rules_in

Schema = Mapping[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A line `name: meaning` or `name, other: meaning` below "Attributes:".
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): +(.*)$")


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the meaning of each attribute of a class, from "Attributes:" in docstrings of the class and its bases."""
    meanings: dict[str, str] = {}
    # From the base down, so that a class's own words win.
    for each in reversed(owner.__mro__):
        meanings |= _of_docstring(inspect.cleandoc(each.__dict__.get("__doc__") or ""))
    return meanings


def _of_docstring(text: str) -> dict[str, str]:
    # An entry is indented by four spaces, its further lines by eight; anything else ends the section.
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in text.partition("Attributes:\n")[2].splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = entry[1].split(", ")
            meanings |= dict.fromkeys(names, entry[2])
        elif line.startswith(" " * 8):
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
        else:
            break
    return meanings


def first_paragraph(owner: type) -> str:
    """Return the first paragraph of a class's docstring, on one line."""
    return " ".join(inspect.cleandoc(owner.__doc__ or "").split("\n\n")[0].split())


_PLAIN: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
}


def settings_schema(owner: type) -> Schema:
    """Return the JSON Schema of a file with the settings of a dataclass.

    Nothing is required: what a file lacks may come from the command line.
    """
    return {"$schema": DIALECT, **SchemaMaker().table(owner)}


class SchemaMaker:
    """Makes the schemas of declared types. Files whose tables have further forms derive their own, as of `Reader`."""

    def table(self, owner: type, default: object = None) -> Schema:
        """Return the schema of a dataclass's table; an absent key has its value of `default`."""
        properties = {}
        hints = hints_of(owner)
        meanings = attribute_docs(owner)
        for each in fields(owner):
            if not each.init or not is_setting(hints[each.name]):
                continue
            usual = default_of(each) if default is None else getattr(default, each.name)
            properties[each.name] = self.key(hints[each.name], usual, meanings.get(each.name, ""))
        return {
            "type": "object",
            "description": first_paragraph(owner),
            "properties": properties,
            "additionalProperties": False,
        }

    def key(self, hint: Any, default: Any, meaning: str) -> Schema:
        """Return the schema of a key: its type, its default and what it means."""
        if is_dataclass(default):
            entry = dict(self.table(cast(type, type(default)), default))
        else:
            entry = dict(self.of(hint))
            if default is not MISSING:
                entry["default"] = to_plain(default)
        if meaning:
            entry["description"] = meaning
        return entry

    def of(self, hint: Any) -> Schema:
        """Return the schema of the values of a type."""
        rules = {word: limit for rule in rules_in(hint) for word, limit in rule.schema().items()}
        plain = bare(hint)
        if is_union(plain):
            return {"anyOf": [self.of(each) for each in typing.get_args(plain)]}
        return {**self.option(plain), **rules}

    def option(self, hint: Any) -> Schema:
        """Return the schema of a type that is no union and has no rules."""
        origin = typing.get_origin(hint)
        arguments = typing.get_args(hint)
        if hint in _PLAIN:
            return _PLAIN[hint]
        if is_dataclass(hint):
            return self.table(cast(type, hint))
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (tuple, list, Sequence):
            return self._array(arguments)
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        return {}  # checked by the class alone

    def _array(self, arguments: tuple[Any, ...]) -> Schema:
        if not arguments or arguments[-1] is ... or len(arguments) == 1:
            return {"type": "array", "items": self.of(arguments[0]) if arguments else {}}
        items = [self.of(each) for each in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
