"""Presets, and the published figure beside the figure of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ....base.errors import lookup
from ....base.json_toml import read_toml
from ....base.plain import Record, from_plain
from ...report import numbers

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Preset(Record):
    """A published experiment.

    Attributes:
        title: of the experiment.
        kind: of run that repeats it.
        needs_model: whether the run needs a language model.
        measure: place of the figure in the results of a run, with dots; "" where they have none to compare.
        published: the published figure; None where it is not at hand.
        source: who published it, and what is known of it.
        ours: the figure measured with these settings; None: not measured.
        date: of that measurement.
        how: seeds, data and script of `ours`, or why there is none.
        differs: what differs between these settings and the published ones.
    """

    title: str
    kind: str
    needs_model: bool = False
    measure: str = ""
    published: float | None = None
    source: str
    ours: float | None = None
    date: str = ""
    how: str
    differs: str


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A run beside its preset: `measured` is its figure, `changed` the settings that were given besides."""

    name: str
    preset: Preset
    measured: float | None
    changed: tuple[str, ...] = ()


@cache
def presets() -> Mapping[str, Preset]:
    """Return all presets by name."""
    return from_plain(dict[str, Preset], read_toml(FOLDER / "index.toml"), "presets")


def config_of(name: str) -> Path:
    """Return the file with the settings of a preset.

    Raises:
        NeurosimInputError: there is no such preset.
    """
    lookup(presets(), name, "preset")
    return FOLDER / f"{name}.toml"


def beside(facts: Mapping[str, object], results: Mapping[str, object]) -> Beside | None:
    """Return the results of a run beside the preset that its manifest names; None where it names none that is known.

    Args:
        facts: of the manifest.
        results: the tree that metrics.json holds.
    """
    name = facts.get("preset")
    changed = facts.get("preset_changed", ())
    if not isinstance(name, str) or name not in presets():
        return None
    preset = presets()[name]
    if isinstance(changed, list | tuple):
        words = tuple(str(word) for word in changed)
    else:
        words = ()
    return Beside(name=name, preset=preset, measured=_figure(results, preset.measure), changed=words)


class PublishedSection(NamedTuple):
    """The section of a page with a published figure: its lead, and rows of name, value and source."""

    lead: str
    rows: list[tuple[str, str, str]]


def published_section(comparison: Beside) -> PublishedSection:
    """Return the figures of a run, of its source and of the preset, for the page."""
    preset = comparison.preset
    lead = f"{preset.title}. What differs: {preset.differs}."
    if comparison.changed:
        lead = f"{preset.title}. What differs: {preset.differs}. Changed for this run: {', '.join(comparison.changed)}."
    ours = f"Ours, {preset.date}" if preset.date else "Ours"
    rows = [
        ("This run", numbers.plain(comparison.measured), "the results on this page"),
        ("Published", numbers.plain(preset.published), preset.source),
        (ours, numbers.plain(preset.ours), preset.how),
    ]
    return PublishedSection(lead, rows)


def render_beside(comparison: Beside) -> str:
    """Return the lines that the command line prints below a run's table."""
    from ..frame.tables import table

    preset = comparison.preset
    rows = [
        ("this run", share(comparison.measured)),
        *([("changed", ", ".join(comparison.changed))] if comparison.changed else []),
        ("published", f"{share(preset.published)} ({preset.source})"),
        ("ours", f"{share(preset.ours)}{f', {preset.date}' if preset.date else ''} ({preset.how})"),
        ("differs", preset.differs),
    ]
    return table(rows, f"{comparison.name}: {preset.title}")


def share(value: float | None) -> str:
    """Return a figure in four places."""
    return numbers.text(numbers.plain(value, 4))


def _figure(results: Mapping[str, object], place: str) -> float | None:
    # "rows.0.measures.acc.mean": names of fields, and numbers of entries in lists.
    value: object = results
    for part in place.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    if isinstance(value, int | float):
        return float(value)
    return None
