"""Write the page of a continual run: accuracy matrices over time, every learner side by side; mean accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from .. import files
from ..continual.matrix import MEASURES
from . import charts, numbers
from .charts import PALETTE, Curve
from .numbers import number
from .page import TEMPLATES, render
from .sections import HOT, Json, between, list_of, table_of, tables_of
from .svg import element, label, picture, rect

MAP = 264.0  # px, width of a heat map
MAX_WRITTEN = 8  # tasks up to which a cell has room for its figure
MAX_TILES = 5
UNIT = (0.0, 1.02)


def render_page(run: Path, manifest: Json, metrics: Json) -> str:
    """Return the page of a run folder."""
    rows = [row for row in tables_of(metrics.get("rows")) if _matrices(row).size]
    best = sorted(rows, key=_accuracy, reverse=True)[:MAX_TILES]
    return render(
        TEMPLATES / "continual.html",
        run,
        manifest,
        result=metrics,
        rows=rows,
        kinds=sorted({str(table_of(row.get("stream")).get("kind", "")) for row in rows}),
        tiles=[(row.get("name"), _accuracy(row), f"{_interval(row)}; {_bwt(row)}") for row in best],
        maps=[(row.get("name"), _map(row)) for row in rows],
        charts=_charts(rows),
        measures=MEASURES,
        shade=shade,
        estimates=[(row, [estimate(_measure(row, name)) for name in MEASURES], _mean(row)) for row in rows],
        seeds=[
            (f"{row.get('name')}, seed {seed}", [numbers.fixed(each.get(name)) for name in MEASURES])
            for row in rows
            for seed, each in zip(list_of(row.get("seeds")), tables_of(row.get("each")), strict=False)
        ],
    )


def _matrices(row: Json) -> NDArray[np.float64]:
    """Return [seeds, tasks + 1, tasks], or nothing where the run has none."""
    try:
        found = np.asarray(list_of(row.get("matrices")), np.float64)
    except (TypeError, ValueError):
        return np.empty(0)
    return found if found.ndim == 3 and found.shape[1] == found.shape[2] + 1 else np.empty(0)


def _measure(row: Json, name: str) -> Json:
    return table_of(table_of(row.get("measures")).get(name))


def _accuracy(row: Json) -> float:
    return number(_measure(row, "acc").get("mean")) or 0.0


def _interval(row: Json) -> str:
    low, high = (number(_measure(row, "acc").get(end)) for end in ("low", "high"))
    return "one seed" if low is None or high is None else between((low, high))


def _bwt(row: Json) -> str:
    mean = number(_measure(row, "bwt").get("mean"))
    return "one task" if mean is None else f"BWT {numbers.signed(mean, 1)}"


def estimate(found: Json) -> str:
    """Return 0.912 ± 0.013, half of the interval."""
    mean, low, high = (number(found.get(key)) for key in ("mean", "low", "high"))
    if mean is None or low is None or high is None:
        return numbers.fixed(mean, 3)
    return f"{mean:.3f} \N{PLUS-MINUS SIGN} {(high - low) / 2:.3f}"


def _mean(row: Json) -> float | None:
    known = [value for value in map(number, list_of(row.get("seconds"))) if value is not None]
    return float(np.mean(known)) if known else None


def _map(row: Json) -> Markup:
    """Return a heat map: time to the right, the first task at the top."""
    name, tasks, values = str(row.get("name")), list_of(row.get("tasks")), _matrices(row).mean(axis=0)
    n = values.shape[1]
    left, top = 22.0, 4.0
    size = (MAP - left) / (n + 1)
    parts: list[Markup] = []
    for i, after in enumerate(values):
        x = left + size * i
        parts.append(label(x + size / 2, top + size * n + 15, str(i), "middle"))
        for j, value in enumerate(after):
            title = f"{tasks[j] if j < len(tasks) else f'task {j + 1}'}, after {i} tasks: {value:.1%}"
            parts += _cell(x, top + size * j, size, float(value), title, learned=i == j + 1, written=n <= MAX_WRITTEN)
    parts += [label(left - 6, top + size * (j + 0.5) + 4, str(j + 1), "end") for j in range(n)]
    foot = top + size * n
    parts.append(label(MAP, foot + 31, "tasks learned", "end"))
    return picture(foot + 36, f"{name}: accuracy on each of {n} tasks after each was learned", parts, width=MAP)


def _cell(x: float, y: float, size: float, value: float, title: str, *, learned: bool, written: bool) -> list[Markup]:
    frame = ";stroke:var(--on);stroke-width:2" if learned else ""
    edge = 1.5 if learned else 1.0
    style = f"fill:{shade(100 * value)}{frame}"
    box = rect(x + edge, y + edge, size - 2 * edge, size - 2 * edge, style, radius=3)
    parts = [element("g", element("title", title), box)]
    if written:
        ink = "fill:var(--hot)" if value > HOT else "fill:var(--soft)"
        at = {"x": round(x + size / 2, 2), "y": round(y + size / 2 + 4, 2)}
        parts.append(element("text", f"{100 * value:.0f}", **at, text_anchor="middle", style=ink))
    return parts


def shade(percent: float) -> str:
    """Return the colour of an accuracy."""
    return f"color-mix(in srgb, var(--shade) {percent:.1f}%, var(--paper))"


def _charts(rows: Sequence[Json]) -> dict[str, Markup]:
    """Return mean accuracy on the tasks so far, and on the first, by the name of a file."""
    so_far, first = [], []
    for k, row in enumerate(rows):
        mean = _matrices(row).mean(axis=0)
        x = np.arange(1, mean.shape[1] + 1, dtype=np.float64)
        style = PALETTE[k % len(PALETTE)], "dashed" if k // len(PALETTE) % 2 else "line"
        name = str(row.get("name"))
        so_far.append(Curve(name, x, np.array([mean[i, :i].mean() for i in range(1, len(mean))]), *style))
        first.append(Curve(name, x, mean[1:, 0], *style))
    words = "Mean accuracy on the tasks learned so far"
    return {
        "mean-accuracy": charts.curves(so_far, "tasks learned", "", words, y=UNIT),
        "first-task": charts.curves(first, "tasks learned", "", "Accuracy on the first task", y=UNIT),
    }


def write_pictures(run_folder: Path) -> list[Path]:
    """Write the curves of a run into its folder, as pictures of their own; return their paths.

    Raises:
        NeurosimMissingError: there are no results.
        NeurosimWriteError: a file cannot be written.
    """
    metrics = table_of(files.read_json(run_folder / "metrics.json"))
    paths = []
    for name, chart in _charts(tables_of(metrics.get("rows"))).items():
        paths.append(run_folder / f"{name}.svg")
        charts.write_picture(paths[-1], chart)
    return paths
