"""Text that `neurosim convert ...` prints."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ....language.conversion.records import EnergyComparison
from ...report import numbers
from ..frame.tables import Rows, energy_rows, file_rows, grid, joules, quantity, table
from .result import ConversionResult, ConvertResult, CurvePoint, CurveResult, Operator, TrainingResult


def render(result: ConvertResult) -> str:
    """Return the figures of the command, and the files."""
    files = table(file_rows(result))
    if isinstance(result, ConversionResult):
        return f"{_conversion(result)}\n\n{files}"
    return f"{_curve(result) if isinstance(result, CurveResult) else _training(result)}\n\n{files}"


def _conversion(result: ConversionResult) -> str:
    scheme = result.coding["scheme"]
    head = f"{result.network}: {result.parameters:,} weights, scheme {scheme}, seed {result.seed}"
    others = ", ".join(f"{name} {value:.3f}" for name, value in result.by_expansion.items())
    unit = result.unit
    rows: Rows = [
        ("loss", f"{result.loss:.4f} nats a {unit}; dense {result.dense_loss:.4f}, on {result.tokens:,} {unit}s"),
        *_by_byte(result),
        ("perplexity", f"{_perplexity(result.loss)} a {unit}, {result.perplexity_increase:+.2%}"),
        (f"same next {unit}", f"{result.agreement:.1%}"),
        ("spikes a channel", f"{result.spikes:.3f} ({result.sent_as}); {others}"),
        ("silent", f"{result.silent:.1%} of channels; {result.escaped:.3%} escape {result.planes} planes"),
        ("operations", f"{quantity(result.operations)} a {unit}; dense {quantity(result.dense_operations)}"),
        *(_energies(result.baselines, unit) if result.baselines else ()),
    ]
    if result.execution:
        largest = result.execution.largest
        agreement = result.execution.agreement
        rows.append(("executed", f"largest difference of a logit {largest:.1e}, same next {unit} {agreement:.1%}"))
    dense = "; ".join(_grouped(result.operators))
    if result.speed:
        rows.append(("time", result.speed.sentence))
    return "\n".join([table(rows, head), "", f"  On floats: {dense}", *map("  {}".format, result.remarks)])


def _grouped(operators: Iterable[Operator]) -> list[str]:
    """Return the parts that are not in spikes, those of one description together, all by name."""
    groups: dict[str, list[str]] = {}
    for operator in operators:
        groups.setdefault(operator.what, []).append(operator.name)
    return [f"{what} ({', '.join(names)})" for what, names in groups.items()]


def _by_byte(result: ConversionResult) -> Rows:
    """Return the losses a byte of text, where tokens are longer."""
    if result.unit == "byte" or not result.bytes_per_token:
        return []
    own = result.per_byte(result.loss)
    dense = result.per_byte(result.dense_loss)
    return [("loss a byte", f"{own:.4f} nats; dense {dense:.4f}, at {result.bytes_per_token:.2f} bytes a token")]


def _perplexity(loss: float | None) -> str:
    if loss is None or loss > 50:
        return "-"
    return f"{math.exp(loss):.4g}"


def _energies(found: EnergyComparison, unit: str) -> Rows:
    rows = []
    for name, base, title in (
        ("compute_only", "compute_only", "energy, arithmetic"),
        ("memory_aware", "memory_aware", "with memory, sums too"),
        ("in_registers", "memory_aware", "with memory, sums in registers"),
    ):
        own = getattr(found, name)
        if own is None:
            rows.append((title, f"- ({found.reasons.get(name, 'not known')})"))
            continue
        beside = ", ".join(
            f"{joules(getattr(dense, base))} dense {kind} ({numbers.against(dense.saving.get(name))})"
            for kind, dense in (("fp16", found.fp16), ("int8", found.int8))
            if getattr(dense, base) is not None
        )
        rows.append((title, f"{joules(own)} a {unit}; {beside} (estimate, {found.profile})"))
    return rows


def _curve(result: CurveResult) -> str:
    unit = result.unit
    head = f"{result.network}: dense loss {result.dense_loss:.4f} nats a {unit} on {result.tokens:,} {unit}s"
    costs = (f"same {unit}", "operations", f"J/{unit}", "fp16")
    heads = ("scheme", "asked", "spikes", "silent", "loss", "perplexity", *costs)
    return f"{head}\n" + grid(heads, [_point(point) for point in result.points])


def _point(point: CurvePoint) -> tuple[str, ...]:
    energy = point.baselines
    joule = energy.compute_only if energy else None
    saved = energy.fp16.saving["compute_only"] if energy else None
    return (
        point.scheme,
        f"{point.asked:g}",
        f"{point.spikes:.3f}",
        f"{point.silent:.1%}",
        f"{point.loss:.4f}",
        f"{point.perplexity_increase:+.2%}",
        f"{point.agreement:.1%}",
        quantity(point.operations),
        "-" if joule is None else joules(joule),
        "-" if saved is None else numbers.against(saved),
    )


def _training(result: ConvertResult) -> str:
    assert isinstance(result, TrainingResult)
    head = f"{result.network}: {len(result.layer_kinds)} layers of {result.width}, seed {result.seed}"
    rows = [
        ("parameters", f"{result.parameters:,}"),
        ("text", result.text),
        ("validation loss", f"{result.validation_loss:.4f} nats a byte"),
        *energy_rows(result.energy, "a byte"),
        ("time", quantity(result.timings["total"], "s")),
    ]
    remarks = "".join(f"\n  {remark}" for remark in result.remarks)
    return f"{table(rows, head)}{remarks}\n\n  Next: neurosim convert {result.run} --scheme ternary --k 3"
