"""Almost-linear networks on a CPU; see `reference` for the equations and arguments.

Arrays of orbits have the batch last, so that the loops over it become vector instructions.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled


def forced(x, a, w, h, start, linear, every):
    """Compute `forced_reference`, backwards through the steps by hand."""
    z, f, error = _forward(x, a, w, h, start, linear, every)
    g, first = _backward(z, error, a, w, linear, every)
    da = (g * z[:-1]).sum((0, 2))
    dh = g.sum((0, 2))
    # One product over steps and batch: sums within the loop are no vector instructions, and took most of the time.
    dw = np.tensordot(g, f, ((0, 2), (0, 2)))
    return float((error.astype(np.float64) ** 2).mean()), da, dw, dh, first[x.shape[1] :] @ x[0].T


@compiled(fastmath={"contract"})
def _forward(x, a, w, h, start, linear, every):
    """Return z [T + 1, M, B], those set to the data included, f(z) [T, M, B], and z - x before z is set [T, N, B]."""
    steps = x.shape[0] - 1
    observed = x.shape[1]
    batch = x.shape[2]
    units = a.shape[0]
    z = np.zeros((steps + 1, units, batch), x.dtype)
    f = np.empty((steps, units, batch), x.dtype)
    error = np.empty((steps, observed, batch), x.dtype)
    product = np.empty((units, batch), x.dtype)
    z[0, observed:] = start @ np.ascontiguousarray(x[0])
    for t in range(steps):
        if t % every == 0:
            z[t, :observed] = x[t]
        f[t, :linear] = z[t, :linear]
        f[t, linear:] = np.maximum(z[t, linear:], 0)
        np.dot(w, f[t], product)
        for i in range(units):
            for b in range(batch):
                z[t + 1, i, b] = product[i, b] + a[i] * z[t, i, b] + h[i]
        # Before the step is set to the data (teacher forcing), or there would be nothing to learn from it.
        error[t] = z[t + 1, :observed] - x[t + 1]
    return z, f, error


@compiled(fastmath={"contract"})
def _backward(z, error, a, w, linear, every):
    """Return the gradients of the states z [1 to T], before they are set, [T, M, B], and of the first, [M, B]."""
    steps, observed, batch = error.shape
    units = a.shape[0]
    gradients = np.empty((steps, units, batch), z.dtype)
    g = np.zeros((units, batch), z.dtype)
    back = np.empty((units, batch), z.dtype)
    error = error * z.dtype.type(2.0 / error.size)
    turned = np.ascontiguousarray(w.T)
    for t in range(steps - 1, -1, -1):
        g[:observed] += error[t]
        gradients[t] = g
        np.dot(turned, g, back)
        back[linear:] *= z[t, linear:] > 0
        for i in range(units):
            g[i] = back[i] + a[i] * g[i]
        # There the forward pass set these units to the data: nothing goes back through them.
        if t % every == 0:
            g[:observed] = 0
    return gradients, g


@compiled(fastmath={"contract"})
def normal_equations(x, a, w, h, start, linear, every):
    """Compute `normal_equations_reference`, the derivatives carried forward through the steps."""
    steps = x.shape[0] - 1
    observed = x.shape[1]
    batch = x.shape[2]
    units = a.shape[0]
    parameters = units * (units + 2) + (units - observed) * observed
    first_h = units * (units + 1)
    first_start = units * (units + 2)
    gradient = np.zeros(parameters, x.dtype)
    curvature = np.zeros((parameters, parameters), x.dtype)
    rows = np.empty((steps * observed, parameters), x.dtype)
    errors = np.empty(steps * observed, x.dtype)
    now = np.empty((units, parameters), x.dtype)
    after = np.empty((units, parameters), x.dtype)
    tangent = np.empty((units, units), x.dtype)
    z = np.empty(units, x.dtype)
    f = np.empty(units, x.dtype)
    loss = 0.0
    one = a.dtype.type(1)
    for b in range(batch):
        # Derivatives of the state by all parameters: at first only those by `start`, through start x_0.
        now[:] = 0
        z[observed:] = np.dot(start, np.ascontiguousarray(x[0, :, b]))
        for i in range(units - observed):
            now[observed + i, first_start + i * observed : first_start + (i + 1) * observed] = x[0, :, b]
        for t in range(steps):
            if t % every == 0:
                z[:observed] = x[t, :, b]
                now[:observed] = 0
            for j in range(units):
                on = one if j < linear or z[j] > 0 else 0 * one
                f[j] = on * z[j]
                for i in range(units):
                    tangent[i, j] = on * w[i, j]
                tangent[j, j] += a[j]
            # d z_new = (A + W f'(z)) d z, plus what each parameter adds itself: z for a, f for w, 1 for h.
            np.dot(tangent, now, after)
            for i in range(units):
                after[i, i] += z[i]
                for j in range(units):
                    after[i, units * (i + 1) + j] += f[j]
                after[i, first_h + i] += one
            z = np.dot(w, f) + a * z + h
            now, after = after, now
            for n in range(observed):
                row = t * observed + n
                rows[row] = now[n]
                errors[row] = z[n] - x[t + 1, n, b]
                loss += errors[row] ** 2
        curvature += np.dot(rows.T, rows)
        gradient += np.dot(rows.T, errors)
    count = steps * observed * batch
    return loss / count, gradient * a.dtype.type(2 / count), curvature * a.dtype.type(2 / count)


@compiled(fastmath={"contract"})
def orbit(z, a, w, h, linear, steps):
    """Compute `orbit_reference`."""
    units = z.shape[0]
    states = np.empty((steps, units), z.dtype)
    columns = np.ascontiguousarray(w.T)
    now = z
    for t in range(steps):
        total = states[t]
        for i in range(units):
            total[i] = h[i] + a[i] * now[i]
        # Unit by unit of the sum: the loop over those that it reaches becomes vector instructions.
        for j in range(units):
            f = now[j] if j < linear else max(now[j], 0.0)
            for i in range(units):
                total[i] += columns[j, i] * f
        now = total
    return states


@compiled
def box_counts(orbit, low, high, scale, bins):
    """Compute `box_counts_reference`.

    Args:
        scale: [N] boxes for a unit of each channel.
    """
    counts = np.zeros(bins ** orbit.shape[1], np.int64)
    for t in range(len(orbit)):
        box = 0
        inside = True
        for i in range(orbit.shape[1]):
            inside &= low[i] <= orbit[t, i] <= high[i]
            if inside:
                box = box * bins + min(int(scale[i] * (orbit[t, i] - low[i])), bins - 1)
        if inside:
            counts[box] += 1
    return counts
