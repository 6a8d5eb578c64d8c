"""A layer of active dendrites that learns in a network: the gradient, two contexts, saved state, counted work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks import facts
from numpy.typing import NDArray

from neurosim import Link, Network, Population, Simulation, Spikes, SpikeSource, Windowed, simulate
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description, write_description
from neurosim.memory import DendriteLayer
from neurosim.network.windowed import Arrivals

WINDOW = 0.01
INPUTS, UNITS, SEGMENTS, CONTEXTS = 12, 8, 3, 4


def layer(learning_rate: float = 0.05, winners: int = 2, level: float = 1 / 8) -> DendriteLayer:
    rng = np.random.default_rng(3)
    weights = 0.3 * rng.normal(size=(UNITS, INPUTS))
    weights[rng.random(weights.shape) < 0.4] = 0
    segments = 0.3 * rng.normal(size=(UNITS, SEGMENTS, CONTEXTS))
    return DendriteLayer(
        weights, 0.1 * rng.normal(size=UNITS), segments, winners, level=level, learning_rate=learning_rate
    )


def arrivals(counts: NDArray[np.int64]) -> Arrivals:
    return Arrivals(np.flatnonzero(counts).astype(np.int32), counts[counts > 0])


def by_autograd(
    model: DendriteLayer, x: NDArray, context: NDArray, target: NDArray, winners: NDArray
) -> dict[str, NDArray]:
    """Weights after a step down the gradient of half the squared error of the units that win or have a target."""
    w, b, u = (torch.tensor(a, requires_grad=True) for a in (model.weights, model.bias, model.segments))
    responses = u @ torch.tensor(context, dtype=torch.float64)
    best = responses.abs().argmax(dim=1, keepdim=True)
    values = (w @ torch.tensor(x, dtype=torch.float64) + b) * torch.sigmoid(responses.gather(1, best)[:, 0])
    chosen = np.union1d(winners, np.flatnonzero(target))
    error = torch.tensor(target * model.level) - values
    (error[chosen] ** 2).sum().div(2).backward()
    mask = model.weights != 0
    return {
        "weights": model.weights - model.learning_rate * w.grad.numpy() * mask,
        "bias": model.bias - model.learning_rate * b.grad.numpy(),
        "segments": model.segments - model.learning_rate * u.grad.numpy(),
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_window_with_a_target_is_a_step_down_the_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = layer()
    x = rng.integers(0, 4, INPUTS)
    # A recording begins without context.
    context = rng.integers(0, 3, CONTEXTS) if seed else np.zeros(CONTEXTS, np.int64)
    target = rng.integers(0, 5, UNITS) * (rng.random(UNITS) < 0.3)
    target[seed] = 3
    windows = {"input": arrivals(x), "context": arrivals(context), "target": arrivals(target)}
    frozen = model.start().step(windows, learn=False)
    state = model.start()
    output = state.step(windows, learn=True)
    # The answer is the one before learning.
    assert np.array_equal(output.units, frozen.units)
    values = model.forward(x[None], context)[0]
    for name, expected in by_autograd(model, x, context, target, np.flatnonzero(values)).items():
        np.testing.assert_allclose(state.arrays()[name], expected, rtol=1e-12, atol=1e-14)
    learned = state.arrays()
    changed = [np.count_nonzero(learned[name] != getattr(model, name)) for name in ("weights", "segments")]
    assert output.synaptic_operations - frozen.synaptic_operations == sum(changed) > 0
    # The layer itself stays as it was, and the gate follows what was learned.
    assert np.array_equal(model.weights, layer().weights) and np.array_equal(model.segments, layer().segments)
    gate = 1 / (1 + np.exp(-model.strongest(context)))
    now = replace(model, segments=learned["segments"])
    np.testing.assert_allclose(learned["gate"], 1 / (1 + np.exp(-now.strongest(context))), rtol=1e-12)
    assert np.array_equal(learned["gate"], gate) == (not context.any())


def test_nothing_is_learned_without_a_target_or_a_rate() -> None:
    x = arrivals(np.ones(INPUTS, np.int64))
    nothing = arrivals(np.zeros(UNITS, np.int64))
    state = layer().start()
    before = state.arrays()
    state.step({"input": x, "context": arrivals(np.ones(CONTEXTS, np.int64)), "target": nothing}, learn=True)
    assert all(np.array_equal(a, before[name]) for name, a in state.arrays().items() if name not in ("gate", "context"))
    plain = layer(0.0)
    assert "target" not in plain.receptors and plain.teachers == () and set(plain.start().arrays()) == {"gate"}


def tasks(count: int, seed: int) -> tuple[dict[str, Spikes], NDArray[np.int64]]:
    """Windows of four patterns under two contexts; the unit wanted is the pattern, or four more under the second."""
    rng = np.random.default_rng(seed)
    pattern = rng.integers(0, 4, count)
    context = rng.integers(0, 2, count)
    expected = pattern + 4 * context
    middle = (np.arange(count) + 0.5) * WINDOW
    inputs = (3 * pattern[:, None] + np.arange(3)).ravel()
    spikes = {
        "camera": Spikes.sort(np.repeat(middle, 3), inputs, INPUTS, count * WINDOW),
        "mood": Spikes.sort(np.repeat(middle, 2), (2 * context[:, None] + np.arange(2)).ravel(), 4, count * WINDOW),
        # Eight spikes of 1/8: a value of 1.
        "teacher": Spikes.sort(np.repeat(middle, 8), np.repeat(expected, 8), UNITS, count * WINDOW),
    }
    return spikes, expected


def network(model: DendriteLayer, **windowed: object) -> Network:
    sizes = {"camera": INPUTS, "mood": CONTEXTS, "teacher": UNITS}
    return Network(
        [
            *(Population(name, size, SpikeSource()) for name, size in sizes.items()),
            Population("layer", UNITS, Windowed(model, WINDOW, **windowed)),
        ],
        links=[
            Link("camera", "layer"),
            Link("mood", "layer", "context"),
            Link("teacher", "layer", "target"),
        ],
    )


def test_a_context_chooses_the_units_that_learn_its_task() -> None:
    model = layer(0.2, winners=1)
    spikes, _ = tasks(600, 0)
    learned = simulate(network(model), spikes).learned["layer"]
    test, expected = tasks(100, 1)
    right = []
    for state in (None, learned):
        units = simulate(network(model, learn=False, learned=state), test).spikes["layer"]
        answers = np.full(100, -1)
        answers[np.rint(units.times / WINDOW).astype(int) - 1] = units.units
        right.append((answers == expected).mean())
    assert right[0] < 0.4 and right[1] == 1.0
    assert not learned["weights"][model.weights == 0].any()


def test_cut_saved_and_described_it_is_the_same(tmp_path: Path) -> None:
    spikes, _ = tasks(40, 2)
    write_description(tmp_path / "n.toml", network(layer()))
    again = read_description(tmp_path / "n.toml").network
    whole = simulate(again, spikes)
    cut = Simulation(network(layer()), spikes)
    cut.run(0.123)
    cut.save(tmp_path / "saved")
    cut = Simulation.load(tmp_path / "saved", network(layer()), spikes)
    cut.run(0.4 - 0.123)
    for name, array in whole.learned["layer"].items():
        assert np.array_equal(array, cut.learned["layer"][name]), name
    assert facts(whole) == facts(simulate(network(layer()), spikes))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(NeurosimInputError, match=r"DendriteLayer.learning_rate: must be finite and >= 0 \(got -1.0\)"):
        layer(-1.0)
    with pytest.raises(NeurosimInputError, match=r"learns from its receptor 'target', on which no link ends"):
        Network([Population("layer", UNITS, Windowed(layer(), WINDOW))])
    state = layer().start()
    arrays = state.arrays()
    with pytest.raises(NeurosimInputError, match=r"state\['weights'\]: must be 0 where the layer has no weight"):
        state.restore({**arrays, "weights": arrays["weights"] + 1})
    with pytest.raises(NeurosimInputError, match=r"state\['segments'\]: must be in -1e\+300..1e\+300 \(got \[nan\]\)"):
        state.restore({**arrays, "segments": arrays["segments"] * np.nan})
