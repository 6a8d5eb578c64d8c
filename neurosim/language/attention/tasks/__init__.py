"""Synthetic tasks that tell attention kinds apart: recall, tracking, counting, copying, fits in context and images."""

from __future__ import annotations

from .base import SequenceTask
from .episodes import EpisodeTask
from .pixels import Pixels
from .recall import JointRecall, RecallTask, SelectiveCopying
from .vectors import Outliers, Regression
from .words import Words

TASKS: dict[str, SequenceTask] = {
    "recall": RecallTask(),
    "joint": JointRecall(),
    "copying": SelectiveCopying(),
    "parity": Words(group="Z2", trained=(3, 40), sizes=(40, 256)),
    "counting": Words(group="Z5", trained=(3, 40), sizes=(40, 160)),
    "words": Words(),
    "regression": Regression(),
    "outliers": Outliers(),
    "episodes": EpisodeTask(),
    "pixels": Pixels(),
}
