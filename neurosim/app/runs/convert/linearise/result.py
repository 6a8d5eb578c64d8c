"""The results of a linearisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .....base.measure.estimates import EnergyEstimates
from .....base.measure.measures import Measures
from .....language.conversion.records import EnergyComparison
from ...frame.kind import RunResult
from ..result import ModelFacts

SPIKING = "spiking"  # folder of the model in spikes


@dataclass(frozen=True, kw_only=True)
class LinearisationStage:
    """A model on the way from softmax to spikes, and the cost of the stage that made it.

    Attributes:
        name: "softmax", the teacher; "match", "layer" and "tune", linear; "spikes", converted.
        loss: nats a token, on the held-out text.
        perplexity_increase: e^(loss - loss of the teacher) - 1.
        agreement: share of tokens for which the model and the teacher find the same next token likeliest.
        state_bytes: carried from token to token, of one sequence at the end of a window.
        seconds: wall-clock time of the stage.
        updates, trained: of the stage, and the number of parameters that they train.
        losses: of the stage's training, each the mean of 25 updates.
        errors: share of the power of each replaced layer's output that the student misses.
    """

    name: str = ""
    loss: float | None = None
    perplexity_increase: float | None = None
    agreement: float | None = None
    state_bytes: int | None = None
    seconds: float | None = None
    updates: int = 0
    trained: int = 0
    losses: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LinearisationResult(ModelFacts, RunResult):
    """Results of a linearisation.

    Attributes:
        student_kinds: kind of attention of each layer of the student.
        replaced: numbers of the layers that were softmax attention.
        length: tokens of a window, each of which begins without context.
        tokens: held-out tokens that losses are of.
        stages: from the teacher to spikes.
        conversion_increase: e^(loss in spikes - loss before) - 1.
        coding: settings of the spike coding.
        spikes, silent: spikes for each channel and token; share of counts that are 0.
        operations, dense_operations: additions in spikes, and multiply-adds of the dense student, for each token.
        baselines: energy for each token, beside dense networks.
        measures, energy: of the model in spikes, its linear layers and the states between them.
        remarks: messages for the user.
    """

    kind: str = "linearise"
    seed: int | None = None
    student_kinds: tuple[str, ...] = ()
    replaced: tuple[int, ...] = ()
    length: int | None = None
    tokens: int | None = None
    stages: tuple[LinearisationStage, ...] = ()
    conversion_increase: float | None = None
    coding: Mapping[str, object] | None = None
    spikes: float | None = None
    silent: float | None = None
    operations: float | None = None
    dense_operations: float | None = None
    baselines: EnergyComparison | None = None
    measures: Measures | None = None
    energy: EnergyEstimates | None = None
    remarks: tuple[str, ...] = ()
