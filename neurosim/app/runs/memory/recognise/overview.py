"""Overview of a recogniser's run: its accuracy, its columns, and what recognising costs."""

from __future__ import annotations

from ....report import numbers
from ...frame.facts import Fact, Overview, Table, accuracy, baselines, digest, energies, named, operations
from .result import LevelSize, RecogniseResult

ITEMS = {"image": "images", "camera": "recordings of a camera", "sound": "sounds"}


def overview_of(result: RecogniseResult) -> Overview:
    """Return what page and terminal show of a run."""
    return Overview(
        title=f"{named(result.title, result.dataset, 'A recogniser')}: each item seen once",
        lead=[
            f"{numbers.plain(result.stored)} {ITEMS.get(result.view, 'items')} stored",
            f"{numbers.plain(result.samples)} of the split “{result.split}” recognised",
        ],
        facts=[
            accuracy(result, result.samples),
            Fact(
                label="An item reads",
                value=result.words,
                format=numbers.si,
                note="words of 64 weights, however many items are stored",
            ),
            operations(result.measures),
            *energies(result.energy),
            *baselines(result.baselines, result.cnn),
            digest("Answer digest", result.digest),
        ],
        tables={
            "levels": Table(
                "Levels, from the lowest up",
                ("Level", "Columns", "Modules", "Units", "Weights on"),
                [_row(number, level) for number, level in enumerate(result.levels, start=1)],
            )
        },
    )


def _row(number: int, level: LevelSize) -> tuple[str, ...]:
    sizes = (number, level.columns, level.modules, level.units)
    return *map(numbers.plain, sizes), numbers.percent(level.filled)
