"""The curve of a conversion: loss against spikes, operations and energy, over schemes and their strengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..convert import SCHEMES, Coding
from ..convert.comparison import compare_models
from ..convert.model import Calibration, calibrate_channels
from .convert import Job, Source, about, bar, finish, make, scores, started
from .convert_config import ConvertConfig
from .folder import CONVERT


def run_curve(path: Path, config: ConvertConfig, job: Job | None = None) -> dict[str, Any]:
    """Convert the model of a folder once for every scheme and strength; writes a run folder with the plots.

    Returns:
        What `metrics.json` holds: points, each with scheme, the strength asked for, loss, perplexity_increase,
        agreement, spikes, silent, operations and energies; and the dense model's loss, operations and energies beside.

    Raises:
        NeurosimError: as `run_convert`.
    """
    job = job or Job()
    with started(path, config, job, "curve") as (run, source):
        plan = list(codings(config))
        points = []
        known = _known(source, config, plan, job)
        with bar("curve", job.quiet) as report:
            for done, coding in enumerate(plan, 1):
                points.append(_point(source, config, coding, job, known))
                if report is not None:
                    report(done, len(plan))
        first = points[0]
        result = {
            "kind": CONVERT,
            "command_kind": "curve",
            **about(source, config),
            "tokens": first["tokens"],
            "dense_loss": first["dense_loss"],
            "dense_operations": first["dense_operations"],
            "points": points,
        }
        return finish(run, result, job)


def codings(config: ConvertConfig) -> Iterator[Coding]:
    """Every scheme at each of its strengths, each scheme's expansion its own unless the config names one."""
    strengths = {"k": config.curve.ks, "levels": config.curve.levels, "spikes": config.curve.spikes}
    for name in config.curve.schemes:
        scheme = SCHEMES[name]
        shrink = 0.0 if scheme.channel else config.coding.shrink
        for value in strengths[scheme.strength]:
            yield config.code(**{"scheme": name, scheme.strength: value, "shrink": shrink})


def _known(source: Source, config: ConvertConfig, plan: Sequence[Coding], job: Job) -> Calibration | None:
    """What all conversions with a threshold a channel share; they differ in spikes and scheme alone."""
    first = next((coding for coding in plan if SCHEMES[coding.scheme].channel), None)
    if first is None:
        return None
    sizes = config.calibration
    with job.clock("survey"):
        return calibrate_channels(source.model, first, source.learn, config.seed, sizes.windows, sizes.length)


def _point(
    source: Source, config: ConvertConfig, coding: Coding, job: Job, known: Calibration | None
) -> dict[str, Any]:
    with job.clock(coding.scheme):
        made = make(source, config, coding, job, known)
        with made.counting() as histograms:
            found = compare_models(source.model, made.model, source.held[: config.curve.tokens + 1])
    measured = scores(made, histograms, found.tokens, config.energy.profile)
    kept = ("spikes", "silent", "escaped", "by_expansion", "operations", "dense_operations", "baselines")
    return {
        "scheme": coding.scheme,
        "asked": getattr(coding, SCHEMES[coding.scheme].strength),
        "coding": asdict(coding),
        "sent_as": coding.sent_as,
        "tokens": found.tokens,
        "dense_loss": found.dense,
        "loss": found.spiking,
        "perplexity_increase": found.perplexity_increase,
        "agreement": found.agreement,
        **{name: measured[name] for name in kept},
    }
