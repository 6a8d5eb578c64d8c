"""The page of a conversion: loss against spikes, operations and energy, layer by layer, and what stays on floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import charts, numbers, page, parts
from .charts import Curve
from .html import Child, Html
from .numbers import number
from .page import Cell, Section
from .parts import Json, list_of, number_cell, table_of
from .simulate import date

PERCENT = 100.0
ESTIMATES = {"compute_only": "Arithmetic alone", "memory_aware": "With memory"}
DENSE = {"fp16": "dense, fp16", "int8": "dense, int8"}
KINDS = {"convert": "converted into spikes", "curve": "loss against spikes", "lm-train": "a byte-level language model"}


def render(run: Path, manifest: Json, metrics: Json, config: str | None) -> str:
    """The whole page."""
    kind = str(metrics.get("command_kind", manifest.get("command_kind")))
    sections = [
        *_BODIES.get(kind, _nothing)(metrics),
        parts.provenance(manifest, metrics, config),
    ]
    return page.page(
        title=f"{metrics.get('network') or 'A model'}: {KINDS.get(kind, kind)}",
        kicker="neurosim convert",
        lead=_lead(manifest, metrics),
        headline=page.tiles(_TILES.get(kind, lambda m: [])(metrics)),
        sections=sections,
        foot=parts.foot(manifest, run.name),
    )


def _lead(manifest: Json, metrics: Json) -> str:
    kinds = [str(kind) for kind in list_of(metrics.get("layer_kinds"))]
    stack = " and ".join(f"{kinds.count(kind)} of {kind}" for kind in dict.fromkeys(kinds))
    words = [
        f"{numbers.plain(metrics.get('parameters'))} weights, layers: {stack}" if kinds else None,
        f"scheme: {str(metrics['scheme']).rstrip('.')}" if metrics.get("scheme") else None,
        f"text: {metrics.get('text')}" if metrics.get("text") else None,
        f"compared on {numbers.plain(metrics.get('tokens'))} bytes of its end" if metrics.get("tokens") else None,
        f"seed {metrics.get('seed', manifest.get('seed'))}",
        date(manifest.get("started")),
        f"the run failed: {manifest.get('reason')}" if manifest.get("status") == "failed" else None,
    ]
    return ", ".join(word for word in words if word) + "."


def _nothing(metrics: Json) -> list[Section]:
    return [Section("results", "Results", None, page.notice("The run ended before it had results."))]


def _signed(value: object, digits: int = 2) -> str:
    known = number(value)
    return numbers.DASH if known is None else f"{PERCENT * known:+.{digits}f}{numbers.THIN}%"


# --- a conversion


def _convert_tiles(metrics: Json) -> list[Child]:
    baselines = table_of(metrics.get("baselines"))
    saved = table_of(table_of(baselines.get("fp16")).get("saving"))
    losses = f"loss {numbers.plain(metrics.get('loss'))}, dense {numbers.plain(metrics.get('dense_loss'))} nats a byte"
    return [
        page.tile("Perplexity", _signed(metrics.get("perplexity_increase")), losses),
        page.tile("Same next byte", numbers.percent(metrics.get("agreement")), "as the dense model finds likeliest"),
        page.tile(
            "Spikes a channel",
            numbers.plain(metrics.get("spikes"), 3),
            f"{numbers.percent(metrics.get('silent'))} of channels are silent",
        ),
        page.tile(
            "Operations",
            numbers.si(metrics.get("operations")),
            f"additions a byte; dense {numbers.si(metrics.get('dense_operations'))} multiply-adds",
        ),
        page.tile(
            "Energy estimate",
            numbers.span(baselines.get("memory_aware"), "J"),
            f"a byte, memory included: {_signed(saved.get('memory_aware'), 0)} saved against dense fp16; "
            f"arithmetic alone {_signed(saved.get('compute_only'), 1)}",
        ),
    ]


def _convert_body(metrics: Json) -> list[Section]:
    return [
        *_remarks(metrics),
        _layers(metrics),
        _spikes(metrics),
        _baselines(metrics),
        _execution(metrics),
        _operators(metrics),
        parts.measures(metrics, "the tokens compared on"),
        parts.energy(metrics),
    ]


def _remarks(metrics: Json) -> list[Section]:
    said = [page.notice(str(line)) for line in list_of(metrics.get("remarks"))]
    return [Section("remarks", "Remarks", None, said)] if said else []


def _layers(metrics: Json) -> Section:
    rows = [table_of(row) for row in list_of(metrics.get("layers"))]
    each = table_of(metrics.get("alone"))
    lead = (
        "Every linear layer that is fed in spikes. Loss alone: by how much the loss rises when this layer alone is, "
        f"on {numbers.plain(metrics.get('alone_tokens'))} bytes."
    )
    if not rows:
        return Section("layers", "Layers", lead, page.notice("The run recorded no layers."))
    titles = (
        "Size",
        "Spikes",
        "Silent",
        "Loss alone",
        "Same byte",
        "Operations",
        "Bytes",
        "Bytes once",
        "Arithmetic",
        "With memory",
    )
    heads: list[Child | Cell] = ["Layer", *(Cell("n", title) for title in titles)]
    shown = [_layer(row, table_of(each.get(str(row.get("name"))))) for row in rows]
    caption = (
        "By layer and byte of text: operations, bytes of weights read (a row for every spike; once for all spikes of a "
        "count), and energy."
    )
    others = [name for name in each if name not in {row.get("name") for row in rows}]
    return Section("layers", "Layers", lead, [_bars(rows), page.table(caption, heads, shown), _others(each, others)])


def _others(alone: Json, names: Sequence[str]) -> Child:
    """What is in spikes besides linear layers: q, k and the state."""
    if not names:
        return None
    rows: list[Sequence[Child | Cell]] = [
        (
            name,
            number_cell(_rise(table_of(alone[name]))),
            number_cell(numbers.percent(table_of(alone[name]).get("agreement"))),
        )
        for name in names
    ]
    heads: list[Child | Cell] = ["In spikes", Cell("n", "Loss alone"), Cell("n", "Same byte")]
    return page.table("Where q, k and the state are coded", heads, rows)


def _rise(alone: Json) -> str:
    losses = [number(alone.get(name)) for name in ("loss", "dense_loss")]
    return numbers.DASH if None in losses else f"{(losses[0] or 0) - (losses[1] or 0):+.4f}"


def _layer(row: Json, alone: Json) -> Sequence[Child | Cell]:
    energy = table_of(row.get("energy"))
    cells = (
        f"{numbers.plain(row.get('inputs'))} to {numbers.plain(row.get('outputs'))}",
        numbers.plain(row.get("spikes"), 3),
        numbers.percent(row.get("silent")),
        _rise(alone),
        numbers.percent(alone.get("agreement")),
        numbers.si(row.get("operations")),
        numbers.si(row.get("bytes"), "B"),
        numbers.si(row.get("row_bytes"), "B"),
        *(numbers.span(energy.get(name), "J") for name in ESTIMATES),
    )
    return str(row.get("name")), *(number_cell(cell) for cell in cells)


def _bars(rows: Sequence[Json]) -> Html:
    """Spikes and silence over the depth of the model."""
    x = np.arange(1, len(rows) + 1, dtype=np.float64)
    series = [
        Curve("spikes a channel", x, _column(rows, "spikes"), charts.PALETTE[0]),
        Curve("silent share", x, _column(rows, "silent"), charts.PALETTE[1]),
    ]
    drawn = charts.curves(series, "layer, from the input", "", "Spikes a channel and silent share of each layer")
    return page.cards([page.figure(drawn, "Layers in the order of the table.")])


def _spikes(metrics: Json) -> Section:
    found = table_of(metrics.get("by_expansion"))
    rows: list[Sequence[Child | Cell]] = [(name, number_cell(numbers.plain(value, 3))) for name, value in found.items()]
    lead = (
        f"The same counts written in other spikes. In use: {metrics.get('sent_as')} in "
        f"{numbers.plain(metrics.get('planes'))} planes, which {numbers.percent(metrics.get('escaped'), 3)} of the "
        "counts escape."
    )
    heads: list[Child | Cell] = ["Expansion", Cell("n", "Spikes a channel")]
    body: Child = page.table("Spikes a channel and byte", heads, rows) if rows else page.notice("Not recorded.")
    return Section("expansions", "Expansions", lead, body)


def _baselines(metrics: Json) -> Section:
    found = table_of(metrics.get("baselines"))
    lead = "Estimates a byte of text, of the linear layers, beside dense networks of the same size; none was measured."
    if not found:
        return Section("baselines", "Against dense networks", lead, page.notice("The run recorded no estimates."))
    rows: list[Sequence[Child | Cell]] = [
        ("in spikes", *(number_cell(numbers.span(found.get(name), "J")) for name in ESTIMATES), "", "")
    ]
    for kind, title in DENSE.items():
        dense = table_of(found.get(kind))
        saving = table_of(dense.get("saving"))
        cells = [number_cell(numbers.span(dense.get(name), "J")) for name in ESTIMATES]
        rows.append((title, *cells, *(number_cell(_signed(saving.get(name), 1)) for name in ESTIMATES)))
    heads: list[Child | Cell] = ["Network", *(Cell("n", title) for title in ESTIMATES.values())]
    heads += [Cell("n", f"Saved, {title.lower()}") for title in ESTIMATES.values()]
    why = [page.notice(f"{name}: {words}") for name, words in table_of(found.get("reasons")).items()]
    return Section("baselines", "Against dense networks", lead, [page.table("Energy a byte", heads, rows), *why])


def _execution(metrics: Json) -> Section:
    found = table_of(metrics.get("execution"))
    lead = "The same bytes with spikes selecting rows of weights that are added, beside the simulated form on floats."
    if not found:
        return Section("execution", "Execution", lead, page.notice("The run executed nothing."))
    pairs: list[tuple[str, Child]] = [
        ("Bytes", numbers.plain(found.get("tokens"))),
        ("Largest difference of a logit, over the largest logit", numbers.plain(found.get("largest"), 2)),
        ("Same next byte", numbers.percent(found.get("agreement"), 2)),
        ("Executed in", numbers.seconds(found.get("executed_seconds"))),
        ("Simulated in", numbers.seconds(found.get("simulated_seconds"))),
    ]
    return Section(
        "execution", "Execution", lead, [page.cards([page.facts(pairs)]), _states(table_of(found.get("state")))]
    )


def _states(found: Json) -> Child:
    """States that were updated where q and k had spikes."""
    if not found:
        return None
    kinds = (("lazy_bytes", "B"), ("dense_bytes", "B"), ("operations", ""), ("dense_operations", ""))
    rows: list[Sequence[Child | Cell]] = [
        (name, *(number_cell(numbers.si(table_of(each).get(key), unit)) for key, unit in kinds))
        for name, each in found.items()
    ]
    titles = ("Bytes, lazily", "Bytes, densely", "Operations, lazily", "Operations, densely")
    heads: list[Child | Cell] = ["State", *(Cell("n", title) for title in titles)]
    return page.table("Updates of the states a byte of text", heads, rows)


def _operators(metrics: Json) -> Section:
    rows = [table_of(row) for row in list_of(metrics.get("operators"))]
    lead = "Whatever in the model is not fed in spikes, by name. None of it is in the counts above."
    shown = [(str(row.get("name")), str(row.get("what"))) for row in rows]
    body: Child = page.table("On floats", ("Part", "What it is"), shown) if rows else page.notice("Not recorded.")
    return Section("operators", "Not in spikes", lead, body)


# --- a curve


def _curve_tiles(metrics: Json) -> list[Child]:
    points = [table_of(point) for point in list_of(metrics.get("points"))]
    good = [p for p in points if (number(p.get("perplexity_increase")) or 0) <= 0.01 and number(p.get("spikes"))]
    best = min(good, key=lambda p: number(p.get("spikes")) or 0, default={})
    return [
        page.tile("Dense loss", numbers.plain(metrics.get("dense_loss")), "nats a byte"),
        page.tile(
            "Fewest spikes a channel",
            numbers.plain(best.get("spikes"), 3),
            f"at most 1{numbers.THIN}% perplexity more: {best.get('scheme', 'no point')}",
        ),
    ]


def _curve_body(metrics: Json) -> list[Section]:
    points = [table_of(point) for point in list_of(metrics.get("points"))]
    if not points:
        return _nothing(metrics)
    lead = "Each dot is a conversion: further down costs less loss, further left less of what the axis counts."
    figures = [page.figure(drawn, caption) for drawn, caption in figures_of(metrics)]
    return [Section("curve", "The curve", lead, page.cards(figures)), _points(points)]


def figures_of(metrics: Json) -> list[tuple[Html, str]]:
    """(picture, caption) of loss against spikes, operations and energies."""
    points = [table_of(point) for point in list_of(metrics.get("points"))]
    axes: list[tuple[Callable[[Json], object], float, str, str]] = [
        (lambda p: p.get("spikes"), 1.0, "spikes a channel", "Loss against spikes."),
        (lambda p: p.get("operations"), 1e-6, "million additions a byte", "Loss against operations."),
        (
            lambda p: _middle(p, "compute_only"),
            1e9,
            "nJ a byte, arithmetic alone",
            "Loss against energy of arithmetic.",
        ),
        (lambda p: _middle(p, "memory_aware"), 1e6, "\N{MICRO SIGN}J a byte", "Loss against energy, memory included."),
    ]
    return [(_chart(points, value, scale, name, caption), caption) for value, scale, name, caption in axes]


def _chart(points: Sequence[Json], value: Callable[[Json], object], scale: float, name: str, words: str) -> Html:
    series = []
    for colour, scheme in zip(charts.PALETTE, dict.fromkeys(str(p.get("scheme")) for p in points), strict=False):
        own = [p for p in points if p.get("scheme") == scheme]
        pairs = sorted((scale * (number(value(p)) or np.nan), number(p.get("perplexity_increase")) or 0.0) for p in own)
        x, y = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
        series += [Curve(scheme, x, PERCENT * y, colour), Curve("", x, PERCENT * y, colour, "dots")]
    return charts.curves(series, name, "perplexity more, %", words, log_x=True)


def _middle(point: Json, estimate: str) -> float | None:
    found = table_of(table_of(point.get("baselines")).get(estimate))
    ends = [number(found.get(end)) for end in ("low", "high")]
    return None if None in ends else sum(end or 0.0 for end in ends) / 2


def _points(points: Sequence[Json]) -> Section:
    titles = ("Asked", "Spikes", "Silent", "Loss", "Perplexity", "Same byte", "Operations", "Arithmetic", "With memory")
    heads: list[Child | Cell] = ["Scheme", *(Cell("n", title) for title in titles)]
    rows: list[Sequence[Child | Cell]] = [
        (
            str(p.get("scheme")),
            *(
                number_cell(cell)
                for cell in (
                    numbers.plain(p.get("asked"), 3),
                    numbers.plain(p.get("spikes"), 3),
                    numbers.percent(p.get("silent")),
                    numbers.plain(p.get("loss")),
                    _signed(p.get("perplexity_increase")),
                    numbers.percent(p.get("agreement")),
                    numbers.si(p.get("operations")),
                    *(numbers.span(table_of(p.get("baselines")).get(name), "J") for name in ESTIMATES),
                )
            ),
        )
        for p in points
    ]
    lead = "Asked: k, the largest count, or mean spikes a channel. Operations and energy a byte of text."
    return Section("points", "Points", lead, page.table("Every conversion of the curve", heads, rows))


# --- a training


def _train_tiles(metrics: Json) -> list[Child]:
    return [page.tile("Validation loss", numbers.plain(metrics.get("validation_loss")), "nats a byte")]


def _train_body(metrics: Json) -> list[Section]:
    rows = [table_of(row) for row in list_of(metrics.get("history"))]
    if not rows:
        return _nothing(metrics)
    x = _column(rows, "step")
    series = [
        Curve("training", x, _column(rows, "loss"), charts.PALETTE[0]),
        Curve("held out", x, _column(rows, "validation_loss"), charts.PALETTE[1]),
    ]
    drawn = charts.curves(series, "updates", "nats a byte", "Loss against updates")
    return [Section("course", "Training", "Loss on the text and on its held-out end.", page.cards([drawn]))]


def _column(rows: Sequence[Json], key: str) -> NDArray[np.float64]:
    values = [number(row.get(key)) for row in rows]
    return np.array([np.nan if value is None else value for value in values], np.float64)


_BODIES: dict[str, Callable[[Json], list[Section]]] = {
    "convert": _convert_body,
    "curve": _curve_body,
    "lm-train": _train_body,
}
_TILES: dict[str, Callable[[Json], list[Child]]] = {
    "convert": _convert_tiles,
    "curve": _curve_tiles,
    "lm-train": _train_tiles,
}
