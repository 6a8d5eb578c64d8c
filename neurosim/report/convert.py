"""Write the page of a conversion: loss against spikes, operations and energy, layer by layer; of a curve; of a training
of a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from . import charts, numbers
from .charts import PALETTE, Curve, column
from .numbers import number
from .page import TEMPLATES, render
from .recordings import Figure
from .sections import Json, list_of, table_of, tables_of

WELL = 0.01  # increase of perplexity up to which the headline figure of a curve counts
DENSE = {"fp16": "dense, fp16", "int8": "dense, int8"}
KINDS = {"convert": "converted into spikes", "curve": "loss against spikes", "lm-train": "a byte-level language model"}


def render_page(run: Path, manifest: Json, metrics: Json) -> str:
    """Return the page of a run folder."""
    kind = str(metrics.get("command_kind", manifest.get("command_kind")))
    kinds = [str(name) for name in list_of(metrics.get("layer_kinds"))]
    return render(
        TEMPLATES / "convert.html",
        run,
        manifest,
        result=metrics,
        kind=kind,
        title=KINDS.get(kind, kind),
        stack=" and ".join(f"{kinds.count(name)} of {name}" for name in dict.fromkeys(kinds)),
        dense=DENSE,
        rise=_rise,
        **_VALUES.get(kind, lambda metrics: {})(metrics),
    )


def _rise(alone: object) -> str:
    """Return by how much the loss rises when a layer alone is in spikes."""
    loss, dense = (number(table_of(alone).get(name)) for name in ("loss", "dense_loss"))
    return numbers.DASH if loss is None or dense is None else f"{loss - dense:+.4f}"


def _convert(metrics: Json) -> dict[str, object]:
    layers, alone = tables_of(metrics.get("layers")), table_of(metrics.get("alone"))
    names = {layer.get("name") for layer in layers}
    x = np.arange(1, len(layers) + 1, dtype=np.float64)
    series = [
        Curve("spikes a channel", x, column(layers, "spikes"), PALETTE[0]),
        Curve("silent share", x, column(layers, "silent"), PALETTE[1]),
    ]
    words = "Spikes a channel and silent share of each layer"
    chart = charts.curves(series, "layer, from the input", "", words) if layers else None
    return {
        "layers": [(layer, alone.get(str(layer.get("name")))) for layer in layers],
        "others": [(name, entry) for name, entry in alone.items() if name not in names],
        "chart": chart,
    }


def _curve(metrics: Json) -> dict[str, object]:
    points = tables_of(metrics.get("points"))
    good = [p for p in points if (number(p.get("perplexity_increase")) or 0) <= WELL and number(p.get("spikes"))]
    best = min(good, key=lambda p: number(p.get("spikes")) or 0, default=None)
    return {"points": points, "best": best, "figures": figures_of(metrics) if points else []}


def figures_of(metrics: Json) -> list[Figure]:
    """Return (picture, caption) of loss against spikes, operations and energies."""
    points = tables_of(metrics.get("points"))
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


def _chart(points: Sequence[Json], value: Callable[[Json], object], scale: float, name: str, words: str) -> Markup:
    series = []
    for colour, scheme in zip(PALETTE, dict.fromkeys(str(p.get("scheme")) for p in points), strict=False):
        own = [p for p in points if p.get("scheme") == scheme]
        pairs = sorted((scale * (number(value(p)) or np.nan), number(p.get("perplexity_increase")) or 0.0) for p in own)
        x, y = (np.array(values, np.float64) for values in zip(*pairs, strict=True))
        series += [Curve(scheme, x, 100 * y, colour), Curve("", x, 100 * y, colour, "dots")]
    return charts.curves(series, name, "perplexity more, %", words, log_x=True)


def _middle(point: Json, estimate: str) -> float | None:
    found = table_of(table_of(point.get("baselines")).get(estimate))
    low, high = (number(found.get(end)) for end in ("low", "high"))
    return None if low is None or high is None else (low + high) / 2


def _training(metrics: Json) -> dict[str, object]:
    rows = tables_of(metrics.get("history"))
    x = column(rows, "step")
    series = [
        Curve("training", x, column(rows, "loss"), PALETTE[0]),
        Curve("held out", x, column(rows, "validation_loss"), PALETTE[1]),
    ]
    return {"chart": charts.curves(series, "updates", "nats a byte", "Loss against updates") if rows else None}


_VALUES: dict[str, Callable[[Json], dict[str, object]]] = {
    "convert": _convert,
    "curve": _curve,
    "lm-train": _training,
}
