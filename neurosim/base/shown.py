"""Objects as text: one line in a terminal, a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from html import escape
from typing import Any

import numpy as np

from .errors import escaped

LINE = 160  # characters of a line
VALUE = 60  # of one value in it
ITEMS = 4  # of a list or a table that are written out
ROWS = 40  # of a table in a notebook


class Shown:
    """Base of objects that print as `Name(field=value, ...)` in one line, and are a table in a notebook.

    A line has fields that differ from their defaults, arrays by type and shape, and long lists by their length. A class
    that says more about itself defines `facts`.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        # A dataclass makes a `__repr__` of all fields, unless its class already has one.
        if "__repr__" not in vars(cls):
            cls.__repr__ = Shown.__repr__  # type: ignore[method-assign]

    def facts(self) -> Mapping[str, object]:
        """Return what is shown, by name: for a dataclass, its fields that differ from their defaults."""
        own = fields(self)  # type: ignore[arg-type]
        return {field.name: getattr(self, field.name) for field in own if field.repr and not _is_default(self, field)}

    def __repr__(self) -> str:
        name = type(self).__name__
        parts = [f"{key}={shorten(value)}" for key, value in self.facts().items()]
        whole = ", ".join(parts)
        # Drop facts from the end until the line fits.
        while parts and len(name) + len(whole) + 2 > LINE:
            parts.pop()
            whole = ", ".join([*parts, "..."])
        return escaped(f"{name}({whole})")

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self.facts())


def shorten(value: object, limit: int = VALUE) -> str:
    """Return a value in one line of at most `limit` characters: arrays by type and shape, long lists by length."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, str):
        text = value
    elif isinstance(value, Mapping):
        text = "{" + _listed(f"{key}: {shorten(item, limit // 2)}" for key, item in value.items()) + "}"
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        text = f"{value.dtype} {list(value.shape)}"
    elif isinstance(value, list | tuple):
        text = _sequence(value, limit)
    else:
        # One line, whatever a class prints.
        text = " ".join(repr(value).split())
    if len(text) > limit:
        return text[: limit - 3] + "..."
    return text


def counted(count: int, name: str) -> str:
    """Return `1 unit` or `3,000 units`."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def html_table(caption: str, rows: Mapping[str, object]) -> str:
    """Return a table of names and values for a notebook; a value that is a mapping becomes a table in its cell."""
    lines = [
        f"<tr><th style='text-align:left'>{escape(str(name))}</th><td>{_cell(value)}</td></tr>"
        for name, value in list(rows.items())[:ROWS]
    ]
    if len(rows) > ROWS:
        lines.append(f"<tr><td colspan='2'>and {len(rows) - ROWS:,} more</td></tr>")
    heading = f"<caption>{escape(caption)}</caption>" if caption else ""
    return escaped(f"<table>{heading}{''.join(lines)}</table>")


def _cell(value: object) -> str:
    if isinstance(value, Mapping) and value:
        return html_table("", value)
    return escape(value if isinstance(value, str) else shorten(value, LINE))


def _is_default(owner: object, field: Field[Any]) -> bool:
    """Return whether a field has its default, compared by value where that is a plain one."""
    if field.default_factory is not MISSING:
        default = field.default_factory()
    elif field.default is not MISSING:
        default = field.default
    else:
        return False
    value = getattr(owner, field.name)
    # Arrays compare entry by entry, and have no one answer.
    return value is default or (type(value) is type(default) and not hasattr(value, "dtype") and value == default)


def _sequence(values: list[Any] | tuple[Any, ...], limit: int) -> str:
    kinds = {type(value).__name__ for value in values}
    if len(values) > ITEMS:
        kind = kinds.pop() if len(kinds) == 1 else "values"
        return f"[{len(values):,} {kind}]"
    opening, closing = "()" if isinstance(values, tuple) else "[]"
    return opening + ", ".join(shorten(value, limit // 2) for value in values) + closing


def _listed(parts: Iterable[str]) -> str:
    """Return the first parts joined, and how many follow."""
    every = list(parts)
    more = [f"{len(every) - ITEMS:,} more"] if len(every) > ITEMS else []
    return ", ".join([*every[:ITEMS], *more])
