"""The page of a linearisation: what each stage cost, its course, and the layers that were replaced."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from .....language.conversion.linearise.records import RECORDED
from ....report import charts
from ....report.charts import PALETTE, Curve
from ...frame.folder import RunFolder
from .overview import TITLES
from .result import LinearisationResult, LinearisationStage

MISSED = "Share of the outputs' power that is missed, summed over layers"
COURSES = {
    "match": f"{MISSED}, and the cross entropy of attention weights where it has a weight.",
    "layer": f"{MISSED}.",
    "tune": "Nats a token.",
}


def fill(folder: RunFolder, result: LinearisationResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    return {"figures": [(_course(stage), COURSES[stage.name]) for stage in result.stages if len(stage.losses) > 1]}


def _course(stage: LinearisationStage) -> Markup:
    # Each loss is the mean of `RECORDED` updates.
    x = RECORDED * np.arange(1, len(stage.losses) + 1, dtype=np.float64)
    curve = Curve("", x, np.array(stage.losses, np.float64), PALETTE[0])
    words = f"Loss against updates, {TITLES[stage.name]}"
    return charts.curves([curve], f"updates: {TITLES[stage.name]}", "loss", words)
