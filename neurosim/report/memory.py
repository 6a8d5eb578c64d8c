"""The page of a memory's run: codes, similarity, familiarity, noise, capacity, classes, measures and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import NeurosimError
from . import charts, numbers, page, parts, plots
from .charts import Curve, Group
from .html import Child, Html, el
from .numbers import number
from .page import Section
from .parts import Json, list_of, table_of
from .png import data_uri, tint
from .simulate import date, energy_note

PICTURES = "pictures.safetensors"
INK = (106, 79, 179)
CODE_WIDTH, CODE_HEIGHT = 300.0, 170.0
Arrays = Mapping[str, NDArray]
GROUPS = {
    "stored": ("stored items", "var(--accent)"),
    "noisy": ("the same, 30 % of their bits moved", "var(--on)"),
    "new": ("new items", "var(--spike)"),
    "random": ("random bits", "var(--faint)"),
}
KINDS = {
    "store": "stored in one pass",
    "recall": "recalled from a memory",
    "capacity": "what a memory holds",
    "noise": "recall under noise",
    "familiarity": "known and new",
}


def render(run: Path, manifest: Json, metrics: Json, config: str | None) -> str:
    """The whole page."""
    arrays, why = _read(run)
    sections = [
        *_remarks(metrics),
        _codes(arrays, metrics, why),
        _similarity(arrays, why),
        _familiarity(arrays, metrics, why),
        *([_noise(metrics)] if "noise" in metrics else []),
        *([_growth(metrics)] if "growth" in metrics else []),
        parts.confusion(metrics),
        parts.measures(metrics),
        parts.energy(metrics),
        parts.provenance(manifest, metrics, config),
    ]
    return page.page(
        title=_title(metrics),
        kicker="neurosim memory",
        lead=_lead(manifest, metrics),
        headline=page.tiles(_tiles(metrics)),
        sections=sections,
        foot=parts.foot(manifest, run.name),
    )


def _read(run: Path) -> tuple[Arrays, str]:
    try:
        return files.read_arrays(run / PICTURES), ""
    except NeurosimError as error:
        return {}, f"What is drawn here cannot be read: {error}"


def _remarks(metrics: Json) -> list[Section]:
    """What was said while it ran: more is stored than is recalled well."""
    said = [page.notice(str(line)) for line in list_of(metrics.get("warnings"))]
    return [Section("remarks", "Remarks", None, said)] if said else []


def _title(metrics: Json) -> str:
    dataset, what = metrics.get("title") or metrics.get("dataset") or "A memory", metrics.get("command_kind")
    name = str(dataset).split(":", maxsplit=1)[0]
    return f"{name}: {KINDS[str(what)]}" if what in KINDS else name


def _lead(manifest: Json, metrics: Json) -> str:
    column = table_of(metrics.get("column"))
    words = [
        f"{numbers.plain(metrics.get('stored'))} items in a macrocolumn of {numbers.plain(column.get('modules'))} "
        f"modules of {numbers.plain(column.get('units'))} units",
        f"each item {numbers.plain(column.get('active'))} of {numbers.plain(column.get('inputs'))} bits",
        f"seed {metrics.get('seed', manifest.get('seed'))}",
        date(manifest.get("started")),
        f"the run failed: {manifest.get('reason')}" if manifest.get("status") == "failed" else None,
    ]
    return ", ".join(word for word in words if word) + "."


def _tiles(metrics: Json) -> list[Child]:
    familiar = table_of(table_of(metrics.get("familiarity")).get("new"))
    operations, energy = table_of(table_of(metrics.get("operations")).get("recall")), table_of(metrics.get("energy"))
    ends = list_of(metrics.get("confidence_interval"))
    between = f"95{numbers.THIN}% between {numbers.percent(ends[0])} and {numbers.percent(ends[1])}" if ends else ""
    return [
        page.tile(
            "Stored items recalled",
            numbers.percent(metrics.get("recall")),
            f"of winners; {numbers.percent(metrics.get('exact'))} of whole codes",
        ),
        page.tile("Accuracy", numbers.percent(metrics.get("accuracy")), between),
        page.tile(
            "Known from new",
            _decimals(familiar.get("separation")),
            "chance that a stored item is the more familiar of the two",
        ),
        page.tile(
            "A recall reads",
            numbers.si(operations.get("words")),
            "words of 64 weights, however many items are stored",
        ),
        page.tile("Energy estimate", numbers.span(energy.get("memory_aware"), "J"), energy_note(energy)),
    ]


def _codes(arrays: Arrays, metrics: Json, why: str) -> Section:
    title = "Codes"
    needed = ("shown_codes", "shown_noisy_codes", "shown_labels")
    if not all(name in arrays for name in needed):
        return Section("codes", title, None, page.notice(why or "The run kept no codes."))
    classes = [str(name) for name in list_of(metrics.get("classes"))]
    units = int(number(table_of(metrics.get("column")).get("units")) or 1)
    lead = (
        "The code an item was stored with: one winner in each module (dots), and where recalling it with 30 % of its "
        "active bits moved gave another winner (rings)."
    )
    cards = []
    for k, label in enumerate(arrays["shown_labels"]):
        stored, noisy = arrays["shown_codes"][k], arrays["shown_noisy_codes"][k]
        name = classes[label] if 0 <= label < len(classes) else str(label)
        same = int(np.count_nonzero(stored == noisy))
        picture = _picture(arrays["shown_inputs"][k], name) if "shown_inputs" in arrays else None
        words = f"{same} of {len(stored)} winners are the same under noise"
        card = el("h3", {}, name, el("span", {"class": "tag"}, words))
        drawn = el("div", {"style": "flex:1 1 14rem"}, _code(stored, noisy, units, name))
        row = el("div", {"style": "display:flex;flex-wrap:wrap;gap:1rem;align-items:center"}, picture, drawn)
        cards.append(el("article", {"class": "card"}, card, row))
    return Section("codes", title, lead, page.cards(cards))


def _picture(values: NDArray[np.float32], name: str) -> Html:
    height, width = values.shape
    top = float(values.max(initial=0.0)) or 1.0
    attributes = {
        "src": data_uri(tint(np.sqrt(values / top), INK)),
        "alt": f"{name}: what was stored",
        "width": width,
        "height": height,
        "style": "image-rendering:pixelated;width:8.5rem;height:8.5rem;object-fit:fill",
    }
    return el("img", attributes)


def _code(stored: NDArray[np.int32], noisy: NDArray[np.int32], units: int, name: str) -> Html:
    """Modules to the right, units upwards."""
    box = plots.Box(30, 8, CODE_WIDTH - 34, CODE_HEIGHT - 40, (0, max(len(stored) - 1, 1)), (0, max(units - 1, 1)))
    foot = box.top + box.height
    parts_: list[Child] = [
        plots.rule(box.left, foot + 5, box.left + box.width, foot + 5, "axis"),
        plots.label(box.left - 6, box.top + 6, str(units - 1), "end"),
        plots.label(box.left - 6, foot + 3, "0", "end"),
        plots.label(box.left, foot + 20, "module 0"),
        plots.label(box.left + box.width, foot + 20, str(len(stored) - 1), "end"),
    ]
    for q, (a, b) in enumerate(zip(stored, noisy, strict=True)):
        x = box.across(q)
        if b != a and b >= 0:
            ring = {"cx": x, "cy": box.down(float(b)), "r": 3.4}
            parts_.append(el("circle", {**ring, "style": "fill:none;stroke:var(--on);stroke-width:1.4"}))
        if a >= 0:
            parts_.append(el("circle", {"cx": x, "cy": box.down(float(a)), "r": 3, "style": "fill:var(--spike)"}))
    return plots.svg(CODE_HEIGHT, f"{name}: winning unit of each module", parts_, width=CODE_WIDTH)


def _similarity(arrays: Arrays, why: str) -> Section:
    title = "Similarity"
    if "similarity_inputs" not in arrays or not arrays["similarity_inputs"].size:
        return Section("similarity", title, None, page.notice(why or "The run kept no pairs of items."))
    x, y = arrays["similarity_inputs"], arrays["similarity_codes"]
    edges = np.linspace(0, 1, 21)
    which = np.clip(np.digitize(x, edges) - 1, 0, len(edges) - 2)
    full = np.unique(which)
    means = Curve(
        "mean",
        np.array([x[which == k].mean() for k in full]),
        np.array([y[which == k].mean() for k in full]),
        "var(--accent)",
    )
    pairs = Curve("a pair of stored items", x, y, "var(--spike)", "dots")
    words = "Share of winners two codes have in common against share of active bits of their items"
    drawn = [charts.curves([pairs, means], "shared active bits", "shared winners", words, y=(0, 1.02))]
    captions = [f"{len(x):,} pairs of stored items: nearest neighbours, pairs of one class, any pairs."]
    if "similarity_noisy_inputs" in arrays:
        x, y = arrays["similarity_noisy_inputs"], arrays["similarity_noisy_codes"]
        steps = np.unique(x)
        dots = Curve("an item and itself under noise", x, y, "var(--on)", "dots")
        mean = Curve("mean", steps, np.array([y[x == step].mean() for step in steps]), "var(--accent)")
        words = "Share of winners of a stored item that are recalled against share of its active bits shown"
        drawn.append(charts.curves([dots, mean], "shared active bits", "shared winners", words, y=(0, 1.02)))
        captions.append("A stored item, and what is recalled of it with some of its bits moved.")
    lead = (
        "How alike two items are, and how alike their codes. What is recalled under noise falls to the code that was "
        "stored; items stored one after the other share winners where they are alike enough, and how much that is "
        "follows from column.exponent."
    )
    shown = page.cards(page.figure(chart, caption) for chart, caption in zip(drawn, captions, strict=True))
    return Section("similarity", title, lead, shown)


def _familiarity(arrays: Arrays, metrics: Json, why: str) -> Section:
    title, found = "Familiarity", table_of(metrics.get("familiarity"))
    groups = [
        Group(words, arrays[f"familiarity_{name}"], colour)
        for name, (words, colour) in GROUPS.items()
        if f"familiarity_{name}" in arrays
    ]
    if not groups:
        return Section("familiarity", title, None, page.notice(why or "The run kept no familiarities."))
    lead = (
        "How well the best unit of each module fits an item, before any answer is compared: 1 is a full match. From "
        f"{numbers.plain(metrics.get('threshold'), 3)} on an item counts as known."
    )
    drawn = charts.histograms(groups, "familiarity", "Histograms of familiarity: stored, noisy, new and random items")
    rows = [
        (
            GROUPS[name][0],
            parts.number_cell(numbers.plain(entry.get("items"))),
            parts.number_cell(numbers.plain(entry.get("mean"), 3)),
            parts.number_cell(numbers.percent(entry.get("known"))),
            parts.number_cell(_decimals(entry.get("separation"))),
        )
        for name, entry in ((name, table_of(found.get(name))) for name in GROUPS)
        if entry
    ]
    titles = ("How many", "Mean", "Known", "Told from stored")
    heads: list[Child | page.Cell] = ["Items", *(page.Cell("n", words) for words in titles)]
    caption = "Familiarity of each group; the last column is the area under the ROC curve, 1 where no two overlap."
    shown = page.cards([page.figure(drawn, "Share of each group's items."), *_roc(arrays)])
    return Section("familiarity", title, lead, [shown, page.table(caption, heads, rows)])


def _roc(arrays: Arrays) -> list[Child]:
    """How many stored items are known against how many others are taken for it, at every threshold."""
    known = np.sort(arrays["familiarity_stored"]) if "familiarity_stored" in arrays else np.empty(0)
    series = []
    for name in ("noisy", "new", "random"):
        others = arrays.get(f"familiarity_{name}", np.empty(0))
        if known.size and others.size:
            levels = np.unique(np.concatenate([known, others, [np.inf]]))[::-1]
            hits = 1 - np.searchsorted(known, levels, "left") / known.size
            false = 1 - np.searchsorted(np.sort(others), levels, "left") / others.size
            series.append(Curve(GROUPS[name][0], false, hits, GROUPS[name][1]))
    if not series:
        return []
    words = "Stored items known against others taken for known, at every threshold"
    drawn = charts.curves(series, "others taken for known", "stored items known", words, y=(0, 1.02))
    return [page.figure(drawn, "At every threshold: a curve along the top left corner tells all of them apart.")]


def _noise(metrics: Json) -> Section:
    rows = [table_of(row) for row in list_of(metrics.get("noise"))]
    x = _column(rows, "noise")
    series = [
        Curve("winners as stored", x, _column(rows, "recall"), charts.PALETTE[0]),
        Curve("whole codes", x, _column(rows, "exact"), charts.PALETTE[1]),
        Curve("class read from the code", x, _column(rows, "accuracy"), charts.PALETTE[2]),
    ]
    drawn = charts.curves(series, "active bits moved", "", "Recall against noise", y=(0, 1.02))
    table = page.table(
        "Recall of stored items under noise",
        ("Bits moved", *(page.Cell("n", w) for w in ("Winners", "Whole codes", "Class", "Familiarity", "Known"))),
        [
            (
                numbers.percent(row.get("noise"), 0),
                *(parts.number_cell(numbers.percent(row.get(key))) for key in ("recall", "exact", "accuracy")),
                parts.number_cell(numbers.plain(row.get("familiarity"), 3)),
                parts.number_cell(numbers.percent(row.get("known"))),
            )
            for row in rows
        ],
    )
    lead = "Stored items with a share of their active bits moved to places that were off."
    sure = [
        Curve("familiarity", x, _column(rows, "familiarity"), charts.PALETTE[3]),
        Curve("taken for known", x, _column(rows, "known"), charts.PALETTE[4]),
    ]
    beside = charts.curves(sure, "active bits moved", "", "Familiarity against noise", y=(0, 1.02))
    shown = page.cards([page.figure(drawn, "What is recalled."), page.figure(beside, "How sure the memory is of it.")])
    return Section("noise", "Noise", lead, [shown, table])


def _growth(metrics: Json) -> Section:
    rows = [table_of(row) for row in list_of(metrics.get("growth"))]
    random = [table_of(row) for row in list_of(metrics.get("random"))]
    lead = (
        "While more was stored: what a recall gives back, and what it costs. Operations do not depend on how many "
        "items are stored; time is processor time on this machine."
    )
    if len(rows) < 2 and not random:
        return Section("growth", "Growth", lead, page.notice("Measured at one number of items only; see 'store'."))
    of = ", random items" if random else ""
    figures = [
        page.figure(
            _recalled(rows, random),
            "Winners recalled as stored. Theory is of random items whose codes are drawn independently; when most "
            "weights are on, everything looks somewhat familiar, codes are drawn together, and less is recalled.",
        ),
        page.figure(_filled(rows, random), "Weights that are on."),
        page.figure(_per_item(random or rows, "_operations", "words of 64 weights"), f"Operations an item{of}."),
        page.figure(_per_item(random or rows, "_seconds", "\N{MICRO SIGN}s", 1e6), f"Processor time an item{of}."),
    ]
    return Section("growth", "Growth", lead, page.cards(figures))


def _recalled(rows: Sequence[Json], random: Sequence[Json]) -> Html:
    series = [Curve("items of the dataset", _column(rows, "stored"), _column(rows, "recall"), charts.PALETTE[0])]
    if random:
        name = "random items"
        series.append(Curve(name, _column(random, "stored"), _column(random, "recall"), charts.PALETTE[1], "dots"))
    far = random or rows
    expected = Curve("theory", _column(far, "stored"), _column(far, "expected"), charts.PALETTE[3], "dashed")
    words = "Winners recalled against items stored"
    return charts.curves([*series, expected], "items stored", "winners as stored", words, y=(0, 1.02), log_x=True)


def _filled(rows: Sequence[Json], random: Sequence[Json]) -> Html:
    series = [Curve("items of the dataset", _column(rows, "stored"), _column(rows, "filled"), charts.PALETTE[0])]
    if random:
        series.append(
            Curve("random items", _column(random, "stored"), _column(random, "filled"), charts.PALETTE[1], "dots")
        )
    words = "Fraction of weights that are on against items stored"
    return charts.curves(series, "items stored", "weights on", words, y=(0, 1.02), log_x=True)


def _per_item(rows: Sequence[Json], kind: str, name: str, scale: float = 1.0) -> Html:
    stored = _column(rows, "stored")
    series = [
        Curve("store", stored, scale * _column(rows, f"store{kind}"), charts.PALETTE[0]),
        Curve("recall", stored, scale * _column(rows, f"recall{kind}"), charts.PALETTE[1]),
    ]
    return charts.curves(series, "items stored", name, f"{name} an item against items stored", log_x=True)


def _decimals(value: object) -> str:
    """Four decimals: 1.0000 is not quite 1."""
    known = number(value)
    return numbers.DASH if known is None else f"{known:.4f}"


def _column(rows: Sequence[Json], key: str) -> NDArray[np.float64]:
    return np.array([number(row.get(key)) if number(row.get(key)) is not None else np.nan for row in rows], np.float64)
