"""The learners by name; each is imported when it is used, because some need torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....base import plugins
from ....base.distribution import install
from ....base.errors import NeurosimMissingError, lookup, require
from ....base.plugins import first_line
from ..learner import Learner


@dataclass(frozen=True)
class LearnerEntry:
    """Module and class of a learner, and its line in a list.

    Attributes:
        task_free: its `TASK_FREE`.
        owner: the class of a learner of others.
        reference: whether it is a reference for learners: its training has an end of its own, whatever their budget.
    """

    module: str
    name: str
    title: str
    task_free: bool = False
    owner: type[Learner] | None = None
    reference: bool = False


def _plugin(name: str, plugin: Any) -> LearnerEntry:
    owner = plugins.subclass("learners", name, plugin, Learner)
    require(hasattr(owner, "SETTINGS"), f"plugin learners '{name}'", "must have SETTINGS, a frozen dataclass", owner)
    return LearnerEntry(
        module="", name=name, title=first_line(owner.__doc__) or name, task_free=owner.TASK_FREE, owner=owner
    )


_OWN: Mapping[str, LearnerEntry] = {
    "nearest_mean": LearnerEntry("sums", "NearestMean", "baseline: the class whose mean is nearest", task_free=True),
    "slda": LearnerEntry(
        "sums", "StreamingLDA", "baseline: linear discriminants of the inputs, from sums", task_free=True
    ),
    "random_features": LearnerEntry(
        "sums", "RandomFeatures", "baseline: random ReLU features and ridge regression, from sums", task_free=True
    ),
    "random_filters": LearnerEntry(
        "sums",
        "RandomFilters",
        "baseline: random filters on a picture, pooled, and ridge regression, from sums",
        task_free=True,
    ),
    "plain": LearnerEntry("plain", "Plain", "spiking net, nothing against forgetting: the baseline", task_free=True),
    "joint": LearnerEntry(
        "joint", "Joint", "spiking net trained on all tasks met so far, as `neurosim train` trains", reference=True
    ),
    "replay": LearnerEntry("replay", "Replay", "the same net, a few items of earlier tasks learned again"),
    "latent": LearnerEntry("latent", "LatentReplay", "the same net, spike counts of its first layer learned again"),
    "derpp": LearnerEntry(
        "replay", "DarkReplay", "the same net, stored items with their scores: DER++", task_free=True
    ),
    "lwf": LearnerEntry("distillation", "LearningWithoutForgetting", "the same net, its earlier answers kept: LwF"),
    "gpm": LearnerEntry("gradient_projection", "GradientProjection", "the same net, steps in unused directions: GPM"),
    "ewc": LearnerEntry("penalties", "Ewc", "the same net, elastic weight consolidation"),
    "sema": LearnerEntry("adapters", "Adapters", "a frozen spiking net that grows adapters where items are new: SEMA"),
    "si": LearnerEntry("penalties", "SynapticIntelligence", "the same net, synaptic intelligence"),
    "hypernetwork": LearnerEntry("hypernetwork", "Hypernetwork", "a net that writes the spiking net of each task"),
    "hlop": LearnerEntry("hlop", "Hlop", "spiking net, Hebbian orthogonal projection: new tasks in unused directions"),
    "dendrites": LearnerEntry("dendrites", "Dendrites", "active dendrites, a segment a task"),
    "macrocolumn": LearnerEntry(
        "macrocolumn", "SingleTrial", "macrocolumns: single trial, nothing replayed", task_free=True
    ),
    "patches": LearnerEntry(
        "patches", "Patches", "patches of the first items, shared by all places, and a growing readout", task_free=True
    ),
    "liquid": LearnerEntry("liquid", "LiquidReadout", "liquid and a growing readout, nothing replayed", task_free=True),
    "projected": LearnerEntry(
        "projected", "Projected", "liquid and a readout learning in the engine, orthogonally projected"
    ),
}
LEARNERS: plugins.Extended[LearnerEntry] = plugins.Extended("learners", _OWN, _plugin)


def kind(name: str) -> Any:
    """Return the class of a learner: `kind("plain")(problem, kind("plain").SETTINGS())`.

    Raises:
        NeurosimInputError: there is no such learner.
        NeurosimMissingError: it needs torch, which is not installed.
    """
    entry = lookup(LEARNERS, name, "learner")
    if entry.owner is not None:
        return entry.owner
    try:
        return getattr(importlib.import_module(f".{entry.module}", __name__), entry.name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise NeurosimMissingError(f"learner {name}: needs torch ({error}); run: {install('train')}") from None
