"""Settings and results of a linearisation; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from ....base.errors import lookup
from ....base.plain import Record
from ....base.rules import Count, LearningRate, Natural, Rule, check_rules
from ..records import Comparison

RECORDED = 25  # updates of a recorded loss


def _cosine(step: int, steps: int) -> float:
    """Return the share of the largest rate: it rises over a twentieth of the updates, then falls as a half cosine."""
    rise = max(1, steps // 20)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _wsd(step: int, steps: int) -> float:
    """Return the share of the largest rate: warm-up, stable, decay over 10, 80 and 10 % (Hu et al. 2024, MiniCPM)."""
    ends = max(1, steps // 10)
    return min(1.0, (step + 1) / ends, (steps - step) / ends)


# Share of the largest learning rate by (update, from 0; updates in all).
SCHEDULES: Mapping[str, Callable[[int, int], float]] = {"cosine": _cosine, "wsd": _wsd}


@dataclass(frozen=True)
class StageSpec:
    """Settings of a stage, trained by AdamW.

    Attributes:
        steps: number of updates; 0 leaves the stage out.
        batch: windows of an update.
        learning_rate: largest learning rate.
        schedule: course of the learning rate: 'cosine', or 'wsd', constant between a rise and a fall.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    steps: Natural = 300
    batch: Count = 8
    learning_rate: LearningRate = 1e-2
    schedule: Literal["cosine", "wsd"] = "cosine"

    def __post_init__(self) -> None:
        check_rules(self)
        lookup(SCHEDULES, self.schedule, "schedule")

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of update `step` (from 0)."""
        return self.learning_rate * SCHEDULES[self.schedule](step, self.steps)


@dataclass(frozen=True)
class MatchSpec(StageSpec):
    """Stage 1: parameters that the teacher does not have learn its layers' outputs, on the inputs of these layers.

    Attributes:
        attention: weight of a second loss, the cross entropy of the teacher's attention weights and the student's,
            nats a row (Hedgehog, Zhang et al. 2024, arXiv 2402.04347); 0 for students without attention weights.
    """

    attention: Annotated[float, Rule(">= 0 and finite")] = 0.0


@dataclass(frozen=True)
class LayerSpec(StageSpec):
    """Stage 2: all parameters of the replaced layers learn the outputs; students seeded without softmax need it."""

    steps: Natural = 0
    learning_rate: float = 5e-3


@dataclass(frozen=True)
class TuneSpec(StageSpec):
    """Stage 3: the whole model follows the teacher's predictions.

    Attributes:
        full: train all weights, in place of low-rank changes of the linear layers; then a lower rate is better, such as
            5e-5.
        rank: r of a low-rank change; alpha / r scales it.
    """

    learning_rate: float = 2e-3
    full: bool = False
    rank: Count = 8
    alpha: Annotated[float, Rule("> 0 and finite")] = 16.0


@dataclass(frozen=True)
class LinearisationSpec:
    """Settings of the stages.

    Attributes:
        length: tokens of a window, in training and in comparisons; each begins without context.
        match, layer, tune: the stages, in this order.
    """

    length: Annotated[int, Rule(">= 2 tokens")] = 256
    match: MatchSpec = MatchSpec()
    layer: LayerSpec = LayerSpec()
    tune: TuneSpec = TuneSpec()

    def __post_init__(self) -> None:
        check_rules(self)


@dataclass(frozen=True)
class StageProgress:
    """Progress within a stage: `done` of `total` updates, and the loss of the last one."""

    stage: str
    done: int
    total: int
    loss: float


@dataclass(kw_only=True)
class StageState:
    """Progress of a stage.

    Attributes:
        name: "match", "layer" or "tune".
        done: number of updates.
        losses: mean of every `RECORDED` updates.
        sum: sum of the losses since the last of them.
        seconds: wall-clock time, of all processes that worked on it.
        trained: number of parameters that it trains.
        comparison: with the teacher, at the end of the stage; None before.
        errors: share of the power of each replaced layer's output that the student misses, at the end of the stage.
    """

    name: str
    done: int = 0
    losses: list[float] = field(default_factory=list)
    sum: float = 0.0
    seconds: float = 0.0
    trained: int = 0
    comparison: Comparison | None = None
    errors: tuple[float, ...] = ()

    def add(self, loss: float) -> None:
        """Count an update and its loss."""
        self.done = self.done + 1
        self.sum = self.sum + loss
        if self.done % RECORDED == 0:
            self.losses.append(self.sum / RECORDED)
            self.sum = 0.0


@dataclass(kw_only=True)
class LinearisationState(Record):
    """Progress of a linearisation: the stages that have begun."""

    stages: list[StageState] = field(default_factory=list)
