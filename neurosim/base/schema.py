"""JSON Schema of settings: parts from which every description of a config is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A line `name: meaning` or `name, other: meaning` below "Attributes:".
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): +(.*)$")


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the meaning of each attribute of a class, from "Attributes:" in its docstring and those of its bases."""
    meanings: dict[str, str] = {}
    for each in reversed(owner.__mro__):
        meanings |= _of_docstring(inspect.cleandoc(each.__dict__.get("__doc__") or ""))
    return meanings


def _of_docstring(text: str) -> dict[str, str]:
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
