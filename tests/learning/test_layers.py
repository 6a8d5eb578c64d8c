"""Trainable layers: against the engine's neurons, snnTorch, brute force and closed forms."""

from __future__ import annotations

import argparse
import math
import re
import subprocess

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurosim import LIF, CubaLIF
from neurosim.base import NeurosimInputError
from neurosim.kernels.layers.scan import kinds as K
from neurosim.kernels.layers.scan import reference as S
from neurosim.learning import (
    PSN,
    CurrentLIFLayer,
    DelayedLinear,
    LeakyIntegrator,
    LIFLayer,
    SEAdLIFLayer,
    SpikeLinear,
    Stack,
    from_snntorch,
    to_snntorch,
)
from neurosim.learning.layers.parallel import FixedPointLIF
from neurosim.learning.layers.surrogates import SURROGATES, Surrogate
from neurosim.learning.layers.unit_parameter import UnitParameter
from neurosim.network import LI, Neuron


def noise(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ENGINE = [
    (LIF(tau_mem=0.017, v_threshold=0.8, soft_reset=True), LIFLayer(53, 0.017, 0.8)),
    (LIF(tau_mem=0.017, v_threshold=0.8), LIFLayer(53, 0.017, 0.8, reset="zero")),
    (CubaLIF(tau_mem=0.02, tau_syn=0.02, v_threshold=0.3), CurrentLIFLayer(53, 0.02, 0.02, 0.3)),
    (CubaLIF(tau_mem=0.02, tau_syn=0.005, v_threshold=0.2, r=2.0), CurrentLIFLayer(53, 0.02, 0.005, 0.2, 2.0)),
    (LI(tau_mem=0.03), LeakyIntegrator(53, 0.03)),
]


@pytest.mark.parametrize(("model", "layer"), ENGINE, ids=lambda x: type(x).__name__)
def test_steps_are_the_engines_to_the_bit(model: Neuron, layer: torch.nn.Module) -> None:
    x = noise(300, 53, scale=0.5)
    state = np.repeat(np.array(model.initial(), np.float32)[:, None], 53, axis=1)
    constants = np.array(model.constants(1e-3), np.float32)
    spiked = np.zeros(53, np.uint8)
    spikes = []
    membranes = []
    for row in x.numpy():
        arrived = np.zeros((len(model.receptors), 53), np.float32)
        arrived[0] = row
        model.step(state, arrived, constants, spiked)
        spikes.append(spiked.copy())
        membranes.append(state[0].copy())
    out, last = layer(x)
    expected = np.array(membranes if isinstance(model, LI) else spikes, np.float32)
    np.testing.assert_array_equal(out.detach().numpy(), expected)
    np.testing.assert_array_equal(last[0].detach().numpy(), membranes[-1])
    assert isinstance(model, LI) or expected.sum() > 100


# snnTorch's sigmoid overflows at its own slope of 25, and gives NaN, for membranes two below the threshold.
SLOPES = {"fast_sigmoid": 25.0, "arctan": 2.0, "sigmoid": 5.0}
SNN = [("subtract", "fast_sigmoid"), ("subtract", "arctan"), ("zero", "sigmoid"), ("zero", "arctan")]


def snn_module(reset: str, surrogate: str, recurrent: bool, units: int):
    snn = pytest.importorskip("snntorch")
    makers = {"fast_sigmoid": "fast_sigmoid", "arctan": "atan", "sigmoid": "sigmoid"}
    settings = {
        "beta": torch.linspace(0.6, 0.95, units),
        "threshold": torch.linspace(0.7, 1.2, units),
        "spike_grad": getattr(snn.surrogate, makers[surrogate])(SLOPES[surrogate]),
        "learn_beta": True,
        "learn_threshold": True,
        "reset_mechanism": reset,
    }
    torch.manual_seed(0)
    if recurrent:
        return snn.RLeaky(linear_features=units, **settings)
    return snn.Leaky(**settings)


def snn_run(module, x: torch.Tensor, recurrent: bool) -> torch.Tensor:
    out = []
    spikes = torch.zeros_like(x[0])
    mem = torch.zeros_like(x[0])
    for row in x:
        spikes, mem = module(row, spikes, mem) if recurrent else module(row, mem)
        out.append(spikes)
    return torch.stack(out)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(("reset", "surrogate"), SNN)
def test_spikes_and_gradients_are_snntorchs(reset: str, surrogate: str, recurrent: bool) -> None:
    if recurrent and reset == "zero":
        pytest.skip("RLeaky with reset 'zero' is another recurrence")
    module = snn_module(reset, surrogate, recurrent, 23)
    layer = from_snntorch(module, 23, surrogate=Surrogate(surrogate, SLOPES[surrogate]))
    assert torch.equal(layer.constants()[0].float(), module.beta)
    x = noise(120, 4, 23, scale=0.6)
    g = noise(120, 4, 23, seed=1)
    theirs = x.clone().requires_grad_()
    ours = x.clone().requires_grad_()
    expected = snn_run(module, theirs, recurrent)
    spikes, _ = layer(ours)
    assert torch.equal(spikes, expected) and 0.02 < spikes.mean() < 0.5
    expected.backward(g)
    spikes.backward(g)
    near = {"rtol": 2e-4, "atol": 2e-4}
    torch.testing.assert_close(ours.grad, theirs.grad, **near)
    torch.testing.assert_close(layer.v_threshold.raw.grad.float(), module.threshold.grad, **near)
    # beta = exp(-dt / tau), and what is trained is ln tau: d beta / d ln tau = -beta ln beta.
    slope = -(module.beta * module.beta.log()).detach()
    torch.testing.assert_close(layer.tau_mem.raw.grad.float(), module.beta.grad * slope, **near)
    if recurrent:
        torch.testing.assert_close(layer.recurrent.weight.grad, module.recurrent.weight.grad, **near)
        torch.testing.assert_close(layer.recurrent.bias.grad, module.recurrent.bias.grad, **near)


@pytest.mark.parametrize("recurrent", [False, True])
def test_weights_go_to_snntorch_and_back(recurrent: bool) -> None:
    pytest.importorskip("snntorch")
    layer = LIFLayer(23, tau_mem=(0.005, 0.02), reset="subtract_late", train_tau=True, recurrent=recurrent, seed=5)
    module = to_snntorch(layer)
    x = noise(80, 4, 23, scale=0.6)
    spikes, _ = layer(x)
    assert torch.equal(snn_run(module, x, recurrent), spikes)
    again = from_snntorch(module, 23)
    assert torch.equal(again(x)[0], spikes) and again.tau_mem.trained and not again.v_threshold.trained


def test_what_snntorch_does_otherwise_is_refused() -> None:
    snn = pytest.importorskip("snntorch")
    for module, words in (
        (snn.Synaptic(0.9, 0.8), "from_snntorch: must be a Leaky or RLeaky; whole networks come as graphs: "),
        (snn.Leaky(0.9, reset_mechanism="none"), "Leaky.reset_mechanism: must be one of subtract, zero (got none)"),
        (snn.Leaky(0.9, reset_delay=False), "Leaky.reset_delay: must be True (got False)"),
        (snn.Leaky(1.5), "Leaky.beta: must be > 0 and < 1 (got 1.5)"),
        (snn.RLeaky(0.9, linear_features=4, reset_mechanism="zero"), "RLeaky.reset_mechanism: must be 'subtract'"),
        (snn.RLeaky(0.9, all_to_all=False), "RLeaky.recurrent: must be all-to-all and linear"),
    ):
        with pytest.raises(NeurosimInputError, match=re.escape(words)):
            from_snntorch(module, 4)
    for layer, words in (
        (LIFLayer(4), "LIFLayer.reset: must be one of subtract_late, zero for snnTorch (got subtract)"),
        (
            LIFLayer(4, reset="zero", recurrent=True),
            "LIFLayer.reset: must be one of subtract_late for snnTorch (got zero)",
        ),
        (LIFLayer(4, reset="zero", surrogate="triangle"), "LIFLayer.surrogate: must be one of snnTorch's"),
        (LIFLayer(4, reset="zero", detach_reset=False), "LIFLayer.detach_reset: must be True for snnTorch (got False)"),
    ):
        with pytest.raises(NeurosimInputError, match=re.escape(words)):
            to_snntorch(layer)


@pytest.mark.parametrize("shape", SURROGATES)
def test_surrogates_are_derivatives_of_what_they_smooth(shape: str) -> None:
    """Each h is a closed form's derivative: fast sigmoid x / (1 + k |x|), arctan's, a parabola's, the logistic's."""
    k = 3.0
    scale = 0.7
    how = K.Recurrence(K.LIF, K.SUBTRACT, False, *Surrogate(shape, k, scale).numbers())
    x = torch.linspace(-1.5, 1.5, 41, dtype=torch.float64).requires_grad_()
    smooth = {
        "fast_sigmoid": lambda x: x / (1 + k * x.abs()),
        "arctan": lambda x: torch.atan(math.pi / 2 * k * x) / math.pi,
        "triangle": lambda x: torch.where(k * x.abs() < 1, x - k * x * x.abs() / 2, x.sign() / (2 * k)),
        "sigmoid": lambda x: torch.sigmoid(k * x),
    }
    (expected,) = torch.autograd.grad(scale * smooth[shape](x).sum(), x)
    torch.testing.assert_close(S.derivative(x.detach(), how), expected, atol=1e-12, rtol=1e-9)


LAYERS = [LIFLayer, CurrentLIFLayer, SEAdLIFLayer]


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_state_belongs_to_the_call(kind: type, recurrent: bool) -> None:
    layer = kind(9, recurrent=recurrent)
    x = noise(50, 2, 9, scale=3)
    whole, end = layer(x)
    again, _ = layer(x)
    first, state = layer(x[:21])
    second, last = layer(x[21:], state)
    assert torch.equal(again, whole) and whole.sum() > 0
    assert torch.equal(torch.cat([first, second]), whole) and torch.equal(last, end)
    one, _ = layer(x[:, 0])
    assert torch.equal(one, whole[:, 0])
    assert state.shape == (len(layer.state) + recurrent, 2, 9)


def test_a_stack_hands_out_states() -> None:
    stack = Stack(SpikeLinear(5, 7), LIFLayer(7), torch.nn.Identity(), DelayedLinear(7, 3, 2), LeakyIntegrator(3))
    x = noise(40, 2, 5, scale=3)
    whole, end = stack(x)
    first, states = stack(x[:17])
    second, last = stack(x[17:], states)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    assert [s is None for s in end] == [True, False, True, False, False]
    for a, b in zip(last, end, strict=True):
        assert a is b or torch.allclose(a, b, atol=1e-6)
    with pytest.raises(NeurosimInputError, match=re.escape("Stack: states must be 5, one a module (got 1)")):
        stack(x, [None])


def test_time_constants_learn_to_match_a_target() -> None:
    """A membrane that has to follow one of another time constant finds it."""
    layer = LeakyIntegrator(3, 0.01, train_tau=True)
    x = noise(200, 4, 3)
    target = LeakyIntegrator(3, torch.tensor([0.005, 0.02, 0.04]))(x)[0]
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        (layer(x)[0] - target).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(layer.tau_mem(), torch.tensor([0.005, 0.02, 0.04]).double(), rtol=0.05, atol=0)


def test_adaptation_lowers_the_rate_and_its_constants_stay_in_their_ranges() -> None:
    settings = {"tau_mem": 0.02, "tau_adapt": 0.1, "a": 0.0, "q": 120.0, "train_tau": False, "train_adaptation": False}
    x = torch.full((400, 1), 3.0)
    rates = [float(SEAdLIFLayer(1, b=b, **settings)(x)[0].mean()) for b in (0.0, 0.2, 1.0)]
    assert rates[0] > rates[1] > rates[2] > 0
    layer = SEAdLIFLayer(64, seed=3)
    for quantity, low, high in ((layer.tau_mem, 0.005, 0.025), (layer.tau_adapt, 0.06, 0.3), (layer.b, 0.0, 2.0)):
        value = quantity()
        assert low < value.min() < low + 0.1 * (high - low) and high - 0.1 * (high - low) < value.max() < high
    with torch.no_grad():
        layer.b.raw += 100
    assert layer.b().max() <= 2.0
    assert torch.equal(SEAdLIFLayer(64, seed=3).tau_mem(), layer.tau_mem())


def test_a_current_is_integrated_as_its_equation() -> None:
    """tau_mem dv/dt = -v + r i, tau_syn di/dt = -i, in steps a thousand times as short; equal constants too."""
    for tau_mem, tau_syn in ((0.02, 0.005), (0.005, 0.02), (0.01, 0.01), (0.01, 0.0100001)):
        x = torch.zeros(30, 1)
        x[0] = 1.0
        layer = CurrentLIFLayer(1, tau_mem, tau_syn, v_threshold=1e9, r=3.0)
        states = [layer(x[:k])[1][0].item() for k in range(2, 30)]
        v = 0.0
        i = 1.0
        fine = 1e-6
        expected = []
        for step in range(1, 28_001):
            v = v + fine / tau_mem * (3.0 * i - v)
            i = i - fine / tau_syn * i
            if step % 1000 == 0:
                expected.append(v)
        np.testing.assert_allclose(states, expected, rtol=2e-3)


def brute_force(layer: DelayedLinear, x: np.ndarray) -> np.ndarray:
    y = np.zeros((len(x), x.shape[1], layer.outputs))
    weight = layer.weight.detach().numpy()
    delays = layer.delays.numpy()
    for t in range(len(x)):
        for o in range(layer.outputs):
            for i in range(layer.inputs):
                if t >= delays[o, i]:
                    y[t, :, o] += weight[o, i] * x[t - delays[o, i], :, i]
    return y + layer.bias.detach().numpy()


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_delays_are_each_synapses_own(density: float) -> None:
    g = torch.Generator().manual_seed(4)
    layer = DelayedLinear(11, 7, 6, seed=2)
    x = (torch.rand(25, 3, 11, generator=g) < density) * torch.randint(1, 3, (25, 3, 11), generator=g).float()
    assert layer.delays.min() == 0 and layer.delays.max() == 6 == layer.max_delay
    y, _ = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), brute_force(layer, x.numpy()), rtol=1e-5, atol=1e-5)
    first, state = layer(x[:4])
    second, _ = layer(x[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), y)


