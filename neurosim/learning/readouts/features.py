"""Features of the recording so far: spike counts, their roots, or traces, in slots of one window each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, lookup, require
from ...base.rules import check_rules
from ...memory.dendrites.inputs import integer
from ...network.windowed import MAX_COUNT, Arrivals, array_of

if TYPE_CHECKING:
    from ...kernels.memory.readout.reference import FeatureRules

INPUT = "input"
KINDS = ("counts", "roots", "traces")
# Bound of features of a model, so that indices stay within 32 bits.
MAX_FEATURES = 2**31 - 1
# Bound of a count or a trace in a saved state: its square is still exact enough.
MAX_SUM = 2.0**53


def feature_rules(owner: object) -> FeatureRules:
    """Return the rules of a readout's `inputs`, `windows`, `features`, `decay` and `gain`.

    Raises:
        NeurosimInputError: an attribute that breaks its rule.
    """
    from ...kernels.memory.readout.reference import FeatureRules

    name = type(owner).__name__
    values = {key: getattr(owner, key) for key in ("inputs", "windows", "features", "decay", "gain")}
    lookup(dict.fromkeys(KINDS), values["features"], f"{name}.features")
    for key in ("inputs", "windows"):
        integer(values[key], f"{name}.{key}", 1, MAX_FEATURES)
    features = values["inputs"] * values["windows"]
    require(features <= MAX_FEATURES, name, f"must have at most {MAX_FEATURES} inputs x windows", features)
    check_rules(owner)
    if values["decay"] and values["features"] != "traces":
        raise NeurosimInputError(f"{name}.decay: is of features='traces' (got features={values['features']!r})")
    kind = KINDS.index(values["features"])
    return FeatureRules(
        kind=kind,
        inputs=values["inputs"],
        windows=values["windows"],
        decay=float(values["decay"]),
        gain=float(values["gain"]),
    )


@final
class Features:
    """Features of the recording so far.

    Attributes:
        x: [windows * inputs] float32.
        window: number of windows so far.
    """

    def __init__(self, rules: FeatureRules) -> None:
        size = rules.inputs * rules.windows
        self.rules = rules
        self.window = 0
        self.x: NDArray[np.float32] = np.zeros(size, np.float32)
        self._sums: NDArray[np.float64] = np.zeros(size)
        self._changed: NDArray[np.int64] = np.zeros(rules.inputs, np.int64)
        self._delta: NDArray[np.float64] = np.zeros(rules.inputs)

    def begin(self) -> None:
        """Start a new recording."""
        self.window = 0
        self.x[:] = 0.0
        self._sums[:] = 0.0

    def arrive(self, spikes: Arrivals) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Add the spikes of a window; return the features that changed, and their changes."""
        from ...kernels.memory.readout.cpu import arrive

        n = arrive(self.rules, self.window, spikes.units, spikes.counts, self._sums, self.x, self._changed, self._delta)
        self.window += 1
        return self._changed[:n], self._delta[:n]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays that later windows depend on."""
        return {"sums": self._sums.copy(), "window": np.array([self.window], np.int64)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays of other features of the same rules.

        Raises:
            NeurosimInputError: an array is missing, of another form, or holds a value out of range; nothing is changed
                then.
        """
        window = array_of(arrays, "window", like=np.zeros(1, np.int64), low=0, high=MAX_COUNT)
        self._sums[:] = array_of(arrays, "sums", like=self._sums, low=0.0, high=MAX_SUM)
        self.window = int(window[0])
        # x is not saved: it follows from the sums.
        if KINDS[self.rules.kind] == "roots":
            values = np.sqrt(self._sums)
        else:
            values = self._sums
        self.x[:] = self.rules.gain * values
