"""The page of a dataset's run: recordings in, spikes, accuracy, measures and energy out."""

from __future__ import annotations

from collections.abc import Mapping

from ...report import numbers, recordings
from ..frame.folder import RunFolder
from .result import LiquidResult

# Names, units and meanings of the fields of `liquid.quality.Quality`; a field without a row is not shown.
QUALITY = {
    "mean_rate": ("Mean rate", "spikes/s", "Over neurons and test recordings."),
    "sd_rate": ("Spread of rates", "spikes/s", "Standard deviation over neurons."),
    "silent": ("Silent", "of neurons", "Never fired on any test recording."),
    "gain": ("Gain", "spikes/event", "Spikes out for each event in."),
    "spectral_radius": ("Spectral radius", "thresholds", "Largest eigenvalue of the recurrent weights, by magnitude."),
    "separation": (
        "Separation",
        "",
        "Mean distance of class means over 1 + the spread of a class (Norton & Ventura 2010).",
    ),
    "kernel_rank": (
        "Kernel rank",
        "",
        "Independent states half way through different recordings (Legenstein & Maass 2007).",
    ),
    "effective_rank": ("Effective rank", "", "The same, weak directions counting less (Roy & Vetterli 2007)."),
    "states": ("States ranked", "", "The highest rank there could be."),
}


def fill(folder: RunFolder, result: LiquidResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    examples, why = recordings.read_examples(folder.path, result.shown, result.classes, row_0=result.row_0)
    return {
        "quality": _quality_rows(result.liquid or {}),
        "shown": recordings.shown_examples(examples, why),
        "rates": recordings.rates(examples),
        "rates_words": f"Over the {len(examples)} recordings shown above.",
        "why": why,
    }


def _quality_rows(quality: Mapping[str, object]) -> list[tuple[str, str, str, str]]:
    """Return (name, unit, meaning, value) of each measure of the liquid."""
    rows = []
    for name, value in quality.items():
        if name not in QUALITY:
            continue
        title, unit, meaning = QUALITY[name]
        if name == "kernel_rank" and value == quality.get("states"):
            meaning += " It is the highest that so few recordings allow; more of them would tell liquids apart."
        rows.append((title, unit, meaning, numbers.plain(value)))
    return rows
