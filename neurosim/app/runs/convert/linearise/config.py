"""The config of a linearisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .....base.errors import lookup
from .....base.rules import Seed
from .....language.conversion.linearise.records import LinearisationSpec
from .....language.conversion.linearise.students import STUDENTS, parse_student_pattern
from .....language.conversion.settings import Coding
from ...frame.config import Energy, RunConfig, without_use
from ..config import CalibrationSettings, Text, unused_of_coding


@dataclass(frozen=True)
class StudentSettings:
    """The layers of the student.

    Attributes:
        pattern: kinds of attention, bottom to top, repeated over the depth: names of `STUDENTS`, or "keep" for a layer
            that stays as it is; "gla*3,keep".
        options: of the kinds of these students, by student.
    """

    pattern: str = "window_linear"
    options: dict[str, dict[str, bool | int | float | str | None]] | None = None


@dataclass(frozen=True, kw_only=True)
class LineariseConfig(RunConfig):
    """Everything that decides a linearisation's results.

    Attributes:
        seed: key of every random draw.
        text: the text; stages learn from what is before its held-out end, on which losses are reported.
        student: the layers of the student.
        stages: see `convert.linearise.records.LinearisationSpec`.
        coding: of the last stage, spikes; see `convert.Coding`.
        calibration: text for thresholds.
        energy: settings of the estimates.
    """

    seed: Seed = 0
    text: Text = Text(tokens=32768)
    student: StudentSettings = StudentSettings()
    stages: LinearisationSpec = LinearisationSpec()
    coding: Coding = Coding()
    calibration: CalibrationSettings = CalibrationSettings()
    energy: Energy = Energy()

    def pattern(self) -> tuple[str, ...]:
        """Return the kinds of the pattern."""
        return parse_student_pattern(self.student.pattern)

    def unused(self) -> Mapping[str, str]:
        unused = unused_of_coding(self.coding)
        if self.stages.tune.full:
            unused |= without_use("with stages.tune.full true", "stages.tune.rank", "stages.tune.alpha")
        return unused

    def check(self) -> None:
        self.pattern()
        for kind in self.student.options or {}:
            lookup(STUDENTS, kind, "student.options")


# The kind of run finds its settings by this name.
CONFIG = LineariseConfig
