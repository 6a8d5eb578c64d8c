"""The results of a conversion, of its curve, and of the training of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures
from ....language.conversion.records import Choice, EnergyComparison, ExecutionCheck, LayerCosts, Speed
from ..frame.kind import RunResult

Self = TypeVar("Self", bound="ConvertResult")


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The dense model, and the text it reads.

    Attributes:
        model: path of the dense model, and `network`, the name of its folder.
        layer_kinds: kind of attention of each layer.
        width, parameters: channels of the residual stream; number of weights.
        text: name of the text.
        unit: what a token is, "byte" or "token"; losses and costs are for each.
        bytes_per_token: mean length of a token of the held-out text; None of ids without a tokenizer.
    """

    model: str = ""
    network: str = ""
    layer_kinds: tuple[str, ...] = ()
    width: int | None = None
    parameters: int | None = None
    text: str = ""
    unit: str = "byte"
    bytes_per_token: float | None = None

    def per_byte(self, loss: float | None) -> float | None:
        """Return a loss a byte of text from one a token."""
        if loss is None or not self.bytes_per_token:
            return None
        return loss / self.bytes_per_token


@dataclass(frozen=True, kw_only=True)
class ConvertResult(ModelFacts, RunResult):
    """Results of the commands of `neurosim convert`; each command has a class of its own.

    Attributes:
        command_kind: "convert", "curve" or "lm-train".
    """

    kind: str = "convert"
    command_kind: str = ""
    seed: int | None = None

    @classmethod
    def from_dict(cls: type[Self], tree: Mapping[str, object]) -> Self:
        """Return the results that `to_dict` wrote, of the class of their command."""
        # Results of an unknown command are shown as far as all commands share their fields.
        own = _CLASSES.get(str(tree.get("command_kind")))
        return super(ConvertResult, own if own and issubclass(own, cls) else cls).from_dict(tree)


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Losses of a converted model and the dense one on the same text.

    Attributes:
        dense_loss, loss: mean loss of the dense and of the converted model, nats a token.
        agreement: fraction of tokens after which both models have the same likeliest token.
    """

    dense_loss: float | None = None
    loss: float | None = None
    agreement: float | None = None


@dataclass(frozen=True, kw_only=True)
class SpikingSummary(Losses):
    """Losses and costs of a converted model on `tokens` tokens of text.

    Attributes:
        perplexity_increase, perplexity_error: e^(difference of losses) - 1, and its standard error.
        coding, sent_as: all settings of the coding; the expansion that counts are written in.
        spikes: for each channel and token.
        silent, escaped: fraction of counts that are 0, and that the planes cannot hold.
        by_expansion: spikes for each channel and token, in each expansion.
        operations, dense_operations: additions, and multiply-adds of the dense model, for each token.
        baselines: energy for each token, beside dense networks.
    """

    tokens: int | None = None
    perplexity_increase: float | None = None
    perplexity_error: float | None = None
    coding: Mapping[str, object] = field(default_factory=dict)
    sent_as: str = ""
    spikes: float | None = None
    silent: float | None = None
    escaped: float | None = None
    by_expansion: Mapping[str, float] = field(default_factory=dict)
    operations: float | None = None
    dense_operations: float | None = None
    baselines: EnergyComparison | None = None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A part of a model whose input is not in spikes, and a description."""

    name: str
    what: str


@dataclass(frozen=True, kw_only=True)
class ConversionResult(SpikingSummary, ConvertResult):
    """Results of a conversion.

    Attributes:
        planes: of spikes that a count is sent in.
        scheme: in a sentence.
        choice: trials for a stated loss, of which the coding is one; None where none was stated.
        price: loss that a spike must save, for schemes that choose thresholds so.
        remarks: messages for the user.
        entries: number of counts that were compared.
        layers: costs of each linear layer.
        processes: the estimates of `baselines` in other processes.
        measures, energy: as `engine.measure` and `engine.energy` return them, of the linear layers and of the states
            between them; the operations and energies by layer, and beside dense networks, are of the linear layers.
        alone: losses with each layer alone in spikes, by its name, on `alone_tokens` tokens.
        execution: the same text with rows of weights added.
        speed: time of the compiled step; None where the settings ask for none, the model has none, or runs on a GPU.
        operators: parts that are not in spikes.
    """

    command_kind: str = "convert"
    planes: int | None = None
    scheme: str = ""
    choice: Choice | None = None
    price: float | None = None
    remarks: tuple[str, ...] = ()
    entries: int | None = None
    layers: tuple[LayerCosts, ...] = ()
    processes: tuple[EnergyComparison, ...] = ()
    measures: Measures | None = None
    energy: EnergyEstimates | None = None
    alone: Mapping[str, Losses] = field(default_factory=dict)
    alone_tokens: int | None = None
    execution: ExecutionCheck | None = None
    speed: Speed | None = None
    operators: tuple[Operator, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CurvePoint(SpikingSummary):
    """A conversion of the curve.

    Attributes:
        scheme: name of the scheme.
        strength: k, the largest count, or the mean spikes a channel that thresholds are set for: one for each scheme.
        measures: as in `ConversionResult`.
    """

    scheme: str
    strength: float
    measures: Measures | None = None


@dataclass(frozen=True, kw_only=True)
class CurveResult(ConvertResult):
    """Results of a curve, and the loss and multiply-adds a token of the dense model on `tokens` tokens."""

    command_kind: str = "curve"
    tokens: int | None = None
    dense_loss: float | None = None
    dense_operations: float | None = None
    points: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingPoint:
    """Mean loss since the point before, and on the held-out text, after `step` updates; nats a byte."""

    step: int
    loss: float
    validation_loss: float


@dataclass(frozen=True, kw_only=True)
class TrainingResult(ConvertResult):
    """Results of the training of a language model.

    Attributes:
        validation_loss, history: loss on the held-out text, nats a byte, and its course.
        remarks: work that is not counted.
        measures, energy: of the dense model on the beginning of the held-out text, a byte being a sample.
    """

    command_kind: str = "lm-train"
    validation_loss: float | None = None
    history: tuple[TrainingPoint, ...] = ()
    remarks: tuple[str, ...] = ()
    measures: Measures | None = None
    energy: EnergyEstimates | None = None


_CLASSES: Mapping[str, type[ConvertResult]] = {
    "convert": ConversionResult,
    "curve": CurveResult,
    "lm-train": TrainingResult,
}
