"""Results of comparisons and of counting costs, as runs and pages exchange them; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...base.measure.estimates import EnergyRange
from ...base.plain import Record


@dataclass(frozen=True)
class Comparison(Record):
    """Losses of two models on the same text.

    Attributes:
        tokens: number of predicted tokens.
        dense, spiking: mean loss, nats a token.
        agreement: share of tokens for which both models predict the same next token.
        error: standard error of the difference of the losses, from windows of text; None for fewer than two.
    """

    tokens: int
    dense: float
    spiking: float
    agreement: float
    error: float | None = None

    @property
    def perplexity_increase(self) -> float:
        """e^(difference of losses) - 1."""
        return math.expm1(self.spiking - self.dense)

    @property
    def perplexity_error(self) -> float | None:
        """Standard error of `perplexity_increase`, to first order."""
        return None if self.error is None else math.exp(self.spiking - self.dense) * self.error


@dataclass(frozen=True)
class Trial(Record):
    """A conversion at one strength of its scheme, tried on text for the choice of a coding.

    Attributes:
        strength: k, levels or spikes, whichever the scheme takes.
        spikes: for each channel and token.
        active: share of channels that are not silent.
        divergence: of the predictions from those of the dense model, nats a token.
        rise, error: measured rise of the loss, nats a token, and its standard error, at least that of independent
            tokens; None where it is not known.
        seconds: time of a compiled step; None where there is none.
        increase: of the perplexity, as a fraction, estimated from the divergence and the ratio of all trials.
    """

    strength: float
    spikes: float
    active: float
    divergence: float
    rise: float
    error: float | None = None
    seconds: float | None = None
    increase: float = math.nan

    def estimate(self, ratio: float) -> float:
        """Return the increase of the perplexity where the loss rises by `ratio` times the divergence."""
        return math.expm1(ratio * self.divergence)


@dataclass(frozen=True)
class Choice(Record):
    """Choice of the strength of a coding for a stated loss.

    Attributes:
        limit: largest increase of the perplexity, as a fraction.
        name: setting that was chosen: 'k', 'levels' or 'spikes'.
        tokens: number of tokens that every trial predicted; neither calibration nor the reported losses read them.
        trials: by strength.
        ratio: of the rise of the loss to the divergence, from all trials.
        strength: of the chosen one.
        met: whether it loses no more than `limit` on those tokens.
    """

    limit: float
    name: str
    tokens: int
    trials: tuple[Trial, ...]
    ratio: float
    strength: float
    met: bool


@dataclass(frozen=True)
class ExecutionCheck(Record):
    """A converted model, executed and simulated on the same tokens.

    Attributes:
        tokens: number of tokens.
        largest: difference between the logits of both, over the largest logit.
        agreement: share of tokens with the same likeliest next token.
        executed_seconds, simulated_seconds: times of all tokens, many at once, without the output layer.
        state: rows, bytes and operations for each token, lazily and densely, by mixer with a lazy state.
    """

    tokens: int
    largest: float
    agreement: float
    executed_seconds: float
    simulated_seconds: float
    state: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Speed(Record):
    """Time of a compiled step of one sequence: medians, seconds a token.

    Attributes:
        spiking, dense: times of the converted model, and of the same model on float32; None where it is not converted,
            or where the step on float32 was left out.
        threads: number of threads that shared the work.
        state_bytes: memory carried from token to token.
    """

    spiking: float | None
    dense: float | None
    threads: int
    state_bytes: int

    @property
    def sentence(self) -> str:
        """The times in words."""
        threads = "one thread" if self.threads == 1 else f"{self.threads} threads"
        times = []
        if self.spiking is not None:
            times.append(f"{1e3 * self.spiking:.3g} ms in spikes")
        if self.dense is not None:
            times.append(f"{1e3 * self.dense:.3g} ms dense (float32)")
        return f"{', '.join(times)}, a token at a time on {threads}"


@dataclass(frozen=True)
class DenseEnergy(Record):
    """Joules a token of the same layers as a dense network; None where an estimate is not known.

    Attributes:
        saving: 1 - energy in spikes / energy of the dense network, of the midpoints, by estimate.
    """

    compute_only: EnergyRange | None
    memory_aware: EnergyRange | None
    saving: Mapping[str, float | None]


@dataclass(frozen=True)
class EnergyComparison(Record):
    """Joules a token in spikes, and of the same layers as dense networks in fp16, int8 and int4.

    Attributes:
        compute_only, memory_aware: in spikes; None where not known.
        in_registers: `memory_aware` with sums in registers while the rows of a token are added, as a dense network's
            are; None where not known.
        profile, title: name and title of the energies of operations.
        reasons: why an estimate is not known, by estimate.
        int4: weights of 4 bits without the scales of their blocks, multiplied as int8 are; None in results of versions
            that did not estimate it.
    """

    compute_only: EnergyRange | None
    memory_aware: EnergyRange | None
    fp16: DenseEnergy
    int8: DenseEnergy
    profile: str
    title: str
    reasons: Mapping[str, str]
    in_registers: EnergyRange | None = None
    int4: DenseEnergy | None = None


@dataclass(frozen=True)
class SpikeTotals(Record):
    """Totals over the linear layers.

    Attributes:
        entries: channels x tokens.
        spikes: spikes for each entry, in the expansion in use.
        silent, escaped: shares of entries that are zero, and that are out of reach of the planes.
        by_expansion: spikes for each entry in every expansion that can write the counts.
    """

    entries: int
    spikes: float
    silent: float
    escaped: float
    by_expansion: Mapping[str, float]


@dataclass(frozen=True)
class LayerCosts(Record):
    """Costs of one layer.

    Attributes:
        spikes, silent, escaped: for each entry, as in `SpikeTotals`.
        operations, dense_operations: numbers of operations for each token of the text.
        bytes: bytes of weights for each token, where every spike reads a row.
        row_bytes: the same where a row is read once for all spikes of a count, as `spike_accumulate` does.
        dense_fp16_bytes: of the weights of the dense layer.
    """

    name: str
    inputs: int
    outputs: int
    spikes: float
    silent: float
    escaped: float
    operations: float
    dense_operations: float
    bytes: float
    row_bytes: float
    dense_fp16_bytes: float
    energy: EnergyComparison