def test_delays_have_the_gradients_of_the_plain_sum() -> None:
    from neurosim.kernels.layers.delays.autograd import delayed
    from neurosim.kernels.layers.delays.reference import delayed_reference

    g = torch.Generator().manual_seed(4)
    past = (torch.rand(30, 3, 11, generator=g) < 0.1).float()
    grad = noise(24, 3, 7)
    weight = noise(7, 11)
    delays = torch.randint(0, 7, (7, 11), generator=g)
    found = []
    for form in (delayed, delayed_reference):
        leaves = [past.clone().requires_grad_(), weight.clone().requires_grad_()]
        out = form(*leaves, delays, 6)
        out.backward(grad)
        found.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_parallel_spiking_neurons_are_their_formula() -> None:
    layer = PSN(12, "triangle")
    x = noise(12, 3, 5).requires_grad_()
    spikes = layer(x)
    h = torch.einsum("ij,jbn->ibn", layer.weight, x) - layer.v_threshold[:, None, None]
    assert torch.equal(spikes, (h > 0).float()) and 0 < spikes.mean() < 1
    spikes.sum().backward()
    torch.testing.assert_close(layer.v_threshold.grad, -(1 - h.abs()).clamp_min(0).sum(dim=(1, 2)))
    with pytest.raises(NeurosimInputError, match=re.escape("PSN: input must have 12 steps (got 11)")):
        layer(x[:11])


