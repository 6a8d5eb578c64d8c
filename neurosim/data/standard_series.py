"""Series that reservoirs are compared on, computed here: Mackey-Glass, NARMA-10 and Lorenz."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import lookup, require
from ..base.random import rng_key

# Values at the beginning that are thrown away, until the start does not matter.
TRANSIENT = 1000
DELAY = 17  # of Mackey and Glass: from here on the series is chaotic
MACKEY_STEPS = 10  # of the integration, for each value
LORENZ_STEP = 0.02  # between two values
LORENZ_STEPS = 4  # of the integration, for each value


class StandardSeries(NamedTuple):
    """A series with a task.

    Attributes:
        inputs: [values, columns] that a forecast may use.
        target: [values] that is forecast.
        horizons: how many values ahead.
        names: of the columns of the inputs.
    """

    inputs: NDArray[np.float64]
    target: NDArray[np.float64]
    horizons: tuple[int, ...]
    names: tuple[str, ...]


def standard_series(name: str, values: int, seed: int = 0) -> StandardSeries:
    """Return a series of `STANDARD`, by name.

    Raises:
        NeurosimInputError: no such series, or no values.
    """
    compute = lookup(STANDARD, name, "series")
    require(values >= 1, "values", "must be >= 1", values)
    return compute(values, seed)


def mackey_glass(values: int, seed: int = 0) -> StandardSeries:
    """Return x' = .2 x(t - 17) / (1 + x(t - 17)^10) - .1 x, a value for each unit of time.

    Integrated by the fourth-order Runge-Kutta method in steps of .1, from a constant drawn from 1.1 to 1.3.

    Source: Mackey & Glass 1977, Science 197; forecasts 84 ahead: Jaeger & Haas 2004, Science 304.
    """
    h = 1.0 / MACKEY_STEPS
    lag = DELAY * MACKEY_STEPS
    steps = (values + TRANSIENT) * MACKEY_STEPS
    start = 1.1 + 0.2 * float(_uniform("mackey-glass", seed, 1)[0])
    x = [start] * (lag + 1)
    for k in range(lag, lag + steps):
        now = x[k]
        delayed = x[k - lag]
        after = x[k - lag + 1]
        # The delayed value in the middle of the step, for the two middle slopes.
        between = (delayed + after) / 2
        first = _mackey_slope(now, delayed)
        second = _mackey_slope(now + h / 2 * first, between)
        third = _mackey_slope(now + h / 2 * second, between)
        fourth = _mackey_slope(now + h * third, after)
        x.append(now + h / 6 * (first + 2 * second + 2 * third + fourth))
    sampled = np.array(x[lag::MACKEY_STEPS][TRANSIENT : TRANSIENT + values])
    return StandardSeries(sampled[:, None], sampled, (1, 6, 17, 50, 84), ("x",))


def narma10(values: int, seed: int = 0) -> StandardSeries:
    """Return y(t + 1) = .3 y(t) + .05 y(t) sum_{k < 10} y(t - k) + 1.5 u(t - 9) u(t) + .1, for u uniform from 0 to .5.

    The forecast of y one value ahead uses u alone.

    Source: Atiya & Parlos 2000, IEEE Transactions on Neural Networks 11.
    """
    total = values + TRANSIENT
    u = 0.5 * _uniform("narma10", seed, total)
    y = np.zeros(total)
    for t in range(9, total - 1):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    return StandardSeries(u[TRANSIENT:, None], y[TRANSIENT:], (1,), ("u",))


def lorenz(values: int, seed: int = 0) -> StandardSeries:
    """Return x of x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z, a value every .02 units of time.

    Integrated by the fourth-order Runge-Kutta method in steps of .005, from (1, 1, 1) and a draw from 0 to .1 for each.

    Source: Lorenz 1963, Journal of the Atmospheric Sciences 20.
    """
    h = LORENZ_STEP / LORENZ_STEPS
    state = tuple((1.0 + 0.1 * _uniform("lorenz", seed, 3)).tolist())
    sampled = np.empty(values + TRANSIENT)
    for k in range(len(sampled)):
        for _ in range(LORENZ_STEPS):
            first = _lorenz_slope(state)
            second = _lorenz_slope(_moved(state, h / 2, first))
            third = _lorenz_slope(_moved(state, h / 2, second))
            fourth = _lorenz_slope(_moved(state, h, third))
            slope = tuple((a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(first, second, third, fourth, strict=True))
            state = _moved(state, h, slope)
        sampled[k] = state[0]
    x = sampled[TRANSIENT:]
    return StandardSeries(x[:, None], x, (1, 5, 10, 25, 50), ("x",))


def _mackey_slope(x: float, delayed: float) -> float:
    return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * x


def _lorenz_slope(state: tuple[float, ...]) -> tuple[float, ...]:
    x, y, z = state
    return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z


def _moved(state: tuple[float, ...], h: float, slope: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(value + h * each for value, each in zip(state, slope, strict=True))


def _uniform(label: str, seed: int, count: int) -> NDArray[np.float64]:
    from ..kernels.tools.random import uniforms

    values = np.empty(count)
    uniforms(np.uint64(rng_key(seed, "series", label)), 0, 0, values)
    return values


STANDARD: Mapping[str, Callable[[int, int], StandardSeries]] = {
    "mackey-glass": mackey_glass,
    "narma10": narma10,
    "lorenz": lorenz,
}
