"""Overview of a recogniser's run: its accuracy, its columns or patches, and what recognising costs."""

from __future__ import annotations

from ....report import numbers
from ...frame.facts import Fact, Overview, Table, accuracy, baselines, digest, energies, named, operations
from .result import LevelSize, RecogniseResult

HEADS = {
    "columns": ("Columns", "Modules", "Units", "Weights on"),
    "patches": ("Places", "Dictionaries", "Units", "Units that hold a patch"),
}
# With .05 of the places on columns recognise .61 of ten classes, with .02 a tenth.
MIN_PLACES_ON = 0.04
ITEMS = {"image": "images", "camera": "recordings of a camera", "sound": "sounds"}
READOUTS = {
    "bayes": "counts of wins by class",
    "rates": "weights with a rate of each input",
    "ridge": "ridge regression of the codes",
}


def overview_of(result: RecogniseResult) -> Overview:
    """Return what page and terminal show of a run."""
    return Overview(
        title=f"{named(result.title, result.dataset, 'A recogniser')}: each item seen once",
        lead=[
            f"{numbers.plain(result.stored)} {ITEMS.get(result.view, 'items')} stored",
            f"{numbers.plain(result.samples)} of the split “{result.split}” recognised",
            f"{result.code}; {READOUTS.get(result.readout, result.readout)}",
        ],
        facts=[
            accuracy(result, result.samples),
            *_places(result.places_on),
            *_words(result.words),
            operations(result.measures),
            *energies(result.energy),
            *baselines(result.baselines, result.cnn),
            digest("Answer digest", result.digest),
        ],
        tables={
            "levels": Table(
                "Levels, from the lowest up",
                ("Level", *HEADS.get(result.code, HEADS["columns"])),
                [_row(number, level) for number, level in enumerate(result.levels, start=1)],
            )
        },
    )


def _places(on: float | None) -> list[Fact]:
    """Return the fact of a camera's places that are on, where they are too few for columns."""
    if on is None or on >= MIN_PLACES_ON:
        return []
    note = "of a window, where columns need about 4 %; --code patches needs fewer, and view.downsample joins pixels"
    return [Fact(label="Places on", value=on, format=numbers.percent, note=note)]


def _words(words: float | None) -> list[Fact]:
    """Return the fact of words of weights, where they are counted."""
    if words is None:
        return []
    note = "words of 64 weights, however many items are stored"
    return [Fact(label="An item reads", value=words, format=numbers.si, note=note)]


def _row(number: int, level: LevelSize) -> tuple[str, ...]:
    sizes = (number, level.columns, level.modules, level.units)
    return *map(numbers.plain, sizes), numbers.percent(level.filled)
