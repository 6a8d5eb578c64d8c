"""Settings and results of a linearisation; needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

from ....base.plain import Record
from ....base.rules import Count, Natural, Rule, check_rules
from ..records import Comparison

RECORDED = 25  # updates of a recorded loss


@dataclass(frozen=True)
class StageSpec:
    """Settings of a stage: AdamW; the learning rate rises over a twentieth of the updates, then falls as a cosine.

    Attributes:
        steps: number of updates; 0 leaves the stage out.
        batch: windows of an update.
        learning_rate: largest learning rate.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    steps: Natural = 300
    batch: Count = 8
    learning_rate: Annotated[float, Rule("> 0 and finite")] = 1e-2

    def __post_init__(self) -> None:
        check_rules(self)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of update `step` (from 0)."""
        rise = max(1, self.steps // 20)
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))


@dataclass(frozen=True)
class MatchSpec(StageSpec):
    """Stage 1: the outputs of each replaced layer follow the teacher's, on the teacher's inputs.

    Attributes:
        whole: train all parameters of the layers, not only those that the teacher does not have.
    """

    whole: bool = False


@dataclass(frozen=True)
class TuneSpec(StageSpec):
    """Stage 2: the whole model follows the teacher's predictions, by low-rank changes of its linear layers.

    Attributes:
        rank: r of a change; alpha / r scales it.
    """

    learning_rate: float = 2e-3
    rank: Count = 8
    alpha: Annotated[float, Rule("> 0 and finite")] = 16.0


@dataclass(frozen=True)
class LinearisationSpec:
    """Settings of both stages.

    Attributes:
        length: tokens of a window, in training and in comparisons; each begins without context.
        match, tune: the stages.
    """

    length: Annotated[int, Rule(">= 2 tokens")] = 256
    match: MatchSpec = MatchSpec()
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
        name: "match" or "tune".
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
