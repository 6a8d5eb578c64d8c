"""Recurrences whose state is a vector, in numpy; the state is changed in place, the output returned."""

from __future__ import annotations

import numpy as np

from ..vectors.reference import sigmoid


def diagonal(
    state: np.ndarray, u: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> np.ndarray:
    """s = A s + B u, y = 2 Re(C s) + D u; state [tokens, width, states] and A, B, C [width, states] are complex."""
    state[:] = a * state + b * u[..., None]
    return 2 * (c * state).sum(-1).real + d * u


def linear_filter(
    state: np.ndarray, u: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> np.ndarray:
    """s = A s + B u, y = C s + D u; state [tokens, width, states], A [width, states, states] (LSSL).

    C [width, outputs, states] and D [width, outputs] give y [tokens, width, outputs].
    """
    state[:] = np.einsum("wij,twj->twi", a, state) + b * u[..., None]
    return np.einsum("wmn,twn->twm", c, state) + d * u[..., None]


def gated_units(state: np.ndarray, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Step a gated recurrence, diagonal weights w [3 or 5, units]; state [tokens, units, 1 or 2], u [.., units, 3]."""
    h = state[..., 0]
    if state.shape[-1] == 1:
        z, r = (sigmoid(w[n] * h + u[..., n]) for n in (0, 1))
        state[..., 0] = (1 - z) * h + z * np.tanh(w[2] * h * r + u[..., 2])
    else:
        c = state[..., 1]
        f = sigmoid(w[0] * h + w[3] * c + u[..., 0])
        g = np.tanh(w[1] * h + u[..., 1])
        c = f * c + (1 - f) * g
        state[:] = np.stack([sigmoid(w[2] * h + w[4] * c + u[..., 2]) * np.tanh(c), c], -1)
    return state[..., 0].copy()


def selective(
    state: np.ndarray, u: np.ndarray, dt: np.ndarray, k: np.ndarray, q: np.ndarray, a: np.ndarray, d: np.ndarray
) -> np.ndarray:
    """s = e^(dt A) s + dt u k, y = q . s + D u; state [tokens, width, states] (Mamba)."""
    state[:] = np.exp(dt[..., None] * a) * state + (dt * u)[..., None] * k[:, None]
    return (q[:, None] * state).sum(-1) + d * u


def soft_decay(z: np.ndarray, c: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
    """z = log(e^z + e^c); return k = e^(c - z), g = (z before) - z. The first token has z = c (LightNet)."""
    before = z.copy() if position else c
    z[:] = np.logaddexp(z, c) if position else c
    return np.exp(c - z), before - z


def almost_linear(z: np.ndarray, u: np.ndarray, a: np.ndarray, w: np.ndarray, rectified: int) -> np.ndarray:
    """z = A z + W f(z) + u, f rectifies the last units."""
    active = z.copy()
    active[:, z.shape[1] - rectified :] = np.maximum(active[:, z.shape[1] - rectified :], 0)
    z[:] = a * z + active @ w.T + u
    return z.copy()
