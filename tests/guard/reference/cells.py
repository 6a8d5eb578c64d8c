"""What all neurons share: parameters and state by unit, threshold and reset, and exact steps of linear equations."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

Array = NDArray[np.float64]


class Cells:
    """Units of one model.

    Attributes:
        p: parameters of each unit, [units], by name.
        state: variables of the model, [units], by name.
        margin: [units] distance of the membrane from its threshold in the last step, in parts of the way from reset to
            threshold; infinite where it could not fire.
    """

    variables: ClassVar[tuple[str, ...]] = ("v", "refractory")

    def __init__(self, model: Any, size: int, dt: float) -> None:
        self.size = size
        self.dt = dt
        values = {field.name: getattr(model, field.name) for field in fields(model)}
        self.p = {
            name: np.broadcast_to(np.asarray(value, np.float64), size).copy()
            for name, value in values.items()
            if value is not None
        }
        if "tau_syn" in self.p:
            self.p.setdefault("tau_syn_inhibitory", self.p["tau_syn"])
        self.state: dict[str, Array] = {name: np.zeros(size) for name in self.variables}
        self.margin = np.full(size, np.inf)
        self.start()
        self.prepare()

    def start(self) -> None:
        """Set the initial state where it is not 0."""
        self.state["v"] = self.p["v_leak"].copy()

    def prepare(self) -> None:
        """Compute what is the same in every step."""

    def step(self, inputs: Array, current: Array) -> NDArray[np.bool_]:
        """Take one step; return who fired.

        Args:
            inputs: [receptors, units] sums of the weights that arrive at the end of the step.
            current: [units] A beside `i_offset`, constant in the step.
        """
        raise NotImplementedError

    @property
    def is_held(self) -> NDArray[np.bool_]:
        return self.state["refractory"] > 0

    @property
    def hold_steps(self) -> Array:
        return np.floor(self.p["t_refractory"] / self.dt + 0.5)

    def fire(self, free: Array, threshold: Array) -> NDArray[np.bool_]:
        """Compare the membrane that moved freely with its threshold, reset it, and count steps held."""
        held = self.is_held
        new = np.where(self.is_held, self.state["v"], free)
        fired = ~held & (new > threshold)
        span = np.abs(threshold - self.p.get("v_reset", np.zeros(self.size)))
        self.margin = np.where(held, np.inf, np.abs(new - threshold) / span)
        self.state["v"] = np.where(fired, self.reset(new, threshold), new)
        self.state["refractory"] = np.where(fired, self.hold_steps, np.maximum(self.state["refractory"] - 1, 0))
        return fired

    def reset(self, new: Array, threshold: Array) -> Array:
        soft = self.p.get("soft_reset", np.zeros(self.size))
        return self.p["v_reset"] + soft * (new - threshold)

    def relax(self, current: Array) -> Array:
        """Return the membrane after a step of tau_mem dv/dt = v_leak - v + r (i_offset + current)."""
        rest = self.p["v_leak"] + self.p["r"] * (self.p["i_offset"] + current)
        return rest + (self.state["v"] - rest) * np.exp(-self.dt / self.p["tau_mem"])


class LinearCells(Cells):
    """Units whose variables follow x' = A x + b between spikes, solved by matrix exponentials."""

    linear: ClassVar[tuple[str, ...]]

    def matrix(self) -> Array:
        """Return A, [units, variables, variables], in 1/s."""
        raise NotImplementedError

    def drive(self, current: Array) -> Array:
        """Return b, [units, variables]."""
        raise NotImplementedError

    def held_matrix(self) -> Array:
        """Return A with the membrane, the first variable, held."""
        a = self.matrix()
        a[:, 0] = 0.0
        return a

    def prepare(self) -> None:
        self.free = _solution(self.matrix(), self.dt)
        self.held = _solution(self.held_matrix(), self.dt)

    def flow(self, current: Array) -> dict[str, Array]:
        """Return the linear variables at the end of the step, before anything arrives."""
        x = np.stack([self.state[name] for name in self.linear], axis=1)
        b = self.drive(current)
        free = _applied(self.free, x, b)
        held_b = b.copy()
        held_b[:, 0] = 0.0
        moved = np.where(self.is_held[:, None], _applied(self.held, x, held_b), free)
        return dict(zip(self.linear, moved.T, strict=True))

    def membrane_drive(self, current: Array) -> Array:
        b = np.zeros((self.size, len(self.linear)))
        b[:, 0] = (self.p["v_leak"] + self.p["r"] * (self.p["i_offset"] + current)) / self.p["tau_mem"]
        return b


def _solution(a: Array, dt: float) -> tuple[Array, Array]:
    """Return exp(A dt) and the integral of exp(A s) over the step, [units, n, n] each: x becomes P x + Q b."""
    units, n, _ = a.shape
    whole = np.zeros((units, 2 * n, 2 * n))
    whole[:, :n, :n] = a
    whole[:, :n, n:] = np.eye(n)
    solved = expm(whole * dt)
    return solved[:, :n, :n], solved[:, :n, n:]


def _applied(solution: tuple[Array, Array], x: Array, b: Array) -> Array:
    return np.einsum("nij,nj->ni", solution[0], x) + np.einsum("nij,nj->ni", solution[1], b)
