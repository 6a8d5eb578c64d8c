"""HiPPO: the state is the Legendre coefficients of the past."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre

from neurosim.base import NeurosimInputError
from neurosim.language import Depth, build
from neurosim.language.attention.kinds.hippo import MEASURES, PARTS


def test_the_last_unit_of_time_is_read_from_the_state() -> None:
    """A signal of the last 200 tokens from 12 coefficients, within 2 % of its size."""
    layer: Any = build("lssl", 1, Depth(), {"state_size": 12, "measure": "legt", "dt_range": (0.005, 0.005)}).double()
    time = np.arange(700) * 0.005
    signal = np.sin(2 * np.pi * 0.7 * time) + 0.5 * np.sin(2 * np.pi * 1.3 * time + 1)
    u = torch.from_numpy(signal)[None, :, None]
    with torch.no_grad():
        state, _ = layer.chunked(torch.zeros(1, 1, 12, dtype=u.dtype), {"u": u})
    # State n is the coefficient of P_n(2 r - 1), r the age in units of time.
    ages = np.linspace(0.05, 0.95, 19)
    found = legendre.legval(2 * ages - 1, state[0, 0].numpy())
    expected = np.interp(time[-1] - ages, time, signal)
    assert np.abs(found - expected).max() < 0.02 * np.abs(signal).max()


def test_all_of_the_past_decays_at_rates_of_the_integers() -> None:
    """The eigenvalues of LegS are -1 to -N, those of its discrete form inside the unit circle; scipy's rule agrees."""
    from scipy.signal import cont2discrete

    layer: Any = build("lssl", 3, Depth(), {"state_size": 6}).double()
    np.testing.assert_allclose(
        sorted(np.linalg.eigvals(layer.A.detach().numpy()).real), -np.arange(6, 0, -1), rtol=1e-5
    )
    a, b = (value.detach().numpy() for value in layer.discrete())
    for channel, dt in enumerate(layer.dt_log.exp().tolist()):
        system = (layer.A.detach().numpy(), layer.B.detach().numpy()[:, None], np.ones((1, 6)), np.zeros((1, 1)))
        wanted_a, wanted_b, *_ = cont2discrete(system, dt, "bilinear")
        np.testing.assert_allclose(a[channel], wanted_a, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(b[channel], wanted_b[:, 0], rtol=1e-8)
        assert np.abs(np.linalg.eigvals(a[channel])).max() < 1


@pytest.mark.parametrize("measure", ["legs", "legt"])
def test_both_measures_are_in_the_structured_class(measure: str) -> None:
    """A = P (D + T^-1) Q is the published matrix, and its training stays in the class."""
    for states in (1, 2, 9):
        made = torch.linalg.multi_dot
        p, d, q, lower, diagonal, upper = PARTS[measure](states)
        tridiagonal = torch.diag(diagonal) + torch.diag(lower, -1) + torch.diag(upper, 1)
        found = made([torch.diag(p), torch.diag(d) + torch.linalg.inv(tridiagonal), torch.diag(q)])
        torch.testing.assert_close(found, MEASURES[measure](states)[0], rtol=1e-8, atol=1e-8)
    layer: Any = build("lssl", 4, Depth(), {"state_size": 5, "measure": measure, "structured": True, "copies": 2})
    dense: Any = build("lssl", 4, Depth(), {"state_size": 5, "measure": measure})
    torch.testing.assert_close(layer.matrix(), dense.matrix().expand(2, 5, 5), rtol=1e-5, atol=1e-5)
    layer.discrete()[0].square().sum().backward()
    assert all(getattr(layer, name).grad.abs().min() > 0 for name in ("P", "Q", "diagonal", "T_lower", "T_upper"))
    assert "A" not in dict(layer.named_parameters())


def test_outputs_of_a_channel_are_layers_of_one() -> None:
    many: Any = build("lssl", 3, Depth(), {"state_size": 4, "outputs": 2}).double()
    u = torch.randn(2, 30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    empty = torch.zeros(2, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        out = many.chunked(empty, {"u": u})[1].unflatten(-1, (3, 2))
        for m in range(2):
            one: Any = build("lssl", 3, Depth(), {"state_size": 4}).double()
            for name in ("A", "B", "dt_log"):
                getattr(one, name).copy_(getattr(many, name))
            one.C.copy_(many.C[:, m])
            one.D.copy_(many.D[:, m])
            torch.testing.assert_close(one.chunked(empty, {"u": u})[1], out[..., m])
    with pytest.raises(NeurosimInputError, match=r"measure: unknown name 'random'"):
        build("lssl", 3, Depth(), {"measure": "random"})
