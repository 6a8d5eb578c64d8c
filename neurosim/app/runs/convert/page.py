"""The page of a conversion: loss against spikes, operations and energy, layer by layer; of a curve; of a training
of a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from ....language.conversion.records import EnergyComparison
from ...report import charts, numbers
from ...report.charts import PALETTE, Curve, column
from ...report.recordings import Figure
from ..frame.folder import RunFolder
from .result import ConversionResult, ConvertResult, CurvePoint, CurveResult, Losses, TrainingResult

WELL = 0.01  # increase of perplexity up to which the headline figure of a curve counts
DEARER = {
    "compute_only": "in arithmetic alone",
    "memory_aware": "where sums stay in memory",
    "in_registers": "where sums stay in registers",
}
DENSE = {"fp16": "dense, fp16", "int8": "dense, int8"}
KINDS = {"convert": "converted into spikes", "curve": "loss against spikes", "lm-train": "a byte-level language model"}


def fill(folder: RunFolder, result: ConvertResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    kind = result.command_kind or str(folder.manifest.facts.get("command_kind"))
    if isinstance(result, ConversionResult):
        values = _conversion(result)
    elif isinstance(result, CurveResult):
        values = _curve(result)
    elif isinstance(result, TrainingResult):
        values = _training(result)
    else:
        values = {}
    return {
        "kind": kind,
        "title": KINDS.get(kind, kind),
        "stack": " and ".join(
            f"{result.layer_kinds.count(name)} of {name}" for name in dict.fromkeys(result.layer_kinds)
        ),
        "dense": DENSE,
        "rise": _rise,
        "unit": result.unit,
        "by_byte": _by_byte(result),
        **values,
    }


def _by_byte(result: ConvertResult) -> str:
    """Return the losses a byte of text, where tokens are longer."""
    if result.unit == "byte" or not isinstance(result, ConversionResult) or not result.bytes_per_token:
        return ""
    own, dense = (numbers.plain(result.per_byte(loss)) for loss in (result.loss, result.dense_loss))
    return f", {own} and {dense} a byte"


def _rise(alone: Losses | None) -> str:
    """Return by how much the loss rises if a layer alone is in spikes."""
    if alone is None or alone.loss is None or alone.dense_loss is None:
        return numbers.DASH
    return f"{alone.loss - alone.dense_loss:+.4f}"


def _loss_alone(result: ConversionResult) -> str:
    """Return what the losses of layers alone are, or how they are measured where they were not."""
    if not result.alone:
        return "The loss with each layer alone in spikes was not measured; --set report.layer_tokens=1024 measures it."
    tokens = f"{numbers.plain(result.alone_tokens)} {result.unit}s"
    return f"Loss alone: by how much the loss rises if this layer alone is in spikes, on {tokens}."


def dearer(found: EnergyComparison | None) -> list[str]:
    """Return a sentence for each estimate in which spikes cost more than a dense network."""
    sentences = []
    for name, words in DEARER.items() if found else ():
        more = {
            f"dense {kind}": numbers.against(saving)
            for kind in DENSE
            if (saving := getattr(found, kind).saving.get(name)) is not None and saving < 0
        }
        if more:
            beside = " and ".join(f"{ratio} than {kind}" for kind, ratio in more.items())
            sentences.append(f"Spikes cost more energy {words}: {beside} (estimates).")
    return sentences


def _conversion(result: ConversionResult) -> dict[str, object]:
    layers = result.layers
    x = np.arange(1, len(layers) + 1, dtype=np.float64)
    series = [
        Curve("spikes a channel", x, column(layers, "spikes"), PALETTE[0]),
        Curve("silent share", x, column(layers, "silent"), PALETTE[1]),
    ]
    words = "Spikes a channel and silent share of each layer"
    names = {layer.name for layer in layers}
    return {
        "dearer": dearer(result.baselines),
        "loss_alone": _loss_alone(result),
        "layers": [(layer, result.alone.get(layer.name)) for layer in layers],
        "others": [(name, alone) for name, alone in result.alone.items() if name not in names],
        "chart": charts.curves(series, "layer, from the input", "", words, width=charts.WIDE) if layers else None,
    }


def _curve(result: CurveResult) -> dict[str, object]:
    good = [point for point in result.points if (point.perplexity_increase or 0) <= WELL and point.spikes]
    best = min(good, key=lambda point: point.spikes or 0, default=None)
    return {"best": best, "figures": figures_of(result.points, result.unit) if result.points else []}


def figures_of(points: Sequence[CurvePoint], unit: str = "byte") -> list[Figure]:
    """Return (picture, caption) of loss against spikes, operations and energies."""
    axes: list[tuple[Callable[[CurvePoint], float | None], float, str, str]] = [
        (lambda p: p.spikes, 1.0, "spikes a channel", "Loss against spikes."),
        (lambda p: p.operations, 1e-6, f"million additions a {unit}", "Loss against operations."),
        (
            lambda p: _middle(p, "compute_only"),
            1e9,
            f"nJ a {unit}, arithmetic alone",
            "Loss against energy of arithmetic.",
        ),
        (
            lambda p: _middle(p, "memory_aware"),
            1e6,
            f"\N{MICRO SIGN}J a {unit}",
            "Loss against energy, memory included.",
        ),
    ]
    return [(_chart(points, value, scale, name, caption), caption) for value, scale, name, caption in axes]


def _chart(
    points: Sequence[CurvePoint], value: Callable[[CurvePoint], float | None], scale: float, name: str, words: str
) -> Markup:
    series = []
    for colour, scheme in zip(PALETTE, dict.fromkeys(point.scheme for point in points), strict=False):
        own = [point for point in points if point.scheme == scheme]
        pairs = sorted((scale * (value(point) or np.nan), point.perplexity_increase or 0.0) for point in own)
        x, y = (np.array(values, np.float64) for values in zip(*pairs, strict=True))
        series += [Curve(scheme, x, 100 * y, colour), Curve("", x, 100 * y, colour, "dots")]
    return charts.curves(series, name, "perplexity more, %", words, log_x=True)


def _middle(point: CurvePoint, estimate: str) -> float | None:
    found = getattr(point.baselines, estimate, None)
    return None if found is None else (found.low + found.high) / 2


def _training(result: TrainingResult) -> dict[str, object]:
    rows = result.history
    series = [
        Curve("training", column(rows, "step"), column(rows, "loss"), PALETTE[0]),
        Curve("held out", column(rows, "step"), column(rows, "validation_loss"), PALETTE[1]),
    ]
    words = "Loss against updates"
    return {"chart": charts.curves(series, "updates", "nats a byte", words, width=charts.WIDE) if rows else None}
