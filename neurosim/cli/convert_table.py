"""What `neurosim convert ...` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runs.tables import grid, joules, quantity
from .common import table

Result = Mapping[str, Any]


def convert_table(result: Result, page: Path) -> str:
    """The figures of a run, and where to look."""
    text = _TABLES[result["command_kind"]](result)
    return f"{text}\n\n" + table([("run", result["run"]), ("report", str(page))])


def _converted(result: Result) -> str:
    coding, execution = result["coding"], result["execution"]
    head = f"{result['network']}: {result['parameters']:,} weights, scheme {coding['scheme']}, seed {result['seed']}"
    others = ", ".join(f"{name} {value:.3f}" for name, value in result["by_expansion"].items())
    rows = [
        ("loss", f"{result['loss']:.4f} nats a byte; dense {result['dense_loss']:.4f}, on {result['tokens']:,} bytes"),
        ("perplexity", f"{result['perplexity_increase']:+.2%}"),
        ("same next byte", f"{result['agreement']:.1%}"),
        ("spikes a channel", f"{result['spikes']:.3f} ({result['sent_as']}); {others}"),
        ("silent", f"{result['silent']:.1%} of channels; {result['escaped']:.3%} escape {result['planes']} planes"),
        ("operations", f"{quantity(result['operations'])} a byte; dense {quantity(result['dense_operations'])}"),
        *_energies(result["baselines"]),
        (
            "executed",
            f"largest difference of a logit {execution['largest']:.1e}, same next byte {execution['agreement']:.1%}",
        ),
    ]
    dense = _kinds(result["operators"])
    return "\n".join(
        [table(rows, head), "", "  On floats: " + "; ".join(dense), *map("  {}".format, result["remarks"])]
    )


def _kinds(operators: Sequence[Mapping[str, str]]) -> list[str]:
    """What is not in spikes, alike operators together, all by name."""
    groups: dict[str, list[str]] = {}
    for operator in operators:
        groups.setdefault(operator["what"], []).append(operator["name"])
    return [f"{what} ({', '.join(names)})" for what, names in groups.items()]


def _energies(found: Result) -> list[tuple[str, str]]:
    rows = []
    for name, title in (("compute_only", "energy, arithmetic"), ("memory_aware", "energy, with memory")):
        if found[name] is None:
            rows.append((title, f"- ({found['reasons'].get(name, 'not known')})"))
            continue
        beside = ", ".join(
            f"{joules(found[kind][name])} dense {kind} ({found[kind]['saving'][name]:+.1%} saved)"
            for kind in ("fp16", "int8")
            if found[kind][name] is not None
        )
        rows.append((title, f"{joules(found[name])} a byte; {beside} (estimate, {found['profile']})"))
    return rows


def _curve(result: Result) -> str:
    head = f"{result['network']}: dense loss {result['dense_loss']:.4f} nats a byte on {result['tokens']:,} bytes"
    heads = ("scheme", "asked", "spikes", "silent", "loss", "perplexity", "same byte", "operations", "J/byte", "fp16")
    rows = [_point(point) for point in result["points"]]
    return f"{head}\n" + grid(heads, rows)


def _point(point: Result) -> Sequence[str]:
    energy = point["baselines"]
    known = energy["compute_only"]
    saved = energy["fp16"]["saving"]["compute_only"]
    return (
        point["scheme"],
        f"{point['asked']:g}",
        f"{point['spikes']:.3f}",
        f"{point['silent']:.1%}",
        f"{point['loss']:.4f}",
        f"{point['perplexity_increase']:+.2%}",
        f"{point['agreement']:.1%}",
        quantity(point["operations"]),
        "-" if known is None else joules(known),
        "-" if saved is None else f"{saved:+.1%}",
    )


def _trained(result: Result) -> str:
    head = f"{result['network']}: {len(result['layer_kinds'])} layers of {result['width']}, seed {result['seed']}"
    rows = [
        ("parameters", f"{result['parameters']:,}"),
        ("text", result["text"]),
        ("validation loss", f"{result['validation_loss']:.4f} nats a byte"),
        ("time", quantity(result["timings"]["total"], "s")),
    ]
    return f"{table(rows, head)}\n\n  Next: neurosim convert {result['run']} --scheme ternary --k 3"


_TABLES: Mapping[str, Callable[[Result], str]] = {"convert": _converted, "curve": _curve, "lm-train": _trained}
