"""HTML that escapes what it is given: only what these functions built goes out as markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import TypeAlias, Union

VOID = frozenset({"br", "img", "link", "meta", "source"})


class Html(str):
    """Text that is markup already."""


Child: TypeAlias = Union[str, int, float, "Iterable[Child]", None]
NONE: Mapping[str, object] = {}


def text(value: object) -> Html:
    """Any value as escaped text; markup stays."""
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def el(tag: str, attributes: Mapping[str, object] = NONE, *children: Child) -> Html:
    """`<tag attributes>children</tag>`: values are escaped, None is left out, True is a bare attribute."""
    parts = []
    for name, value in attributes.items():
        if value is not None and value is not False:
            parts.append(f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"')
    opening = f"<{tag}{''.join(parts)}>"
    return Html(opening if tag in VOID else f"{opening}{join(children)}</{tag}>")


def join(children: Child) -> Html:
    """Children one after the other, nested lists flattened."""
    if children is None:
        return Html("")
    if isinstance(children, str) or not isinstance(children, Iterable):
        return text(children)
    return Html("".join(join(child) for child in children))
