"""Trained linear readout: scores of a recording grow window by window, and the class with the largest score spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.measure.work import LayerCounts
from ...base.rules import Positive, Rule
from ...network.windowed import Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of
from .features import INPUT, Features, feature_rules

# Bound of a score in a saved state.
MAX_SCORE = 1e300


class _Settings(Protocol):
    @property
    def features(self) -> str: ...
    @property
    def windows(self) -> int | tuple[int, ...]: ...
    @property
    def timing(self) -> str: ...


class TrainedWeights(Protocol):
    """Attributes of a trained readout that `LinearReadout.from_trained` reads; see `learning.TrainedReadout`."""

    @property
    def readout(self) -> _Settings: ...
    @property
    def labels(self) -> NDArray[Any]: ...
    @property
    def weights(self) -> NDArray[Any]: ...
    @property
    def bias(self) -> NDArray[Any]: ...
    @property
    def hidden_weights(self) -> NDArray[Any] | None: ...


@final
@dataclass(frozen=True, eq=False)
class LinearReadout(WindowModel):
    """Scores s = bias + sum_k W_k x_k over the windows k of a recording; the unit of the largest score spikes.

    x_k are the features of the spikes in window k: with c spikes of an input, gain c ("counts") or gain sqrt(c)
    ("roots"); or gain z ("traces") with z = decay z + c. Windows after the last share its features: counts go on, and
    traces stay up to date. At the end of every window the unit of the largest score so far spikes, on ties the first.

    Attributes:
        weights: [classes, windows, inputs] float32.
        bias: [classes] float64; None: 0.
        features: see above.
        decay: factor by which a trace falls in a window, exp(-window / tau).
        gain: see above.
        labels: [classes] label of each unit, for readers of the spikes; None: its number.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    weights: NDArray[Any]
    bias: NDArray[Any] | None = None
    features: Literal["counts", "roots", "traces"] = "counts"
    decay: Annotated[float, Rule(">= 0 and < 1")] = 0.0
    gain: Positive = 1.0
    labels: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        weights = np.ascontiguousarray(self.weights, np.float32)
        good = weights.ndim == 3 and weights.size > 0
        require(good, "LinearReadout.weights", "must be [classes, windows, inputs]", list(np.shape(self.weights)))
        object.__setattr__(self, "weights", weights)
        if self.bias is None:
            bias = np.zeros(len(weights))
        else:
            bias = np.asarray(self.bias, np.float64)
        object.__setattr__(self, "bias", bias)
        for name in ("weights", "bias", "labels"):
            value = getattr(self, name)
            if value is not None:
                shape = np.shape(value)
                require(
                    shape[:1] == (len(weights),), f"LinearReadout.{name}", f"must hold {len(weights)} classes", shape
                )
                require(bool(np.isfinite(value).all()), f"LinearReadout.{name}", "must be finite", "NaN or infinity")
        require(bias.ndim == 1, "LinearReadout.bias", "must be [classes]", list(bias.shape))
        object.__setattr__(self, "_rules", feature_rules(self))

    @classmethod
    def from_trained(cls, trained: TrainedWeights) -> LinearReadout:
        """Return the readout with the weights of a `neurosim.learning.TrainedReadout` ("ridge" or "logistic").

        Its features must be counts, in windows of a fixed place: `Readout(windows=8, timing="duration")`. With a
        population window of duration / windows the scores at the end of a recording equal the trained readout's.

        Raises:
            NeurosimInputError: a hidden layer, traces, several cuts, or windows that follow the activity.
        """
        settings = trained.readout
        name = "LinearReadout.from_trained"
        if trained.hidden_weights is not None:
            raise NeurosimInputError(f"{name}: needs a linear readout (got one with a hidden layer); fit 'ridge'")
        require(settings.features == "counts", name, "needs features 'counts'", settings.features)
        rule = "needs windows of a fixed place; fit the readout with timing='duration'"
        require(settings.timing == "duration", name, rule, settings.timing)
        if isinstance(settings.windows, int):
            cuts: tuple[int, ...] = (settings.windows,)
        else:
            cuts = settings.windows
        require(len(cuts) == 1, name, "needs one number of windows", cuts)
        weights = trained.weights.reshape(len(trained.weights), cuts[0], -1)
        # The counts of a liquid's readout are square roots.
        return cls(weights, trained.bias, features="roots", labels=trained.labels)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.weights.shape[2]

    @property
    def windows(self) -> int:
        """Number of windows with weights of their own."""
        return self.weights.shape[1]

    @property
    def receptors(self) -> Mapping[str, int]:
        return {INPUT: self.inputs}

    @property
    def outputs(self) -> int:
        return len(self.weights)

    @property
    def readings(self) -> tuple[str, ...]:
        return score_names(self.outputs)

    def start(self) -> WindowState:
        return _LinearState(self)


def score_names(classes: int) -> tuple[str, ...]:
    """Return the names of the readings that hold the scores of classes."""
    return tuple(f"score_{c}" for c in range(classes))


@final
class _LinearState(WindowState):
    """A trained readout in a network."""

    def __init__(self, model: LinearReadout) -> None:
        assert model.bias is not None  # filled in on construction
        self.bias = model.bias
        self.weights = model.weights.reshape(model.outputs, -1)
        self.features = Features(model._rules)  # type: ignore[attr-defined]
        self.scores: NDArray[np.float64] = self.bias.copy()

    def begin(self) -> None:
        self.features.begin()
        self.scores[:] = self.bias

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        from ...kernels.memory.readout.cpu import respond

        # Scores move by W times the change of the features: only the columns of changed features are read.
        changed, delta = self.features.arrive(arrivals[INPUT])
        respond(self.weights, changed, delta, self.scores)
        winner = np.array([self.scores.argmax()], np.int32)
        return Output(winner, len(changed) * len(self.weights), tuple(self.scores.tolist()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"scores": self.scores.copy(), **self.features.arrays()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        scores = array_of(arrays, "scores", like=self.scores, low=-MAX_SCORE, high=MAX_SCORE)
        self.features.restore(arrays)
        self.scores[:] = scores

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        classes, features = self.weights.shape
        return LayerCounts(
            name=name,
            inputs=features,
            weights=self.weights.size,
            nonzero_weights=int(np.count_nonzero(self.weights)),
            weight_bits=32,
            weight_type="float",
            binary_input=False,
            state_bytes=self.scores.nbytes + 8 * features,
            parameter_bytes=self.weights.nbytes + self.bias.nbytes,
            state_bits=64,
            **totals.counts(
                outputs=classes,
                # A dense readout multiplies the features of the present window, whatever spiked.
                dense_operations=self.features.rules.inputs * classes,
                membranes=classes,
            ),
        )
