"""The results of a comparison of attention kinds."""

from __future__ import annotations

from dataclasses import dataclass

from ..frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class TrainedProbe:
    """A trained model of a kind.

    Attributes:
        seed: of weights and batches.
        scores: at each tested size.
        losses: of the training, each the mean of 25 updates.
        seconds: wall-clock time of the training.
    """

    seed: int = 0
    scores: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class KindResult:
    """The models of a kind.

    Attributes:
        name: the kind, or the hybrid.
        layers: kind of each layer.
        parameters: of a model.
        state_bytes: carried from token to token of one sequence, at the end of one of the largest tested size.
        models: one a seed.
    """

    name: str
    layers: tuple[str, ...] = ()
    parameters: int = 0
    state_bytes: int = 0
    models: tuple[TrainedProbe, ...] = ()

    @property
    def means(self) -> tuple[float, ...]:
        """Means of the scores over seeds, by size."""
        return tuple(sum(each) / len(each) for each in zip(*(model.scores for model in self.models), strict=True))

    @property
    def cells(self) -> tuple[str, ...]:
        """Mean, lowest and highest score over seeds, by size, in words."""
        each = zip(self.means, *(model.scores for model in self.models), strict=True)
        return tuple(f"{mean:.3f} ({min(scores):.3f} to {max(scores):.3f})" for mean, *scores in each)


@dataclass(frozen=True, kw_only=True)
class ReferenceResult:
    """Scores of a known algorithm, such as least squares.

    Attributes:
        name: its name.
        scores: at each tested size.
    """

    name: str
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AttentionResult(RunResult):
    """The results of a comparison of attention kinds.

    Attributes:
        task, measure: name of the task; "accuracy" or "error".
        size_name: what a size is.
        trained: lowest and highest size in training.
        sizes: tested ones.
        chance: score of guessing; None where it is not known.
        seed: of the first model of each kind.
        steps: updates of each training.
        kinds: results by kind.
        references: scores of known algorithms; empty where the task has none.
    """

    kind: str = "attention"
    task: str = ""
    measure: str = "accuracy"
    size_name: str = "tokens"
    trained: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    chance: float | None = None
    seed: int | None = None
    steps: int = 0
    kinds: tuple[KindResult, ...] = ()
    references: tuple[ReferenceResult, ...] = ()
