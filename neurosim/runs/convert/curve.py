"""The curve of a conversion: loss against spikes, operations and energy, over schemes and their strengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...convert import SCHEMES, Calibration, Coding, calibrate_channels
from ...convert.comparison import compare_models
from ..frame.lifecycle import finish
from ..frame.options import DEFAULTS, RunOptions
from ..frame.progress import bar
from ..frame.timings import Timings
from . import KIND
from .config import ConvertConfig
from .result import CurvePoint, CurveResult
from .run import ConversionSource, begin, make, measured, summarise


def measure_curve(path: Path, config: ConvertConfig, options: RunOptions = DEFAULTS) -> CurveResult:
    """Convert the model of a folder once for every scheme and strength; write a run folder with the plots.

    Raises:
        NeurosimError: what is wrong with the model, the text, a setting or the disk.
    """
    timings = Timings()
    codings = list(curve_codings(config))
    with begin(path, config, codings, options, timings, "curve") as (folder, source):

        def work() -> CurveResult:
            calibration = _calibration(source, config, codings, timings)
            points = []
            with bar("curve", "points", options.quiet) as report:
                for coding in codings:
                    points.append(_point(source, config, coding, options, timings, calibration))
                    if report is not None:
                        report(len(points), len(codings))
            first = points[0]
            return CurveResult(
                **vars(source.facts()),
                seed=config.seed,
                tokens=first.tokens,
                dense_loss=first.dense_loss,
                dense_operations=first.dense_operations,
                points=tuple(points),
            )

        return finish(KIND, folder, work, timings)


def curve_codings(config: ConvertConfig) -> Iterator[Coding]:
    """Yield every scheme at each of its strengths, in the scheme's own expansion unless the config names one."""
    strengths = {"k": config.curve.ks, "levels": config.curve.levels, "spikes": config.curve.spikes}
    for name in config.curve.schemes:
        scheme = SCHEMES[name]
        shrink = 0.0 if scheme.channel else config.coding.shrink
        for value in strengths[scheme.strength]:
            yield config.code(**{"scheme": name, scheme.strength: value, "shrink": shrink})


def _calibration(
    source: ConversionSource, config: ConvertConfig, codings: Sequence[Coding], timings: Timings
) -> Calibration | None:
    """Return what all conversions with a threshold a channel share; they differ in spikes and scheme alone."""
    first = next((coding for coding in codings if SCHEMES[coding.scheme].channel), None)
    if first is None:
        return None
    sizes = config.calibration
    with timings("survey"):
        return calibrate_channels(source.model, first, source.learn, config.seed, sizes.windows, sizes.length)


def _point(
    source: ConversionSource,
    config: ConvertConfig,
    coding: Coding,
    options: RunOptions,
    timings: Timings,
    calibration: Calibration | None,
) -> CurvePoint:
    with timings(coding.scheme):
        converted = make(source, config, coding, options, timings, calibration)
        with converted.counting() as histograms:
            found = compare_models(source.model, converted.model, source.held_out[: config.curve.tokens + 1])
    summary, layers = summarise(converted, histograms, found, config.energy.profile)
    return CurvePoint(
        **vars(summary),
        scheme=coding.scheme,
        asked=getattr(coding, SCHEMES[coding.scheme].strength),
        measures=measured(converted, histograms, layers, found.tokens),
    )
