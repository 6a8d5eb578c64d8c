"""Write the page of a simulation: recordings in, spikes, accuracy, measures and energy out."""

from __future__ import annotations

from pathlib import Path

from . import recordings
from .numbers import number
from .page import TEMPLATES, render
from .sections import Json, table_of, tables_of

# Names, units and meanings of the fields of `liquid.quality.Quality`.
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


def render_page(run: Path, manifest: Json, metrics: Json) -> str:
    """Return the page of a run folder."""
    shown, why = recordings.read(run, metrics.get("shown"), metrics.get("classes"))
    return render(
        TEMPLATES / "simulate.html",
        run,
        manifest,
        result=metrics,
        title=_title(metrics),
        quality=[(*QUALITY[name], value) for name, value in table_of(metrics.get("liquid")).items() if name in QUALITY],
        shown=shown,
        rates=recordings.rates(shown),
        why=why,
    )


def _title(metrics: Json) -> str:
    dataset = metrics.get("title") or metrics.get("dataset") or "A run"
    layers = tables_of(table_of(metrics.get("measures")).get("layers"))
    units = next((number(layer.get("outputs")) for layer in layers if layer.get("spiking")), None)
    return f"{dataset} through {units:,.0f} spiking neurons" if units else str(dataset)
