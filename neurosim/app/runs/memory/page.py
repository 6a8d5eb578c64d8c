"""The page of a memory's run: codes, similarity, familiarity, noise, capacity, classes, measures and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ....base.errors import NeurosimError
from ....data.files.arrays import read_arrays
from ...report import charts, numbers
from ...report.axes import Floats
from ...report.charts import PALETTE, BarGroup, Curve, column
from ...report.png import data_uri, tint
from ...report.recordings import Figure
from ...report.svg import Box, dot, label, picture, rule
from ..frame.folder import RunFolder
from .overview import GROUPS
from .result import MemoryResult, RecallAtSize, RecallUnderNoise

PICTURES = "pictures.safetensors"
INK = (106, 79, 179)
CODE_WIDTH = 300.0
CODE_HEIGHT = 170.0
UNIT = (0.0, 1.02)  # range of an axis of fractions
Arrays = Mapping[str, NDArray[Any]]
# Colours of the groups of items.
COLOURS = {"stored": "var(--accent)", "noisy": "var(--on)", "new": "var(--spike)", "random": "var(--faint)"}
KNOWN = (
    "How well the best unit of each module fits an item, before any answer is compared: 1 is a full match. From {} on "
    "an item counts as known."
)


def fill(folder: RunFolder, result: MemoryResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    arrays, why = _read(folder.path)
    growth = result.growth or ()
    random = result.random or ()
    return {
        "known": KNOWN.format(numbers.three(result.threshold)),
        "no_codes": why or "The run kept no codes.",
        "no_pairs": why or "The run kept no pairs of items.",
        "no_familiarity": why or "The run kept no familiarities.",
        "codes": _codes(arrays, result.classes, result.column.units or 1),
        "similarity": _similarity(arrays),
        "familiarity": _familiarity(arrays),
        "noise_figures": _noise(result.noise or ()),
        "growth_figures": _growth(growth, random) if len(growth) > 1 or random else [],
    }


def _read(run: Path) -> tuple[Arrays, str]:
    try:
        return read_arrays(run / PICTURES), ""
    except NeurosimError as error:
        return {}, f"What is drawn here cannot be read: {error}"


def _codes(arrays: Arrays, classes: Sequence[str], units: int) -> list[dict[str, object]]:
    """Return the stored items of the page: name, picture as data URI, chart, winners that are the same under noise."""
    if not all(name in arrays for name in ("shown_codes", "shown_noisy_codes", "shown_labels")):
        return []
    codes = []
    for k, index in enumerate(arrays["shown_labels"]):
        stored = arrays["shown_codes"][k]
        noisy = arrays["shown_noisy_codes"][k]
        if 0 <= index < len(classes):
            name = classes[index]
        else:
            name = str(index)
        if "shown_inputs" in arrays:
            image = arrays["shown_inputs"][k]
        else:
            image = None
        codes.append(
            {
                "name": name,
                "same": f"{np.count_nonzero(stored == noisy)} of {len(stored)} winners are the same under noise",
                "picture": None if image is None else data_uri(tint(np.sqrt(image / (image.max() or 1.0)), INK)),
                "chart": _code(stored, noisy, units, name),
            }
        )
    return codes


def _code(stored: NDArray[np.int32], noisy: NDArray[np.int32], units: int, name: str) -> Markup:
    """Return a code: modules to the right, units upwards."""
    box = Box(
        left=30,
        top=8,
        width=CODE_WIDTH - 34,
        height=CODE_HEIGHT - 40,
        x=(0, max(len(stored) - 1, 1)),
        y=(0, max(units - 1, 1)),
    )
    drawn = [
        rule(box.left, y1=box.foot + 5, x2=box.right, y2=box.foot + 5, kind="axis"),
        label(box.left - 6, box.top + 6, str(units - 1), "end"),
        label(box.left - 6, box.foot + 3, "0", "end"),
        label(box.left, box.foot + 20, "module 0"),
        label(box.right, box.foot + 20, str(len(stored) - 1), "end"),
    ]
    for q, (a, b) in enumerate(zip(stored, noisy, strict=True)):
        x = box.across(q)
        # Filled: the winner of the stored item. A ring: the winner under noise, where it differs.
        if b != a and b >= 0:
            drawn.append(dot(x, box.down(float(b)), 3.4, "fill:none;stroke:var(--on);stroke-width:1.4"))
        if a >= 0:
            drawn.append(dot(x, box.down(float(a)), 3, "fill:var(--spike)"))
    return picture(CODE_HEIGHT, f"{name}: winning unit of each module", drawn, width=CODE_WIDTH)


def _similarity(arrays: Arrays) -> list[Figure]:
    """Return charts of the similarity of codes against that of items."""
    if "similarity_inputs" not in arrays or not arrays["similarity_inputs"].size:
        return []
    x = arrays["similarity_inputs"]
    y = arrays["similarity_codes"]
    words = "Share of winners two codes have in common against share of active bits of their items"
    caption = f"{len(x):,} pairs of stored items: nearest neighbours, pairs of one class, any pairs."
    # Means over twenty bins; a similarity of 1 belongs to the last.
    bins = np.clip(np.digitize(x, np.linspace(0, 1, 21)) - 1, 0, 19)
    figures = [(_scatter("a pair of stored items", colour="var(--spike)", x=x, y=y, groups=bins, words=words), caption)]
    if "similarity_noisy_inputs" in arrays:
        x = arrays["similarity_noisy_inputs"]
        y = arrays["similarity_noisy_codes"]
        words = "Share of winners of a stored item that are recalled against share of its active bits shown"
        chart = _scatter("an item and itself under noise", colour="var(--on)", x=x, y=y, groups=x, words=words)
        figures.append((chart, "A stored item, and the recall of it with some of its bits moved."))
    return figures


def _scatter(name: str, colour: str, x: Floats, y: Floats, groups: NDArray[Any], words: str) -> Markup:
    """Return dots, and the means of each group of them as a line."""
    each = np.unique(groups)
    mean_x, mean_y = (np.array([values[groups == k].mean() for k in each]) for values in (x, y))
    series = [Curve(name=name, x=x, y=y, colour=colour, kind="dots"), Curve("mean", mean_x, mean_y, "var(--accent)")]
    return charts.curves(series, "shared active bits", "shared winners", words, y=UNIT)


def _familiarity(arrays: Arrays) -> list[Figure]:
    groups = [
        BarGroup(words, arrays[f"familiarity_{name}"], COLOURS[name])
        for name, words in GROUPS.items()
        if f"familiarity_{name}" in arrays
    ]
    if not groups:
        return []
    words = "Histograms of familiarity: stored, noisy, new and random items"
    return [(charts.histograms(groups, "familiarity", words), "Share of each group's items."), *_roc(arrays)]


def _roc(arrays: Arrays) -> list[Figure]:
    """Return how many stored items are known against how many others are taken for known, at every threshold."""
    known = np.sort(arrays.get("familiarity_stored", np.empty(0)))
    series = []
    for name in ("noisy", "new", "random"):
        others = arrays.get(f"familiarity_{name}", np.empty(0))
        if known.size and others.size:
            # Every familiarity is a threshold; infinity is the corner where nothing is known.
            levels = np.unique(np.concatenate([known, others, [np.inf]]))[::-1]
            hits = 1 - np.searchsorted(known, levels, "left") / known.size
            false = 1 - np.searchsorted(np.sort(others), levels, "left") / others.size
            series.append(Curve(GROUPS[name], false, hits, COLOURS[name]))
    if not series:
        return []
    words = "Stored items known against others taken for known, at every threshold"
    drawn = charts.curves(series, "others taken for known", "stored items known", words, y=UNIT)
    return [(drawn, "At every threshold: a curve along the top left corner tells all of them apart.")]


def _noise(rows: Sequence[RecallUnderNoise]) -> list[Figure]:
    def chart(names: Mapping[str, str], first: int, words: str) -> Markup:
        x = column(rows, "noise")
        series = [Curve(name, x, column(rows, key), PALETTE[first + k]) for k, (key, name) in enumerate(names.items())]
        return charts.curves(series, "active bits moved", "", words, y=UNIT)

    recalled = {"recall": "winners as stored", "exact": "whole codes", "accuracy": "class read from the code"}
    sure = {"familiarity": "familiarity", "known": "taken for known"}
    return [
        (chart(recalled, 0, "Recall against noise"), "Recall of the items."),
        (chart(sure, 3, "Familiarity against noise"), "How sure the memory is of it."),
    ]


def _growth(rows: Sequence[RecallAtSize], random: Sequence[RecallAtSize]) -> list[Figure]:
    """Return charts of recall, weights on and costs against the number of stored items."""
    # Theory is of random items: where they were measured, costs and theory are drawn for them.
    far = random or rows

    def curve(
        name: str, of: Sequence[RecallAtSize], key: str, colour: int, kind: str = "line", scale: float = 1.0
    ) -> Curve:
        return Curve(name=name, x=column(of, "stored"), y=scale * column(of, key), colour=PALETTE[colour], kind=kind)

    def fractions(key: str, y_name: str, words: str, *others: Curve) -> Markup:
        if random:
            dots = [curve("random items", random, key=key, colour=1, kind="dots")]
        else:
            dots = []
        series = [curve("items of the dataset", rows, key, 0), *dots, *others]
        return charts.curves(series, "items stored", y_name, words, y=UNIT, log_x=True)

    def costs(kind: str, y_name: str, scale: float = 1.0) -> Markup:
        series = [curve(name, far, f"{name}_{kind}", k, scale=scale) for k, name in enumerate(("store", "recall"))]
        return charts.curves(series, "items stored", y_name, f"{y_name} an item against items stored", log_x=True)

    of = ", random items" if random else ""
    theory = curve("theory", far, key="expected", colour=3, kind="dashed")
    return [
        (
            fractions("recall", "winners as stored", "Winners recalled against items stored", theory),
            "Winners recalled as stored. Theory is of random items whose codes are drawn independently; when most "
            "weights are on, everything looks somewhat familiar, codes are drawn together, and less is recalled.",
        ),
        (
            fractions("filled", "weights on", "Fraction of weights that are on against items stored"),
            "Share of weights on.",
        ),
        (costs("operations", "words of 64 weights"), f"Operations an item{of}."),
        (costs("seconds", "\N{MICRO SIGN}s", 1e6), f"Processor time an item{of}."),
    ]
