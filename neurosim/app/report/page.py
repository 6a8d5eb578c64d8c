"""One self-contained page from a template. It needs no script, font or network, and its own policy forbids all three.

A template extends `base.html` and fills its blocks; `ui.html` has tables, tiles and figures, `sections.html` the
sections that pages share. Every value is escaped. Templates compute nothing: they lay out text and pictures that
`sections` and the pages of kinds have made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, UndefinedError

TEMPLATES = Path(__file__).with_name("templates")
CONFIG = "config.toml"


def render(template: Path, run: Path, manifest: Mapping[str, object], **values: object) -> str:
    """Return the page of a run.

    Args:
        template: a file that extends `base.html`.
        run: the run folder.
        manifest: manifest of the run.
        values: further names of the template.
    """
    config = run / CONFIG
    if config.is_file():
        text = config.read_text("utf-8", errors="replace")
    else:
        text = None
    known = _environment(template.parent).get_template(template.name)
    page = known.render(nav=[], folder=run.name, manifest=manifest, config=text, **values)
    # Names of files may hold bytes that are not UTF-8; the page, which is UTF-8, shows them as escapes.
    return page.encode("utf-8", "backslashreplace").decode()


class _Environment(Environment):
    """An environment in which a missing field of a record is an error, and a missing key of a table is blank."""

    def getattr(self, obj: object, attribute: str) -> object:
        if is_dataclass(obj) and not hasattr(obj, attribute):
            raise UndefinedError(f"{type(obj).__name__} has no field {attribute}")
        return super().getattr(obj, attribute)


@cache
def _environment(folder: Path) -> Environment:
    environment = _Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=ChainableUndefined,
        extensions=["jinja2.ext.do"],
    )
    return environment


def sentence(words: list[object]) -> str:
    """Return the words that are there, with commas between and a full stop; a page's lead."""
    return ", ".join(str(word) for word in words if word) + "."
