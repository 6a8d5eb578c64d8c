"""The page of a continual run: accuracy matrices over time, every learner side by side; mean accuracies, measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..continual.matrix import MEASURES
from . import charts, numbers, page, parts, plots
from .charts import Curve
from .html import Child, Html, el
from .numbers import number
from .page import Cell, Section
from .parts import HOT, Json, list_of, table_of
from .simulate import date

MAP = 264.0  # px, of a heat map
WRITTEN = 8  # tasks up to which a cell has room for its figure
TILES = 5
SAME = "The same command, data, seeds and threads give the same accuracies, whatever the number of workers."
SCENARIOS = {
    "domain": "the same classes in all",
    "task": "an item comes with its task and is one of its classes",
    "class": "an item comes alone and is one of all classes met so far",
}
SIDE_BY_SIDE = "grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr))"


def render(run: Path, manifest: Json, metrics: Json, config: str | None) -> str:
    """The whole page."""
    rows = [table_of(row) for row in list_of(metrics.get("rows")) if _matrices(table_of(row)).size]
    return page.page(
        title=_title(metrics, rows),
        kicker="neurosim continual",
        lead=_lead(manifest, metrics, rows),
        headline=page.tiles(_tiles(rows)),
        sections=[
            *_failures(metrics),
            _maps(rows),
            _curves(rows),
            _measures(rows),
            _each(rows),
            parts.provenance(manifest, metrics, config, SAME),
        ],
        foot=parts.foot(manifest, run.name),
    )


def _matrices(row: Json) -> NDArray[np.float64]:
    """[seeds, tasks + 1, tasks], or nothing where the run holds none."""
    try:
        found = np.asarray(list_of(row.get("matrices")), np.float64)
    except (TypeError, ValueError):
        return np.empty(0)
    return found if found.ndim == 3 and found.shape[1] == found.shape[2] + 1 else np.empty(0)


def _title(metrics: Json, rows: Sequence[Json]) -> str:
    kinds = sorted({str(table_of(row.get("stream")).get("kind", "")) for row in rows}) or ["Continual learning"]
    name = f"{' and '.join(kinds)} tasks" if rows else kinds[0]
    return f"{name[:1].upper()}{name[1:]}, {len(rows)} learners" if rows else name


def _lead(manifest: Json, metrics: Json, rows: Sequence[Json]) -> str:
    first = rows[0] if rows else {}
    words = [
        f"{len(list_of(first.get('tasks')))} tasks one after the other" if first else None,
        SCENARIOS.get(str(first.get("scenario"))),
        f"accuracy on {metrics.get('on')} items",
        f"{len(list_of(first.get('seeds')))} seeds" if first else None,
        date(manifest.get("started")),
        f"the run failed: {manifest.get('reason')}" if manifest.get("status") == "failed" else None,
    ]
    return ", ".join(word for word in words if word) + "."


def _tiles(rows: Sequence[Json]) -> list[Child]:
    """The learners with the highest accuracies in the end."""

    def acc(row: Json) -> float:
        return number(_measure(row, "acc").get("mean")) or 0.0

    best = sorted(rows, key=acc, reverse=True)[:TILES]
    return [
        page.tile(str(row.get("name")), numbers.percent(acc(row)), f"{_interval(row, 'acc')}; {_bwt(row)}")
        for row in best
    ]


def _bwt(row: Json) -> str:
    found = number(_measure(row, "bwt").get("mean"))
    return "one task" if found is None else f"BWT {100 * found:+.1f}{numbers.THIN}%"


def _measure(row: Json, name: str) -> Json:
    return table_of(table_of(row.get("measures")).get(name))


def _interval(row: Json, name: str) -> str:
    found = _measure(row, name)
    low, high = number(found.get("low")), number(found.get("high"))
    if low is None or high is None:
        return "one seed"
    return f"95{numbers.THIN}% between {numbers.percent(low)} and {numbers.percent(high)}"


def _failures(metrics: Json) -> list[Section]:
    """Learners that did not come to their end."""
    lost = [table_of(entry) for entry in list_of(metrics.get("failures"))]
    if not lost:
        return []
    lines = [page.notice(f"{e.get('row')}, seed {e.get('seed')}: {e.get('reason')}") for e in lost]
    return [Section("failures", "Not finished", None, lines)]


def _maps(rows: Sequence[Json]) -> Section:
    title = "Accuracy on every task over time"
    lead = (
        "Each row is a task, each column the time after so many tasks were learned; the mean over seeds. Frames mark "
        "where a task is learned: to their right is what is kept of it, to their left what was known before."
    )
    if not rows:
        return Section("matrix", title, lead, page.notice("The run recorded no accuracy matrix."))
    cards = [
        el(
            "figure",
            {"class": "card"},
            el("h3", {"style": "margin-top:0"}, row.get("name")),
            _map(_matrices(row).mean(axis=0), str(row.get("name")), [str(t) for t in list_of(row.get("tasks"))]),
        )
        for row in rows
    ]
    return Section("matrix", title, lead, [_shades(), el("div", {"class": "cards", "style": SIDE_BY_SIDE}, cards)])


def _shades() -> Html:
    """What a shade means."""
    steps = [(f"color-mix(in srgb, var(--shade) {p}%, var(--paper))", f"{p} %") for p in (0, 25, 50, 75, 100)]
    return page.legend(steps)


def _map(values: NDArray[np.float64], name: str, tasks: Sequence[str]) -> Html:
    """Time to the right, the first task at the top."""
    n = values.shape[1]
    left, top = 22.0, 4.0
    cell = (MAP - left) / (n + 1)
    children: list[Child] = []
    for i, row in enumerate(values):
        x = left + cell * i
        children.append(plots.label(x + cell / 2, top + cell * n + 15, str(i), "middle"))
        for j, value in enumerate(row):
            title = f"{tasks[j] if j < len(tasks) else f'task {j + 1}'}, after {i} tasks: {value:.1%}"
            flags = {"learned": i == j + 1, "written": n <= WRITTEN}
            children.append(_cell(x, top + cell * j, cell, float(value), title, **flags))
    for j in range(n):
        children.append(plots.label(left - 6, top + cell * (j + 0.5) + 4, str(j + 1), "end"))
    foot = top + cell * n
    children.append(plots.label(MAP, foot + 31, "tasks learned", "end"))
    words = f"{name}: accuracy on each of {n} tasks after each was learned"
    return plots.svg(foot + 36, words, children, width=MAP)


def _cell(x: float, y: float, size: float, value: float, title: str, learned: bool, written: bool) -> Child:
    shade = f"fill:color-mix(in srgb, var(--shade) {100 * value:.1f}%, var(--paper))"
    frame = ";stroke:var(--on);stroke-width:2" if learned else ""
    inner = 1.0 + learned * 0.5
    at = {"x": round(x + inner, 2), "y": round(y + inner, 2), "rx": 3}
    side = {"width": round(size - 2 * inner, 2), "height": round(size - 2 * inner, 2)}
    box = el("rect", {**at, **side, "style": shade + frame}, el("title", {}, title))
    if not written:
        return box
    ink = "fill:var(--hot)" if value > HOT else "fill:var(--soft)"
    middle = {"x": round(x + size / 2, 2), "y": round(y + size / 2 + 4, 2), "text-anchor": "middle"}
    return [box, el("text", {**middle, "style": ink}, f"{100 * value:.0f}")]


def _curves(rows: Sequence[Json]) -> Section:
    title = "Mean accuracy while learning"
    lead = "The mean over the tasks learned so far, and the accuracy on the first task alone; means over seeds."
    if not rows:
        return Section("curves", title, lead, page.notice("The run recorded no accuracies."))
    captions = ("Mean over the tasks learned so far.", "The first task: what is kept of it.")
    drawn = [page.figure(chart, words) for chart, words in zip(_charts(rows).values(), captions, strict=True)]
    return Section("curves", title, lead, page.cards(drawn))


def _charts(rows: Sequence[Json]) -> dict[str, Html]:
    """Mean accuracy on the tasks so far, and on the first, by the name of a file."""
    so_far, first = [], []
    for k, row in enumerate(rows):
        mean = _matrices(row).mean(axis=0)
        n = mean.shape[1]
        x = np.arange(1, n + 1, dtype=np.float64)
        style = charts.PALETTE[k % len(charts.PALETTE)], "dashed" if k // len(charts.PALETTE) % 2 else "line"
        name = str(row.get("name"))
        so_far.append(Curve(name, x, np.array([mean[i, :i].mean() for i in range(1, n + 1)]), *style))
        first.append(Curve(name, x, mean[1:, 0], *style))
    words = "Mean accuracy on the tasks learned so far"
    return {
        "mean-accuracy": charts.curves(so_far, "tasks learned", "", words, y=(0, 1.02)),
        "first-task": charts.curves(first, "tasks learned", "", "Accuracy on the first task", y=(0, 1.02)),
    }


def pictures(run_folder: Path) -> list[Path]:
    """Write the curves of a run into its folder, as pictures of their own; their paths.

    Raises:
        NeurosimMissingError: no results there.
        NeurosimWriteError: as `files.replacing`.
    """
    metrics = table_of(files.read_json(run_folder / "metrics.json"))
    paths = []
    for name, chart in _charts([table_of(row) for row in list_of(metrics.get("rows"))]).items():
        paths.append(run_folder / f"{name}.svg")
        charts.write_picture(paths[-1], chart)
    return paths


def _measures(rows: Sequence[Json]) -> Section:
    title = "Measures"
    lead = "Mean over seeds and Student's 95 % interval of it. R[i,j] is the accuracy on task j after learning task i."
    heads: list[Child | Cell] = ["Learner", *(Cell("n", m.title) for m in MEASURES.values()), Cell("n", "Learning")]
    body: list[Sequence[Child | Cell]] = [
        (
            str(row.get("name")),
            *(parts.number_cell(_estimate(_measure(row, name))) for name in MEASURES),
            parts.number_cell(numbers.seconds(_mean(row.get("seconds")))),
        )
        for row in rows
    ]
    meanings = [(m.title, el("code", {}, m.formula), Cell("wide", m.meaning)) for m in MEASURES.values()]
    tables = [
        page.table("Every learner; learning takes so long for each seed", heads, body),
        page.table("What the measures are", ("Measure", "Formula", "Meaning"), meanings),
    ]
    return Section("measures", title, lead, tables if rows else page.notice("The run recorded no measures."))


def _estimate(found: Json) -> str:
    """0.912 +- 0.013, half of the interval."""
    mean, low, high = (number(found.get(key)) for key in ("mean", "low", "high"))
    if mean is None:
        return numbers.DASH
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} \N{PLUS-MINUS SIGN} {(high - low) / 2:.3f}"


def _mean(values: object) -> float | None:
    known = [v for v in map(number, list_of(values)) if v is not None]
    return float(np.mean(known)) if known else None


def _each(rows: Sequence[Json]) -> Section:
    """Every seed."""
    lead = "What the means are of."
    heads: list[Child | Cell] = ["Learner and seed", *(Cell("n", m.title) for m in MEASURES.values())]
    body: list[Sequence[Child | Cell]] = [
        (f"{row.get('name')}, seed {seed}", *(parts.number_cell(_decimals(table_of(e).get(m))) for m in MEASURES))
        for row in rows
        for seed, e in zip(list_of(row.get("seeds")), list_of(row.get("each")), strict=False)
    ]
    shown = el("details", {"class": "card"}, el("summary", {}, "Every seed"), page.table("Each seed", heads, body))
    return Section("seeds", "Seeds", lead, shown)


def _decimals(value: object) -> str:
    known = number(value)
    return numbers.DASH if known is None else f"{known:.4f}"
