"""One self-contained page: sections with an anchor each, tables whose rows carry definitions, notices for what is
absent. Nothing on it needs a script, a font or the network, and a policy in its head forbids all three."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .html import Child, Html, el, join

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: of its anchor.
        title: its heading, and its entry in the navigation.
        lead: a sentence or two below the heading.
        body: markup; text is escaped.
    """

    name: str
    title: str
    lead: Child
    body: Child


@dataclass(frozen=True)
class Cell:
    """A table cell with a class of its own: "n" a number, "unit", "source", "wide" a text that needs room."""

    kind: str
    content: Child


def page(*, title: str, kicker: str, lead: Child, headline: Child, sections: Sequence[Section], foot: Child) -> str:
    """The whole document.

    Args:
        title: heading and window title.
        kicker: the small line above it.
        lead: a paragraph below it.
        headline: tiles, between the lead and the sections.
        sections: in order.
        foot: the last line.
    """
    head = el(
        "head",
        {},
        el("meta", {"charset": "utf-8"}),
        el("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        el("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        el("link", {"rel": "icon", "href": "data:,"}),  # or a server is asked for one
        el("title", {}, title),
        el("style", {}, Html(STYLE.read_text("utf-8"))),
    )
    body = el(
        "body",
        {},
        el(
            "header",
            {"class": "top"},
            el("p", {"class": "kicker"}, kicker),
            el("h1", {}, title),
            el("p", {"class": "lead"}, lead),
            headline,
            el("nav", {"aria-label": "Sections"}, [el("a", {"href": f"#{s.name}"}, s.title) for s in sections]),
        ),
        el("main", {}, [_section(s) for s in sections]),
        el("footer", {}, foot),
    )
    return "<!DOCTYPE html>\n" + el("html", {"lang": "en"}, head, body) + "\n"


def _section(section: Section) -> Html:
    lead = el("p", {"class": "lead"}, section.lead) if section.lead else None
    return el("section", {"id": section.name}, el("h2", {}, section.title), lead, section.body)


def tile(name: str, value: str, note: Child = None, picture: Child = None) -> Html:
    """A headline figure."""
    parts = [el("span", {"class": kind}, child) for kind, child in (("name", name), ("value", value), ("note", note))]
    return el("div", {"class": "tile"}, parts, picture)


def tiles(items: Iterable[Child]) -> Html:
    return el("div", {"class": "tiles"}, list(items))


def figure(picture: Child, caption: Child) -> Html:
    return el("figure", {"class": "card"}, picture, el("figcaption", {}, caption))


def cards(items: Iterable[Child]) -> Html:
    return el("div", {"class": "cards"}, list(items))


def notice(words: Child) -> Html:
    """Says why something is not here."""
    return el("p", {"class": "notice"}, words)


def legend(keys: Iterable[tuple[str, str]]) -> Html:
    """(CSS colour, meaning) of each key."""
    return el("ul", {"class": "legend"}, [el("li", {"style": f"--key:{colour}"}, words) for colour, words in keys])


def table(caption: Child, heads: Sequence[Child | Cell], rows: Iterable[Sequence[Child | Cell]]) -> Html:
    """A table whose first cells are the headings of their rows. On narrow screens one with definitions ("wide" cells)
    puts them below their figures, and any other scrolls sideways."""
    rows = list(rows)
    defined = any(isinstance(cell, Cell) and cell.kind == "wide" for row in rows for cell in row)
    body = [
        el("tr", {}, _cell("th", row[0], {"scope": "row"}), [_cell("td", cell, {}) for cell in row[1:]]) for row in rows
    ]
    top = el("tr", {}, [_cell("th", head, {"scope": "col"}) for head in heads])
    inner = el(
        "table",
        {"class": "defined" if defined else None},
        el("caption", {}, caption),
        el("thead", {}, top),
        el("tbody", {}, body),
    )
    return el("div", {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": "Table"}, inner)


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Names and values, one below the other."""
    return el("dl", {}, [join([el("dt", {}, name), el("dd", {}, value)]) for name, value in pairs])


def _cell(tag: str, cell: Child | Cell, attributes: dict[str, object]) -> Html:
    if isinstance(cell, Cell):
        return el(tag, {**attributes, "class": cell.kind}, cell.content)
    return el(tag, attributes, cell)
