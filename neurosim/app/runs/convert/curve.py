"""The curve of a conversion: loss against spikes, operations and energy, over schemes and their strengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....language.conversion.coding import SCHEMES
from ....language.conversion.comparison import compare_models
from ....language.conversion.convert import Calibration, calibrate_channels
from ....language.conversion.settings import Coding
from ..frame.progress import bar
from .config import ConvertConfig
from .result import CurvePoint, CurveResult
from .run import ConvertRun, make, measured, summarise


def measure_curve(run: ConvertRun) -> CurveResult:
    """Convert a model once for every scheme and strength."""
    config = run.config
    source = run.inputs
    codings = list(curve_codings(config))
    calibration = _calibration(run, codings)
    points = []
    with bar("curve", "points", run.options.quiet) as report:
        for coding in codings:
            points.append(_point(run, coding, calibration))
            if report is not None:
                report(len(points), len(codings))
    # All points are measured on the same tokens, beside the same dense model.
    first = points[0]
    return CurveResult(
        **vars(source.facts()),
        seed=config.seed,
        tokens=first.tokens,
        dense_loss=first.dense_loss,
        dense_operations=first.dense_operations,
        points=tuple(points),
    )


def curve_codings(config: ConvertConfig) -> Iterator[Coding]:
    """Yield every scheme at each of its strengths, in the scheme's own expansion unless the config names one."""
    strengths = {"k": config.curve.ks, "levels": config.curve.levels, "spikes": config.curve.spikes}
    for name in config.curve.schemes:
        scheme = SCHEMES[name]
        # Schemes with a threshold for each channel calibrate their own shrinking, and refuse another.
        own: dict[str, object] = {"scheme": name, "shrink": 0.0 if scheme.channel else config.coding.shrink}
        # Price and balance are of schemes whose thresholds follow tokens.
        if not scheme.token:
            own |= {"price": 0.0, "balance": False}
        for value in strengths[scheme.strength]:
            yield config.code(**own, **{scheme.strength: value})


def _calibration(run: ConvertRun, codings: Sequence[Coding]) -> Calibration | None:
    """Return what all conversions with a threshold a channel share; they differ in spikes and scheme alone."""
    first = next((coding for coding in codings if SCHEMES[coding.scheme].channel), None)
    if first is None:
        return None
    config = run.config
    source = run.inputs
    sizes = config.calibration
    with run.time("survey"):
        return calibrate_channels(
            source.model,
            coding=first,
            tokens=source.learn,
            seed=config.seed,
            windows=sizes.windows,
            length=sizes.length,
        )


def _point(run: ConvertRun, coding: Coding, calibration: Calibration | None) -> CurvePoint:
    config = run.config
    source = run.inputs
    with run.time(coding.scheme):
        converted = make(run, coding, calibration)
        # One token more than is predicted: the first has none before it.
        with converted.counting() as histograms:
            comparison = compare_models(source.model, converted.model, source.held_out[: config.curve.tokens + 1])
    summary, layers = summarise(converted, histograms, comparison, config.energy.profile)
    return CurvePoint(
        **vars(summary),
        scheme=coding.scheme,
        strength=getattr(coding, SCHEMES[coding.scheme].strength),
        measures=measured(converted, histograms, layers, comparison.tokens),
    )
