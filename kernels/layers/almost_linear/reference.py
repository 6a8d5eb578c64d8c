"""Almost-linear networks: orbits, and the loss and gradients of orbits that are set to data now and then.

    z = A z + W f(z) + h, A diagonal, f = relu on the last units and the identity on the first `linear`

Arguments of all forms:
    x: [T + 1, N, B] data.
    a: [M], w: [M, M], h: [M] the network.
    start: [M - N, N], the other units begin at start x_0.
    linear: number of units without a relu.
    every: the first N units are set to the data at every `every`-th step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Parameters(NamedTuple):
    """Parameters of a network in torch: a [M], w [M, M], h [M] and start [M - N, N]."""

    a: Tensor
    w: Tensor
    h: Tensor
    start: Tensor


def _errors(x: Tensor, network: Parameters, linear: int, every: int) -> Tensor:
    """Return [T, N, B], z - x of the first N units before z is set to the data; a z that is set passes no gradient."""
    observed = x.shape[1]
    z = torch.cat([x[0], network.start @ x[0]])
    errors = []
    for t in range(len(x) - 1):
        if t % every == 0:
            z = torch.cat([x[t], z[observed:]])
        f = torch.cat([z[:linear], torch.relu(z[linear:])])
        z = network.a[:, None] * z + network.w @ f + network.h[:, None]
        errors.append(z[:observed] - x[t + 1])
    return torch.stack(errors)


def forced_reference(
    x: np.ndarray, a: np.ndarray, w: np.ndarray, h: np.ndarray, start: np.ndarray, linear: int, every: int
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the loss, the mean of |z - x|^2 over steps, units and batch, and its gradients by a, w, h and start."""
    network = Parameters(*(torch.tensor(value, requires_grad=True) for value in (a, w, h, start)))
    loss = _errors(torch.from_numpy(np.ascontiguousarray(x)), network, linear, every).square().mean()
    by_a, by_w, by_h, by_start = (gradient.numpy() for gradient in torch.autograd.grad(loss, network))
    return float(loss.detach()), by_a, by_w, by_h, by_start


def normal_equations_reference(
    x: np.ndarray, a: np.ndarray, w: np.ndarray, h: np.ndarray, start: np.ndarray, linear: int, every: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the loss of `forced_reference`, its gradient [p] and its Gauss-Newton curvature [p, p].

    The parameters are a, w, h and start in turn, p in all, matrices by rows. The curvature is 2 mean J^T J, J
    the derivative of each of the errors.
    """
    data = torch.from_numpy(np.ascontiguousarray(x))
    network = Parameters(*map(torch.tensor, (a, w, h, start)))

    def errors(*parameters: Tensor) -> Tensor:
        return _errors(data, Parameters(*parameters), linear, every).flatten()

    own = errors(*network)
    parts = torch.autograd.functional.jacobian(errors, tuple(network))
    jacobian = torch.cat([part.flatten(1) for part in parts], 1)
    scale = 2 / len(own)
    gradient = scale * (own @ jacobian)
    curvature = scale * (jacobian.T @ jacobian)
    return float(own.square().mean()), gradient.numpy(), curvature.numpy()


def orbit_reference(z: np.ndarray, a: np.ndarray, w: np.ndarray, h: np.ndarray, linear: int, steps: int) -> np.ndarray:
    """Return [steps, M], the states after z [M]."""
    states = []
    for _ in range(steps):
        f = np.concatenate([z[:linear], np.maximum(z[linear:], 0)])
        z = a * z + w @ f + h
        states.append(z)
    return np.stack(states)


def box_counts_reference(orbit: np.ndarray, low: np.ndarray, high: np.ndarray, bins: int) -> np.ndarray:
    """Return int64 [bins ^ N] how many states of an orbit [n, N] lie in each of `bins` boxes a channel, low to high."""
    edges = [np.linspace(a, b, bins + 1) for a, b in zip(low, high, strict=True)]
    counts, _ = np.histogramdd(orbit, edges)
    return counts.astype(np.int64).ravel()
