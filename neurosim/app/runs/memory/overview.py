"""Overview of a memory's run: what it recalls, what it takes for known, and what that costs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial

from ...report import numbers
from ...report.sections import between
from ..frame.facts import Fact, Overview, Table, all_of, baselines, digest, energies, named, some_of
from .result import GroupFamiliarity, MemoryResult, RecallAtSize, RecallUnderNoise

COMMANDS = {
    "store": "stored in one pass",
    "recall": "recalled from a memory",
    "capacity": "what a memory holds",
    "noise": "recall under noise",
    "familiarity": "known and new",
}
READOUTS = {"ridge": "ridge regression of their bits", "rates": "weights of their bits, learned in one pass"}
GROUPS = {
    "stored": "stored items",
    "noisy": "the same, 30 % of their bits moved",
    "new": "new items",
    "random": "random bits",
}


def overview_of(result: MemoryResult) -> Overview:
    """Return what page and terminal show of a run."""
    column = result.column
    name = named(result.title, result.dataset, "A memory")
    command = COMMANDS.get(result.command_kind)
    sizes = (column.modules, column.units, column.active, column.inputs)
    modules, units, active, inputs = map(numbers.plain, sizes)
    return Overview(
        title=f"{name}: {command}" if command else name,
        lead=[
            f"{some_of(result.stored, result.train_size)} items in a macrocolumn of {modules} modules of {units} units",
            f"each item {active} of {inputs} bits",
            f"bits of {numbers.plain(result.patches)} patches that were seen" if result.patches else "",
            all_of(result.train_size, result.size),
        ],
        facts=[
            *_facts(result),
            *energies(result.energy, "per recall"),
            *baselines(result.baselines, result.cnn),
            digest("Code digest", result.digest),
        ],
        tables=dict(_tables(result)),
        closing=_next(result),
    )


def _next(result: MemoryResult) -> list[str]:
    if result.command_kind != "store":
        return []
    return [f"Next: neurosim memory recall {shlex.quote(str(result.run))}"]


def _facts(result: MemoryResult) -> list[Fact]:
    ends = result.confidence_interval
    new = result.familiarity.get("new")
    recall = result.operations.get("recall")
    return [
        Fact(
            label="Stored items recalled",
            value=result.recall,
            format=numbers.percent,
            note=f"of winners; {numbers.percent(result.exact)} of whole codes",
        ),
        Fact(label="Accuracy", value=result.accuracy, format=numbers.percent, note=between(ends) if ends else ""),
        *_winners(result),
        Fact(
            label="Known from new",
            value=None if new is None else new.separation,
            format=numbers.fixed,
            note="chance that a stored item is the more familiar of the two",
        ),
        Fact(
            label="A recall reads",
            value=None if recall is None else recall.words,
            format=numbers.si,
            note="words of 64 weights, however many items are stored",
        ),
        Fact(
            label="Random items, in theory",
            value=result.expected_recall,
            format=numbers.percent,
            note=f"of winners recalled; capacity {numbers.plain(result.capacity)} items",
            tile=False,
        ),
    ]


def _winners(result: MemoryResult) -> list[Fact]:
    """Return what the winners alone have, where weights of the bits are read."""
    if result.readout == "winners":
        return []
    note = f"of the items' classes; the accuracy is of {READOUTS.get(result.readout, result.readout)}"
    return [Fact(label="The winners alone", value=result.winners_accuracy, format=numbers.percent, note=note)]


def _tables(result: MemoryResult) -> Iterator[tuple[str, Table]]:
    """Yield the tables by name; tables of other commands are left out."""
    # Familiarity first, which every command measures.
    groups = [_group(words, result.familiarity[name]) for name, words in GROUPS.items() if name in result.familiarity]
    caption = "Familiarity of each group; the last column is the area under the ROC curve, 1 where no two overlap."
    yield "familiarity", Table(caption, ("Items", "Number", "Mean", "Known", "Told from stored"), groups)
    if result.noise:
        heads = ("Bits moved", "Winners", "Whole codes", "Class", "Familiarity", "Known")
        yield "noise", Table("Recall of stored items under noise", heads, [_noise(row) for row in result.noise])
    for name, rows in (("items of the dataset", result.growth), ("random items", result.random)):
        if rows:
            yield f"growth of {name}", _growth(name, rows)


def _group(words: str, group: GroupFamiliarity) -> tuple[str, ...]:
    return (
        words,
        numbers.plain(group.items),
        numbers.three(group.mean),
        numbers.percent(group.known),
        numbers.fixed(group.separation),
    )


def _noise(row: RecallUnderNoise) -> tuple[str, ...]:
    return (
        numbers.percent(row.noise, 0),
        *map(numbers.percent, (row.recall, row.exact, row.accuracy)),
        numbers.three(row.familiarity),
        numbers.percent(row.known),
    )


def _growth(name: str, rows: Sequence[RecallAtSize]) -> Table:
    # Words and times stay level where storing and recalling do not depend on the number stored, as they should.
    heads = ("Stored", "Recalled", "Theory", "Words a store", "Words a recall", "Time a store", "Time a recall")
    seconds = partial(numbers.si, unit="s")
    cells = [
        (
            numbers.plain(row.stored),
            numbers.percent(row.recall),
            numbers.percent(row.expected),
            numbers.plain(row.store_operations),
            numbers.plain(row.recall_operations),
            seconds(row.store_seconds),
            seconds(row.recall_seconds),
        )
        for row in rows
    ]
    return Table(f"Recall and its cost while {name} were stored", heads, cells)