@pytest.mark.parametrize(("decay", "most"), [(0.5, 15), (0.95, 40)])
def test_the_fixed_point_is_the_sequential_scan(decay: float, most: int) -> None:
    """Exact in at most T sweeps, and in far fewer. Inputs are multiples of 2^-10: for 1/2 nothing is rounded early."""
    x = (noise(200, 4, 30, scale=0.5) * 1024).round() / 1024
    tau = -1e-3 / math.log(decay)
    g = noise(200, 4, 30, seed=1)
    found = []
    sweeps = 0
    for layer in (FixedPointLIF(tau), LIFLayer(30, tau)):
        leaf = x.clone().requires_grad_()
        out, sweeps = layer(leaf) if isinstance(layer, FixedPointLIF) else (layer(leaf)[0], sweeps)
        out.backward(g)
        found.append((out.detach(), leaf.grad))
    assert torch.equal(found[0][0], found[1][0]) and 0.02 < found[0][0].mean() < 0.5
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-4)
    assert sweeps <= most


def test_a_chain_of_spikes_takes_a_sweep_for_each() -> None:
    """Input that makes each spike depend on the last: the bound of T sweeps is reached, and kept."""
    x = torch.full((40, 1), 0.999)
    out, sweeps = FixedPointLIF(1e9)(x)
    assert torch.equal(out, LIFLayer(1, 1e9)(x)[0]) and 1 < sweeps <= 40


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LIFLayer(0), "LIFLayer.units: must be an integer > 0 (got 0)"),
        (lambda: LIFLayer(3, tau_mem=-0.02), "LIFLayer.tau_mem: must be > 0 (got -0.02)"),
        (lambda: LIFLayer(3, tau_mem=torch.ones(4)), "LIFLayer.tau_mem: must be one value or 3 (got (4,))"),
        (lambda: LIFLayer(3, v_threshold=float("nan")), "LIFLayer.v_threshold: must be finite (got nan)"),
        (lambda: LIFLayer(3, dt=0.0), "LIFLayer.dt: must be > 0 s (got 0.0)"),
        (lambda: LIFLayer(3, reset="zeros"), "LIFLayer.reset: unknown name 'zeros'; did you mean 'zero'?"),
        (lambda: CurrentLIFLayer(3, reset="subtract_late"), "CurrentLIFLayer.reset: unknown name 'subtract_late'"),
        (lambda: SEAdLIFLayer(3, surrogate="atan"), "SEAdLIFLayer.surrogate: unknown name 'atan'"),
        (lambda: SEAdLIFLayer(3, tau_mem=(0.02, 0.01)), "SEAdLIFLayer.tau_mem: a pair must be (low, high)"),
        (lambda: Surrogate("arctan", -1.0), "Surrogate.slope: must be finite and > 0 (got -1.0)"),
        (
            lambda: LIFLayer(3)(torch.ones(5, 2, 4)),
            "LIFLayer: input must be [T, B, 3] or [T, 3], T > 0, floating (got (5, 2, 4))",
        ),
        (
            lambda: LIFLayer(3)(torch.ones(0, 3)),
            "LIFLayer: input must be [T, B, 3] or [T, 3], T > 0, floating (got (0, 3))",
        ),
        (lambda: LIFLayer(3)(torch.ones(5, 3), torch.ones(1, 4)), "LIFLayer: state must be [1, 3] (got (1, 4))"),
        (lambda: DelayedLinear(2, 3, -1), "DelayedLinear.delays: must be integer numbers of steps >= 0 (got -1)"),
        (lambda: DelayedLinear(2, 3, torch.ones(2, 3).long()), "DelayedLinear.delays: must be [3, 2]"),
        (lambda: DelayedLinear(2, 3, 1)(torch.ones(4, 3)), "DelayedLinear: input must be [T, B, 2] or [T, 2]"),
        (lambda: PSN(0), "PSN.steps: must be an integer > 0 (got 0)"),
        (lambda: FixedPointLIF(0.0), "FixedPointLIF.tau_mem: must be > 0 s (got 0.0)"),
    ],
)
def test_bad_settings_are_refused(make, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=re.escape(words)):
        make()


