"""The config of a comparison of attention kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ....base.errors import lookup
from ....base.plain import from_plain, to_plain
from ....base.rules import Count, NotEmpty, Seed
from ....language.attention.kinds import KINDS
from ....language.attention.model import MixerSpec
from ....language.attention.patterns import parse_layers
from ....language.attention.probe import ProbeTraining
from ....language.attention.tasks import TASKS
from ....language.attention.tasks.base import SequenceTask
from ..frame.config import RunConfig, without_use


@dataclass(frozen=True)
class TaskSettings:
    """The task.

    Attributes:
        name: of the task, in `attention.tasks.TASKS`.
        options: of that task, such as `trained` and `sizes`, the sizes that models are trained and tested on.
    """

    name: str = "recall"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeSettings:
    """The models.

    Attributes:
        kinds: a name of `attention.kinds.KINDS`, a preset of `attention.patterns` ("based") or a hybrid of both, bottom
            to top ("gla*3+window"), for each model.
        options: of these kinds, by kind; they replace those of a preset.
        layers: number of layers, over which a hybrid is repeated. Default: once the hybrid.
        width: channels of the residual stream.
        hidden: channels of the feed-forward layers; none without.
    """

    kinds: Annotated[tuple[str, ...], NotEmpty()] = ("softmax", "gla", "deltanet")
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    layers: Count | None = None
    width: Count = 64
    hidden: Count | None = None


@dataclass(frozen=True, kw_only=True)
class AttentionConfig(RunConfig):
    """Everything that decides the results of a comparison of attention kinds.

    Attributes:
        seed: of the first model of each kind; the others have the seeds that follow.
        seeds: number of models of each kind.
        task: the task.
        model: the models.
        training: see `attention.probe.ProbeTraining`.
    """

    seed: Seed = 0
    seeds: Count = 3
    task: TaskSettings = TaskSettings()
    model: ProbeSettings = ProbeSettings()
    training: ProbeTraining = ProbeTraining()

    def build_task(self) -> SequenceTask:
        """Return the task.

        Raises:
            NeurosimInputError: no such task or option, or one that breaks its rule.
        """
        task = lookup(TASKS, self.task.name, "task.name")
        options: Mapping[str, object] = {**to_plain(task), **self.task.options}
        return from_plain(type(task), options, "task.options")

    def layers(self, kinds: str) -> tuple[MixerSpec, ...]:
        """Return the mixers of a model, bottom to top.

        Raises:
            NeurosimInputError: an unknown kind.
        """
        # Commas separate models on the command line, so that a hybrid has plus signs: "gla*3+window".
        layers = parse_layers(kinds.replace("+", ","), KINDS, "model.kinds")
        specs = [MixerSpec(name, {**options, **self.model.options.get(name, {})}) for name, options in layers]
        return tuple(specs[i % len(specs)] for i in range(self.model.layers or len(specs)))

    def unused(self) -> Mapping[str, str]:
        if self.training.synthetic:
            return {}
        return without_use("with training.synthetic false", "training.predictor_steps")

    def check(self) -> None:
        self.build_task()
        for kinds in self.model.kinds:
            self.layers(kinds)
        for kind in self.model.options:
            lookup(KINDS, kind, "model.options")


# The kind of run finds its settings by this name.
CONFIG = AttentionConfig