def test_a_quantity_says_what_it_is() -> None:
    assert repr(UnitParameter("x", 0.02, 3, trained=True, positive=True)) == "UnitParameter(0.02, trained)"
    assert [n for n, _ in LIFLayer(3, train_tau=True, train_threshold=True).named_parameters()] == [
        "tau_mem.raw",
        "v_threshold.raw",
    ]


def benchmark():
    import layers

    return layers, argparse.Namespace(steps=20, repeats=1, rounds=1, threads=1, peers=())


@pytest.mark.slow
def test_the_benchmark_runs() -> None:
    layers, chosen = benchmark()
    row = layers.compare("layer", 40, chosen)
    assert 0 < row["figures"]["neurosim"]["spikes"] < 0.2 and not row["missing"]
    assert f"{row['figures']['neurosim']['spikes']:8.4f}" in layers.table(row)


@pytest.mark.peer
def test_peers_are_given_the_same_recurrence() -> None:
    """To their own rounding: as many spikes."""
    layers, chosen = benchmark()
    missing = "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(n) is None for n in sys.argv[1:]))"
    python = layers.PEERS_PYTHON
    if not python.exists() or subprocess.run([python, "-c", missing, *layers.PEERS], check=False).returncode:
        pytest.skip("no snnTorch, SpikingJelly and norse in .venv-peers: run `make peers`")
    chosen.peers = layers.PEERS
    row = layers.compare("neurons", 40, chosen)
    rates = [figures["spikes"] for figures in row["figures"].values()]
    assert len(rates) == 4 and rates == pytest.approx([rates[0]] * 4, abs=1e-3)
